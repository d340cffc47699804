/** A plan for what needs one and no store: tests of a step, and bench/. */
import { DataConfig } from "../../protocol/data-config.ts";
import { TrainerConfig } from "../../protocol/trainer-config.ts";
import type { Plan } from "../../protocol/types.ts";

export type TrainerInput = Parameters<typeof TrainerConfig.parse>[0] & object;

export function planOf(trainer: TrainerInput = {}, seed = 42): Plan {
  return {
    format: 1,
    pipeline: "p",
    round: 1,
    kind: "extend",
    items: [],
    segments: [],
    parent: null,
    live: null,
    epochsToAdd: 1,
    trainer: TrainerConfig.parse({ model: "m", ...trainer }),
    data: DataConfig.parse({ format: "csv" }),
    start: null,
    code: "0".repeat(64),
    image: null,
    jobDefinition: null,
    seed,
    scheduled: 0,
  };
}

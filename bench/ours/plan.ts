import { DataConfig } from "../../protocol/data-config.ts";
import { TrainerConfig } from "../../protocol/trainer-config.ts";
import type { Plan } from "../../protocol/types.ts";

/** A plan for what needs one and no store. */
export function planOf(trainer: Partial<TrainerConfig>): Plan {
  return {
    format: 1,
    pipeline: "bench",
    round: 1,
    kind: "extend",
    items: [],
    segments: [],
    parent: null,
    live: null,
    epochsToAdd: 1,
    trainer: TrainerConfig.parse({ model: "model.ts", ...trainer }),
    data: DataConfig.parse({ format: "idx" }),
    start: null,
    code: "0".repeat(64),
    image: null,
    jobDefinition: null,
    seed: 1,
    scheduled: 0,
  };
}

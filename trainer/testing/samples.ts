/** Models, tables and plans for tests, and for scripts that train: nothing of vitest's. */
import type * as z from "zod/mini";
import { DataConfig } from "../../protocol/data-config.ts";
import { sha256 } from "../../protocol/digest.ts";
import { arrivedItem } from "../../protocol/intake.ts";
import { codeKey, planKey } from "../../protocol/keys.ts";
import { seedOf } from "../../protocol/plan.ts";
import type { Items, Store } from "../../protocol/ports.ts";
import { TrainerConfig } from "../../protocol/trainer-config.ts";
import { documentBytes, type Checkpoint, type Plan } from "../../protocol/types.ts";

/** A model module as text. Its layers have names, as one process builds many models here. */
export function moduleOf(layers: string): string {
  return `export default { build: ({ tf, inputShape, classes, seed }) => tf.sequential({ layers: [${layers}] }) };`;
}

export const dense = (units: string, name: string, more = ""): string =>
  `tf.layers.dense({ units: ${units}, name: "${name}", ${more} })`;

export const INPUT = "inputShape: [...inputShape]";

/** For tables: one layer. */
export const LINEAR = moduleOf(dense("classes", "out", INPUT));

/** What is easily forgotten in a checkpoint: dropout's counter (with a seed of its own and without) and the averages of batch norm. */
export const FORGETFUL = moduleOf(`
  ${dense("8", "hidden", `activation: "relu", ${INPUT}`)},
  tf.layers.batchNormalization({ name: "norm" }),
  tf.layers.dropout({ rate: 0.3, seed: 7, name: "seeded" }),
  ${dense("6", "second", 'activation: "tanh"')},
  tf.layers.dropout({ rate: 0.2, name: "unseeded" }),
  tf.layers.gaussianNoise({ stddev: 0.05, name: "noise" }),
  ${dense("classes", "out")}`);

/** Two numbers, a colour and a label that follows from them. */
export function tableRow(i: number): { a: number; b: number; colour: string; label: string } {
  const a = ((i * 37) % 101) / 10;
  const b = ((i * 53) % 97) / 5 - 9;
  return { a, b, colour: ["red", "green", "blue"][i % 3]!, label: a + b > 4 ? "high" : "low" };
}

export function csv(from: number, to: number): string {
  const lines = ["a,b,colour,label"];
  for (let i = from; i < to; i++) lines.push(Object.values(tableRow(i)).join(","));
  return `${lines.join("\n")}\n`;
}

export function jsonl(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

export const tableRows = (from: number, to: number): object[] =>
  Array.from({ length: to - from }, (_, i) => tableRow(from + i));

export interface PlanInput {
  readonly round?: number;
  readonly module?: string;
  readonly data?: Partial<DataConfig>;
  readonly trainer?: Partial<z.input<typeof TrainerConfig>>;
  readonly parent?: Checkpoint | null;
  readonly live?: Checkpoint | null;
  readonly start?: string | null;
  readonly items?: Plan["items"];
}

/** Stores a plan as the ledger makes them, and the module that it names. @param input.items default: all that are there */
export async function storePlan(
  { store, items }: { readonly store: Store; readonly items: Items },
  input: PlanInput = {},
): Promise<Plan> {
  const round = input.round ?? 1;
  const module = new TextEncoder().encode(input.module ?? LINEAR);
  await store.create(codeKey(sha256(module)), module);
  const trainer = TrainerConfig.parse({ model: "./model.ts", epochs: 2, batchSize: 8, ...input.trainer });
  const plan: Plan = {
    format: 1,
    pipeline: "p",
    round,
    kind: "extend",
    items: (input.items ?? (await items.list("")).items).map(arrivedItem),
    segments: [],
    parent: input.parent ?? null,
    live: input.live ?? null,
    epochsToAdd: trainer.epochs,
    trainer,
    data: DataConfig.parse({ format: "jsonl", ...input.data }),
    code: sha256(module),
    start: input.start ?? null,
    image: null,
    jobDefinition: null,
    seed: seedOf(trainer.seed, "p", round),
    scheduled: 0,
  };
  await store.create(planKey(round), documentBytes("plan", planKey(round), plan));
  return plan;
}

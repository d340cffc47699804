/** The kill matrix: what of the config can change how training goes on after a kill, read from the config's own schema. */
import * as z from "zod/mini";
import { DataConfig } from "../protocol/data-config.ts";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { csv, dense, INPUT, moduleOf, type PlanInput } from "../trainer/testing/samples.ts";
import type { Axes, Combination } from "./pairwise.ts";

export type Axis = "backend" | "optimizer" | "schedule" | "feature";
export type Cell = Combination<Axis>;

interface Feature {
  readonly layers: string;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly trainer?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, unknown>>;
}

const BATCH = 16;
const table = (records: number): Feature["files"] => ({ "a.csv": csv(0, 40), "b.csv": csv(40, records) });
const [HIDDEN, OUT] = [dense("8", "hidden", `activation: "relu", ${INPUT}`), dense("classes", "out")];
const PLAIN = { layers: `${HIDDEN}, ${OUT}`, files: table(6 * BATCH), data: { format: "csv" } };

const FEATURES: Readonly<Record<string, Feature>> = {
  dropout: {
    ...PLAIN,
    layers: `${HIDDEN},
      tf.layers.dropout({ rate: 0.3, seed: 7, name: "seeded" }),
      tf.layers.dropout({ rate: 0.2, name: "unseeded" }),
      tf.layers.gaussianNoise({ stddev: 0.05, name: "noise" }), ${OUT}`,
  },
  "batch norm": { ...PLAIN, layers: `${HIDDEN}, tf.layers.batchNormalization({ name: "norm" }), ${OUT}` },
  "short batch": { ...PLAIN, files: table(6 * BATCH + 4) },
  accumulation: { ...PLAIN, trainer: { accumulate: 2 } },
  "early stopping": { ...PLAIN, data: { format: "csv", holdout: 0.3 }, trainer: { earlyStopping: { patience: 6 } } },
  augmentation: {
    layers: `tf.layers.flatten({ name: "flat", ${INPUT} }), ${dense("8", "hidden", 'activation: "relu"')}, ${OUT}`,
    files: { "a.idx": pictures(6 * BATCH) },
    data: { format: "idx", augment: { flip: "horizontal", shift: 1 } },
  },
};

/** What the config of this version knows. @param backends that this machine has */
export function axesOf(backends: readonly string[]): Axes<Axis> {
  return {
    backend: backends,
    optimizer: Object.keys(OPTIMIZERS),
    schedule: namesOf("schedule"),
    feature: Object.entries(FEATURES).flatMap(([name, { trainer = {}, data = {} }]) =>
      z.safeParse(TrainerConfig, { model: "m", ...trainer }).success && z.safeParse(DataConfig, data).success
        ? name
        : [],
    ),
  };
}

/** A short round for a cell: 8 epochs of 6 batches or 7, saved at every fourth step as well. */
export function roundOf(cell: Cell): { plan: PlanInput; files: Feature["files"] } {
  const { layers, files, trainer, data } = FEATURES[cell.feature]!;
  return {
    files,
    plan: {
      module: moduleOf(layers),
      data: DataConfig.parse({ holdout: 0, ...data }),
      trainer: TrainerConfig.parse({
        model: "./model.ts",
        epochs: 8,
        batchSize: BATCH,
        saveEverySteps: 4,
        optimizer: OPTIMIZERS[cell.optimizer],
        schedule: { name: cell.schedule },
        ...trainer,
      }),
    },
  };
}

const Variant = z.object({
  properties: z.record(z.string(), z.looseObject({ const: z.optional(z.unknown()), type: z.optional(z.string()) })),
});
const Schema = z.object({ properties: z.record(z.string(), z.looseObject({})) });

/** The alternatives of a part of the trainer's config. */
function variantsOf(part: "optimizer" | "schedule"): z.infer<typeof Variant>["properties"][] {
  const { properties } = Schema.parse(z.toJSONSchema(TrainerConfig, { io: "input", unrepresentable: "any" }));
  const found = properties[part]!;
  return z
    .array(Variant)
    .parse(found["oneOf"] ?? found["anyOf"])
    .map((variant) => variant.properties);
}

function namesOf(part: "optimizer" | "schedule"): string[] {
  return variantsOf(part).map(({ name }) => String(name!.const));
}

/** Each as it is by default; and, where it has momentum or something to switch on, with all of that. */
const OPTIMIZERS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = Object.fromEntries(
  variantsOf("optimizer").flatMap((properties): [string, Record<string, unknown>][] => {
    const name = String(properties["name"]!.const);
    const more = Object.entries(properties).flatMap(([of, { type }]): [string, unknown][] =>
      of === "momentum" ? [[of, 0.9]] : type === "boolean" ? [[of, true]] : [],
    );
    const plain: [string, Record<string, unknown>] = [name, { name, learningRate: 0.01 }];
    const all = Object.fromEntries([...Object.entries(plain[1]), ...more]);
    return more.length === 0 ? [plain] : [plain, [`${name} ${more.map(([of]) => of).join(" ")}`, all]];
  }),
);

/** An IDX file of small pictures of two classes: dark at the top, or at the bottom. */
function pictures(count: number): Uint8Array {
  const [side, header] = [6, 16];
  const file = Buffer.alloc(header + count * side * side + 8 + count);
  [0x0803, count, side, side].forEach((value, i) => file.writeUInt32BE(value, i * 4));
  for (let i = 0; i < count; i++)
    for (let pixel = 0; pixel < side * side; pixel++) {
      const isDark = pixel < (side * side) / 2 === (i % 2 === 0);
      file[header + i * side * side + pixel] = (isDark ? 160 : 20) + ((i * 37 + pixel * 11) % 80);
    }
  const labels = header + count * side * side;
  file.writeUInt32BE(0x0801, labels);
  file.writeUInt32BE(count, labels + 4);
  for (let i = 0; i < count; i++) file[labels + 8 + i] = i % 2;
  return file;
}

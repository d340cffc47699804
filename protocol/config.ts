/**
 * The schema of accrete.config.ts, with every default. Strict: an unknown name is an error that names the nearest known
 * one. The parts that a plan carries (data, trainer) are stored, so a change of theirs is a change of a stored format.
 */
import * as z from "zod/mini";
import { AccreteError } from "./errors.ts";

const UNITS_MS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ms: 1,
    s: 1e3,
    sec: 1e3,
    second: 1e3,
    min: 6e4,
    minute: 6e4,
    h: 3.6e6,
    hour: 3.6e6,
    d: 8.64e7,
    day: 8.64e7,
  }),
);
const DURATION = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/;

/** Milliseconds of a text such as "2 min", "90 s", "1 hour"; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text.trim().toLowerCase()) ?? [];
  if (amount === undefined || unit === undefined) return undefined;
  const unitMs = UNITS_MS.get(unit) ?? UNITS_MS.get(unit.replace(/s$/, ""));
  if (unitMs === undefined) return undefined;
  const ms = Math.round(Number(amount) * unitMs);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** As milliseconds, or as text with a unit. */
const Duration = z.pipe(
  z.union([z.number().check(z.gte(0)), z.string()]),
  z.transform((value: number | string, context) => {
    const ms = typeof value === "number" ? value : parseDuration(value);
    if (ms !== undefined) return ms;
    context.issues.push({
      code: "custom",
      message: `"${value}" is no duration: write "30 s", "2 min", "1 hour", "1 day"`,
      input: value,
    });
    return z.NEVER;
  }),
);
const Fraction = z.number().check(z.gte(0), z.lte(1));
const Positive = z.number().check(z.positive());
const AtLeast1 = z.int().check(z.gte(1));
const Name = z.string().check(z.minLength(1), z.maxLength(256));

export const DataConfig = z.strictObject({
  /** only objects whose key starts so */
  prefix: z._default(z.string().check(z.maxLength(512)), ""),
  /** only objects whose key ends with one of these; none: all of the prefix */
  suffixes: z._default(z.array(Name).check(z.maxLength(100)), []),
  /**
   * csv and jsonl: a record a line. idx: one file with an array of records and then an array of labels, one after the
   * other, gzip or not. images: a picture a file, the label is its folder's name.
   */
  format: z.enum(["csv", "jsonl", "idx", "images"]),
  task: z._default(z.enum(["classification", "regression"]), "classification"),
  /** csv, jsonl: the column with the label */
  label: z._default(Name, "label"),
  /** csv, jsonl: the columns to learn from, in this order; null: all but the label, as in round 1 */
  features: z._default(z.nullable(z.array(Name).check(z.minLength(1), z.maxLength(10_000))), null),
  /** names of the classes, in order; null: those of round 1, sorted */
  labels: z._default(z.nullable(z.array(Name).check(z.minLength(2), z.maxLength(10_000))), null),
  /** images: what each is scaled to: height, width, channels (1 or 3); null: as the first of round 1 */
  imageShape: z._default(z.nullable(z.tuple([AtLeast1, AtLeast1, z.union([z.literal(1), z.literal(3)])])), null),
  /** this part of the records, chosen by a hash of their content, is never trained on */
  holdout: z._default(Fraction.check(z.lt(1)), 0.1),
});
export type DataConfig = z.infer<typeof DataConfig>;

const OptimizerConfig = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    learningRate: z._default(Positive, 0.01),
    momentum: z._default(Fraction.check(z.lt(1)), 0),
  }),
  z.strictObject({
    name: z.literal("adam"),
    learningRate: z._default(Positive, 0.001),
    beta1: z._default(Fraction.check(z.lt(1)), 0.9),
    beta2: z._default(Fraction.check(z.lt(1)), 0.999),
    epsilon: z._default(Positive, 1e-7),
  }),
]);
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

const ScheduleConfig = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant") }),
  z.strictObject({
    name: z.literal("warmup-cosine"),
    /** part of the round's steps over which the rate rises from 0 */
    warmup: z._default(Fraction, 0.1),
    /** part of the learning rate that is left at the round's end */
    floor: z._default(Fraction, 0),
  }),
]);
export type ScheduleConfig = z.infer<typeof ScheduleConfig>;

export const TrainerConfig = z.strictObject({
  /** the module that calls defineModel, relative to accrete.config.ts */
  model: Name,
  /** added by each round */
  epochs: z._default(AtLeast1.check(z.lte(100_000)), 3),
  batchSize: z._default(AtLeast1.check(z.lte(1_000_000)), 32),
  optimizer: z._default(OptimizerConfig, {
    name: "adam",
    learningRate: 0.001,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-7,
  }),
  schedule: z._default(ScheduleConfig, { name: "warmup-cosine", warmup: 0.1, floor: 0 }),
  /** initial weights and the order of the records follow from it */
  seed: z._default(z.int().check(z.gte(0), z.lte(0xffff_ffff)), 1),
  /** saved at each epoch, and besides after so many steps (0: not) and so much time */
  saveEverySteps: z._default(z.int().check(z.gte(0)), 0),
  saveEvery: z._default(Duration, 300_000),
});
export type TrainerConfig = z.infer<typeof TrainerConfig>;

export const TriggerConfig = z.strictObject({
  /** a round starts when no data has come for so long */
  quietPeriod: z._default(Duration, 3_000),
  /** or when the oldest waits for so long */
  longestWait: z._default(Duration, 3_600_000),
  /** fewer items wait for more */
  minItems: z._default(AtLeast1, 1),
  /** more go to the next round; reached: no waiting */
  maxItems: z._default(AtLeast1.check(z.lte(50_000)), 20_000),
  maxBytes: z._default(AtLeast1, 100 * 1_073_741_824),
  /** between two entries of the log */
  minInterval: z._default(Duration, 0),
});
export type TriggerConfig = z.infer<typeof TriggerConfig>;

export const GateConfig = z.strictObject({
  /** measured on the holdouts: accuracy (more is better), loss, mae, mse (less is better) */
  metric: z._default(z.enum(["accuracy", "loss", "mae", "mse"]), "accuracy"),
  /** so much worse than live, in the metric's own unit, and the round does not go live */
  maxDrop: z._default(z.number().check(z.gte(0)), 0.02),
  /** hold: train on, but not live; pause: wait for an operator; rollback: go on from the checkpoint before */
  onFail: z._default(z.enum(["hold", "pause", "rollback"]), "hold"),
});
export type GateConfig = z.infer<typeof GateConfig>;

export const KeepConfig = z.strictObject({
  /** newest checkpoints that can be gone back to */
  rounds: z._default(AtLeast1.check(z.lte(1_000)), 10),
  /** newest checkpoints that `pull --epoch` finds, in training order, also those saved within a round */
  history: z._default(z.int().check(z.gte(0), z.lte(10_000)), 35),
});
export type KeepConfig = z.infer<typeof KeepConfig>;

export const JobsConfig = z.strictObject({
  /** attempts without a step of progress, then the round is blocked */
  attempts: z._default(AtLeast1.check(z.lte(100)), 5),
  /** an attempt that runs longer is ended */
  timeLimit: z._default(Duration, 86_400_000),
  /** one that waits longer for a machine is ended, and tried again */
  maxWait: z._default(Duration, 7_200_000),
});
export type JobsConfig = z.infer<typeof JobsConfig>;

export const PipelineConfig = z.strictObject({
  /** a prefix in both buckets: [a-z][a-z0-9-]{0,39} */
  name: z
    .string()
    .check(z.regex(/^[a-z][a-z0-9-]{0,39}$/, "a name is a-z, 0-9 and -, starts with a letter, at most 40 long")),
  data: DataConfig,
  trainer: TrainerConfig,
  trigger: z.prefault(TriggerConfig, {}),
  /** null: whatever is trained goes live. Left out: accuracy (regression: mse), or none without a holdout */
  gate: z.optional(z.nullable(GateConfig)),
  keep: z.prefault(KeepConfig, {}),
  jobs: z.prefault(JobsConfig, {}),
});
export type PipelineConfig = Omit<z.infer<typeof PipelineConfig>, "gate"> & { readonly gate: GateConfig | null };
/** What a user writes: everything with a default may be left out. */
export type PipelineInput = z.input<typeof PipelineConfig>;

export const Config = z.strictObject({
  pipelines: z.array(PipelineConfig).check(z.minLength(1), z.maxLength(100)),
});
export interface Config {
  readonly pipelines: readonly PipelineConfig[];
}
export type ConfigInput = z.input<typeof Config>;

/**
 * Checks what accrete.config.ts exports.
 * @throws {AccreteError} CONFIG_INVALID, with the place, what was found and the nearest known name
 */
export function parseConfig(value: unknown): Config {
  const parsed = z.safeParse(Config, value);
  if (!parsed.success)
    throw new AccreteError(
      "CONFIG_INVALID",
      parsed.error.issues
        .slice(0, 5)
        .map((issue) => describeIssue(issue))
        .join("; "),
    );
  const names = parsed.data.pipelines.map((pipeline) => pipeline.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new AccreteError("CONFIG_INVALID", `pipelines: two are named ${twice}`);
  for (const { name: pipeline, trigger } of parsed.data.pipelines) {
    if (trigger.minItems > trigger.maxItems)
      throw new AccreteError(
        "CONFIG_INVALID",
        `${pipeline}: trigger.minItems ${trigger.minItems} is more than trigger.maxItems ${trigger.maxItems}: no round would ever start`,
      );
  }
  return { pipelines: parsed.data.pipelines.map((pipeline) => ({ ...pipeline, gate: gateOf(pipeline) })) };
}

/** The gate to use: the configured one if it can be measured on this data, else what fits the task. */
function gateOf(pipeline: z.infer<typeof PipelineConfig>): GateConfig | null {
  const { data, gate, name } = pipeline;
  if (gate === null) return null;
  if (gate === undefined)
    return data.holdout === 0 ? null : GateConfig.parse({ metric: data.task === "regression" ? "mse" : "accuracy" });
  if (data.holdout === 0)
    throw new AccreteError(
      "CONFIG_INVALID",
      `${name}: gate: there is nothing to measure with data.holdout: 0; set it above 0, or gate: null`,
    );
  const fits = data.task === "regression" ? ["loss", "mae", "mse"] : ["accuracy", "loss"];
  if (!fits.includes(gate.metric))
    throw new AccreteError(
      "CONFIG_INVALID",
      `${name}: gate.metric: "${gate.metric}" is not measured for ${data.task}: one of ${fits.join(", ")}`,
    );
  return gate;
}

interface Issue {
  readonly code?: string | undefined;
  readonly message: string;
  readonly path: readonly PropertyKey[];
  readonly keys?: readonly string[];
}

function describeIssue(issue: Issue): string {
  const where =
    issue.path.length === 0
      ? "config"
      : issue.path
          .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
          .join("")
          .replace(/^\./, "");
  if (issue.code !== "unrecognized_keys" || issue.keys === undefined) return `${where}: ${issue.message}`;
  const hints = issue.keys.map((key) => {
    const near = nearestName(key, KNOWN_NAMES);
    return near === undefined ? `"${key}" is not known` : `"${key}" is not known: did you mean "${near}"?`;
  });
  return `${where}: ${hints.join("; ")}`;
}

const KNOWN_NAMES: readonly string[] = [
  "pipelines",
  "name",
  ...[PipelineConfig, DataConfig, TrainerConfig, TriggerConfig, GateConfig, KeepConfig, JobsConfig].flatMap((schema) =>
    Object.keys(schema.shape),
  ),
  "learningRate",
  "momentum",
  "beta1",
  "beta2",
  "epsilon",
  "warmup",
  "floor",
];

/** The known name that is the fewest edits away, at most a third of the name's length. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.max(1, Math.floor(name.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein distance: insertions, deletions and replacements of one character. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

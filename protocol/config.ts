/**
 * The schema of accrete.config.ts. Strict: an unknown name is an error that names the nearest known one. The parts are in
 * config-parts.ts, data-config.ts, trainer-config.ts and aws-config.ts.
 */
import * as z from "zod/mini";
import {
  BudgetConfig,
  GateConfig,
  JobsConfig,
  KeepConfig,
  NotifyConfig,
  RetrainingConfig,
  TriggerConfig,
} from "./config-parts.ts";
import {
  AwsConfig,
  BucketsConfig,
  bucketsFault,
  ComputeConfig,
  computeFault,
  sharedBucketsFault,
} from "./aws-config.ts";
import { DataConfig, dataFault, type Task } from "./data-config.ts";
import { TrainerConfig } from "./trainer-config.ts";
import { BUDGET_LEAST_MS, budgetMs } from "./budget.ts";
import { describeIssue } from "./config-issue.ts";
import { canonicalJson, sha256 } from "./digest.ts";
import { AccreteError } from "./errors.ts";
import { holdoutRule } from "./holdout-part.ts";
import { taskFault } from "./task-config.ts";

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
  /** null: only what comes starts a round */
  schedule: z._default(z.nullable(RetrainingConfig), null),
  /** null: no limit */
  budget: z._default(z.nullable(BudgetConfig), null),
  notify: z.prefault(NotifyConfig, {}),
  /** on AWS alone, as buckets */
  compute: z.prefault(ComputeConfig, {}),
  buckets: z.prefault(BucketsConfig, {}),
});
export type PipelineConfig = Omit<z.infer<typeof PipelineConfig>, "gate"> & { readonly gate: GateConfig | null };
/** What a user writes: everything with a default may be left out. */
export type PipelineInput = z.input<typeof PipelineConfig>;

export const Config = z.strictObject({
  pipelines: z.array(PipelineConfig).check(z.minLength(1), z.maxLength(100)),
  aws: z.prefault(AwsConfig, {}),
});
export interface Config {
  readonly pipelines: readonly PipelineConfig[];
  readonly aws: AwsConfig;
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
        .map((issue) => describeIssue(issue, value, KNOWN_NAMES))
        .join("; "),
    );
  const names = parsed.data.pipelines.map((pipeline) => pipeline.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new AccreteError("CONFIG_INVALID", `pipelines: two are named ${twice}`);
  const shared = sharedBucketsFault(parsed.data.pipelines);
  if (shared !== undefined) throw new AccreteError("CONFIG_INVALID", shared);
  for (const { name: pipeline, data, trainer, trigger, budget, compute, buckets } of parsed.data.pipelines) {
    const fault = dataFault(data) ?? taskFault(data, trainer) ?? computeFault(compute) ?? bucketsFault(buckets);
    if (fault !== undefined) throw new AccreteError("CONFIG_INVALID", `${pipeline}: ${fault}`);
    for (const per of ["perDay", "perMonth"] as const) {
      const limit = budget?.[per] ?? null;
      if (budget !== null && limit !== null && budgetMs(limit, budget) < BUDGET_LEAST_MS)
        throw new AccreteError(
          "CONFIG_INVALID",
          `${pipeline}: budget.${per}: $${limit} pays for less than a minute at $${budget.pricePerHour} an hour: nothing would ever be trained`,
        );
    }
    if (trigger.minItems > trigger.maxItems)
      throw new AccreteError(
        "CONFIG_INVALID",
        `${pipeline}: trigger.minItems ${trigger.minItems} is more than trigger.maxItems ${trigger.maxItems}: no round would ever start`,
      );
  }
  return {
    pipelines: parsed.data.pipelines.map((pipeline) => ({ ...pipeline, gate: gateOf(pipeline) })),
    aws: parsed.data.aws,
  };
}

/** Of what is deployed with the ledger as config.json: whether two configs are the same, every default included. */
export function configDigest(pipeline: PipelineConfig): string {
  return sha256(canonicalJson(pipeline));
}

/** What the gate can go by; the first if nothing else is said. */
const GATE_METRICS: Readonly<Record<Task, readonly [GateConfig["metric"], ...GateConfig["metric"][]]>> = {
  classification: ["accuracy", "f1", "loss"],
  "multi-label": ["f1", "accuracy", "loss"],
  regression: ["mse", "mae", "loss"],
};

/** The gate to use: the configured one if it can be measured on this data, else what fits the task. */
function gateOf(pipeline: z.infer<typeof PipelineConfig>): GateConfig | null {
  const { data, gate, name } = pipeline;
  if (gate === null) return null;
  const measurable = holdoutRule(data.holdout) !== null;
  if (gate === undefined) return measurable ? GateConfig.parse({ metric: GATE_METRICS[data.task][0] }) : null;
  if (!measurable)
    throw new AccreteError(
      "CONFIG_INVALID",
      `${name}: gate: there is nothing to measure with data.holdout: 0; set it above 0, or gate: null`,
    );
  const fits: readonly string[] = GATE_METRICS[data.task];
  if (!fits.includes(gate.metric))
    throw new AccreteError(
      "CONFIG_INVALID",
      `${name}: gate.metric: "${gate.metric}" is not measured for ${data.task}: one of ${fits.join(", ")}`,
    );
  return gate;
}

const KNOWN_NAMES: readonly string[] = [
  "pipelines",
  "aws",
  ...[
    PipelineConfig,
    DataConfig,
    TrainerConfig,
    TriggerConfig,
    GateConfig,
    KeepConfig,
    JobsConfig,
    BudgetConfig,
    NotifyConfig,
    ComputeConfig,
    BucketsConfig,
  ].flatMap((schema) => Object.keys(schema.shape)),
  // of the parts within those
  "learningRate",
  "momentum",
  "beta1",
  "beta2",
  "epsilon",
  "warmup",
  "floor",
  "every",
  "cron",
  "timeZone",
  "retrain",
  "url",
  "headers",
  "from",
  "sha256",
  "memory",
  "time",
  "bytes",
  "optimizer",
  "learningRateScale",
  "nesterov",
  "rho",
  "centered",
  "initialAccumulator",
  "factor",
  "norm",
  "value",
  "patience",
  "minDelta",
  "flip",
  "shift",
  "crop",
  "by",
  "part",
  "column",
  "id",
  "subnets",
  "email",
  "topic",
  // last: "lr" is a learning rate, and no log retention
  ...Object.keys(AwsConfig.shape),
];

/** The parts of a pipeline's config, with every default. Those that a plan carries (data, trainer) are stored formats. */
import * as z from "zod/mini";
import { Duration, Moment, Size } from "./units.ts";

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
  /** objects that were last written before it do not count (a file's modification time); null: all that are there */
  since: z._default(z.nullable(Moment), null),
  /** what reading one item may take; an item that takes more is rejected, and the others are read */
  limits: z.prefault(
    z.strictObject({
      memory: z._default(Size.check(z.gte(268_435_456)), 4 * 1_073_741_824),
      time: z._default(Duration.check(z.gte(1_000)), 600_000),
      /** after it was decompressed */
      bytes: z._default(Size.check(z.gte(1)), 4 * 1_073_741_824),
    }),
    {},
  ),
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

const LearningRateSchedule = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant") }),
  z.strictObject({
    name: z.literal("warmup-cosine"),
    /** part of the round's steps over which the rate rises from 0 */
    warmup: z._default(Fraction, 0.1),
    /** part of the learning rate that is left at the round's end */
    floor: z._default(Fraction, 0),
  }),
]);
export type LearningRateSchedule = z.infer<typeof LearningRateSchedule>;

export const TrainerConfig = z.strictObject({
  /** the module that calls defineModel, relative to accrete.config.ts */
  model: Name,
  /**
   * a warm start: the weights that a round begins with as long as nothing was trained. A TensorFlow.js layers model (its model.json),
   * or safetensors with the model's names; relative to accrete.config.ts. sha256: of that file, of a model.json and then its shards in
   * the order of its list; checked if given
   */
  start: z._default(
    z.nullable(
      z.strictObject({
        from: Name,
        sha256: z._default(z.nullable(z.string().check(z.regex(/^[0-9a-f]{64}$/, "a sha256 is 64 hex digits"))), null),
      }),
    ),
    null,
  ),
  /**
   * layers (or weights) to train, such as "dense_*" or "!embedding", in any order: all that one without "!" fits (without such a one:
   * all), less those that one with "!" fits. The others stay as they are; null: all
   */
  trainable: z._default(z.nullable(z.array(Name).check(z.minLength(1), z.maxLength(1_000))), null),
  /** what is different in a round that goes on from another one */
  onRound: z.prefault(
    z.strictObject({
      optimizer: z._default(z.enum(["keep", "reset"]), "keep"),
      /** the learning rate in each such round is the configured one times this: it does not add up */
      learningRateScale: z._default(Positive, 1),
    }),
    {},
  ),
  /**
   * when the model's weights no longer fit the checkpoint. fail: the round is blocked; matching: weights of the same name and
   * shape are taken over, the others begin anew; fresh: all begin anew
   */
  onModelChange: z._default(z.enum(["fail", "matching", "fresh"]), "fail"),
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
  schedule: z._default(LearningRateSchedule, { name: "warmup-cosine", warmup: 0.1, floor: 0 }),
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

const Retrain = z._default(z.enum(["pending", "rehearse", "full"]), "pending");

/**
 * When to retrain whatever comes. pending: a round of what waits, below minItems too; rehearse: if nothing waits, one on the
 * replay memory alone; full: back to nothing, and all again
 */
export const RetrainingConfig = z.union([
  z.strictObject({
    /** multiples of it since 1970, UTC */
    every: Duration.check(z.gte(60_000, "at least 1 minute is expected")),
    cron: z.optional(z.never("either every or cron, not both")),
    timeZone: z.optional(z.never("a time zone goes with cron: every counts from 1970, UTC")),
    retrain: Retrain,
  }),
  z.strictObject({
    /** minute, hour, day of the month, month, day of the week: "0 3 * * 1-5" */
    cron: Name,
    timeZone: z._default(Name, "UTC"),
    every: z.optional(z.never("either every or cron, not both")),
    retrain: Retrain,
  }),
]);
export type RetrainingConfig = z.infer<typeof RetrainingConfig>;

/** Dollars, by a price and the time that jobs run. A day and a month are those of UTC. */
export const BudgetConfig = z.strictObject({
  perDay: z._default(z.nullable(Positive), null),
  perMonth: z._default(z.nullable(Positive), null),
  /** of the machine that a job runs on */
  pricePerHour: Positive,
});
export type BudgetConfig = z.infer<typeof BudgetConfig>;

/** What webhook and command get if nothing else is said: not each step on the way. */
const TOLD = ["committed", "held", "rolled-back", "promoted", "blocked", "damaged", "budget"] as const;

export const NotifyConfig = z.strictObject({
  /** gets each notice as a JSON body by POST */
  webhook: z._default(
    z.nullable(
      z.strictObject({
        url: z.string().check(
          z.regex(/^https?:\/\/\S+$/, 'a webhook is an "https://..." address'),
          z.refine((url) => {
            const parsed = URL.parse(url);
            return parsed !== null && parsed.username === "" && parsed.password === "";
          }, "not an address, or one with a user in it: that belongs into headers"),
        ),
        headers: z._default(
          z.record(
            z.string().check(z.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/, "not a header's name")),
            z.string().check(z.maxLength(4_096), z.regex(/^[\t\x20-\x7e]*$/, "a header's value is of printable ASCII")),
          ),
          {},
        ),
      }),
    ),
    null,
  ),
  /** program and arguments, run beside accrete.config.ts; gets each notice as JSON on its standard input */
  command: z._default(z.nullable(z.array(z.string()).check(z.minLength(1), z.maxLength(100))), null),
  /** which notices webhook and command get */
  on: z._default(z.array(z.enum(["planned", "submitted", ...TOLD])), [...TOLD]),
});
export type NotifyConfig = z.infer<typeof NotifyConfig>;

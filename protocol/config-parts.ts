/** The other parts of a pipeline's config, with every default. */
import * as z from "zod/mini";
import { AtLeast1, Name, Positive } from "./config-values.ts";
import { Duration } from "./units.ts";

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
  /** measured on the holdouts: accuracy, f1 (more is better), loss, mae, mse (less is better) */
  metric: z._default(z.enum(["accuracy", "f1", "loss", "mae", "mse"]), "accuracy"),
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
  /** the checkpoint that was best by the gate's metric can be gone back to, however old it is; nothing without a gate */
  best: z._default(z.boolean(), true),
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

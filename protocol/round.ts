import type { Job } from "./ports.ts";

/** One attempt of the open round, as read. */
export interface AttemptFacts {
  readonly attempt: number;
  /** when the store got the intent, by its clock */
  readonly intentMs: number;
  /** the job record, if there is one */
  readonly record?: { readonly jobId: string; readonly modifiedMs: number };
  /** what Jobs says of the recorded job; undefined: not known */
  readonly job?: Job;
}

export interface RoundFacts {
  /** in order, gaps are possible */
  readonly attempts: readonly AttemptFacts[];
  readonly nowMs: number;
  readonly lookupLagMs: number;
  readonly maxWaitMs: number;
}

export type RoundDecision =
  | { readonly do: "stop"; readonly because: "job-alive"; readonly job: Job }
  | { readonly do: "terminate"; readonly job: Job; readonly because: "max-wait" }
  | { readonly do: "wait"; readonly untilMs: number; readonly because: "not-to-be-told-yet" }
  /** no job of it is alive; intents without a record are looked for by name first */
  | { readonly do: "look-up"; readonly attempts: readonly number[] }
  | { readonly do: "attempt"; readonly attempt: number };

/** What an open round without a result needs next, before failure records and limits are looked at. */
export function decideRound(facts: RoundFacts): RoundDecision {
  const alive = facts.attempts.flatMap(({ job }) => (job !== undefined && isAlive(job) ? [job] : []));
  const patient = alive.find((job) => job.state === "running" || facts.nowMs - job.createdMs <= facts.maxWaitMs);
  if (patient !== undefined) return { do: "stop", because: "job-alive", job: patient };
  const [waiting] = alive;
  if (waiting !== undefined) return { do: "terminate", job: waiting, because: "max-wait" };

  const untilMs = Math.max(
    0,
    ...facts.attempts.map(({ intentMs, record, job }) => {
      if (record === undefined) return intentMs + facts.lookupLagMs; // another tick may be about to submit
      return job === undefined ? record.modifiedMs + facts.lookupLagMs : 0;
    }),
  );
  if (untilMs >= facts.nowMs) return { do: "wait", untilMs, because: "not-to-be-told-yet" };

  const lost = facts.attempts.filter(({ record }) => record === undefined).map(({ attempt }) => attempt);
  if (lost.length > 0) return { do: "look-up", attempts: lost };
  return { do: "attempt", attempt: nextAttempt(facts.attempts) };
}

/** The jobs that Jobs knows of. */
export function jobsOf({ attempts }: Pick<RoundFacts, "attempts">): Job[] {
  return attempts.flatMap(({ job }) => job ?? []);
}

/**
 * The next attempt is to be on a machine that nobody takes back: an earlier one of the round lost its machine, or never got one. Where
 * spot was lost once it is scarce, and a round should end.
 */
export function needsOnDemand({ attempts }: Pick<RoundFacts, "attempts">): boolean {
  return jobsOf({ attempts }).some(
    (job) => !isAlive(job) && job.state === "failed" && (job.hostLost === true || job.startedMs === undefined),
  );
}

export function isAlive(job: Job): boolean {
  return job.state === "waiting" || job.state === "running";
}

/** Attempts are numbered from 1. */
export function nextAttempt(attempts: readonly Pick<AttemptFacts, "attempt">[]): number {
  return Math.max(0, ...attempts.map(({ attempt }) => attempt)) + 1;
}

export interface LimitFacts {
  readonly attempts: readonly Pick<AttemptFacts, "attempt" | "intentMs">[];
  /** looked for after the newest job was seen dead */
  readonly newestHasFailure: boolean;
  /** when the round's checkpoint with the highest step was there first; undefined: none yet */
  readonly progressMs: number | undefined;
  readonly limit: number;
  /** an operator asks for one attempt beyond what is allowed */
  readonly retryOf: number | undefined;
}

export type LimitDecision =
  | { readonly do: "attempt"; readonly retry: boolean }
  | { readonly do: "blocked"; readonly because: "failure-record" | "attempts" };

/** Whether another attempt may be made: not after a failure record, nor after `limit` without a step of progress. */
export function decideLimit(facts: LimitFacts): LimitDecision {
  const newest = nextAttempt(facts.attempts) - 1;
  const retry = newest > 0 && facts.retryOf === newest;
  const counted = facts.attempts.filter(
    ({ intentMs }) => facts.progressMs === undefined || intentMs > facts.progressMs,
  ).length;
  const because = facts.newestHasFailure ? "failure-record" : counted >= facts.limit ? "attempts" : undefined;
  if (because === undefined) return { do: "attempt", retry: false };
  return retry ? { do: "attempt", retry: true } : { do: "blocked", because };
}

/** How the open round is doing, and what comes next. It decides as a tick does, and does nothing. */
import { decideBudget, spentAfter } from "../protocol/budget.ts";
import { ADVICE, type ErrorCode } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { noProgressText } from "../protocol/job-end.ts";
import { intentKey, resultKey } from "../protocol/keys.ts";
import type { Job } from "../protocol/ports.ts";
import { decideRound, jobsOf, type AttemptFacts } from "../protocol/round.ts";
import type { Intent, Item, Plan, Result } from "../protocol/types.ts";
import { inspectAttempts, inspectLimit, notWhole, type InspectPorts } from "./inspect.ts";
import { inParallel } from "./ledger.ts";
import { readDocument, type Read } from "./read.ts";

export interface AttemptStatus {
  readonly attempt: number;
  readonly sinceMs: number;
  readonly retry: boolean;
  /** undefined: the intent has no job record yet, or Jobs does not know the job */
  readonly job?: Job;
  readonly jobId?: string;
}

export interface OpenRound {
  readonly round: number;
  readonly kind: Plan["kind"];
  readonly items: number;
  readonly bytes: number;
  readonly epochs: number;
  readonly parentRound: number;
  readonly plannedMs: number;
  readonly attempts: readonly AttemptStatus[];
}

/** What an operator has to do something about. */
export interface Obstacle {
  readonly code: string;
  readonly reason: string;
  readonly advice: string;
}

export type NextStep =
  | { readonly is: "idle" }
  | { readonly is: "waiting"; readonly for: "quiet-period" | "min-interval"; readonly untilMs: number }
  | { readonly is: "waiting"; readonly for: "minimum"; readonly minItems: number }
  /** limit, spent: dollars */
  | {
      readonly is: "waiting";
      readonly for: "budget";
      readonly untilMs: number;
      readonly per: "day" | "month";
      readonly limit: number;
      readonly spent: number;
    }
  | { readonly is: "training"; readonly attempt: number; readonly job: Job }
  /** whether a job runs can't be told before this */
  | { readonly is: "looking"; readonly untilMs: number }
  /** the next tick goes on: it finishes the head, commits, submits or plans */
  | { readonly is: "due"; readonly to: "finish" | "commit" | "submit" | "plan" | "redo" | "tidy" | "take-back" }
  | ({ readonly is: "blocked"; readonly round: number; readonly attempt: number } & Obstacle)
  | ({ readonly is: "paused"; readonly round: number } & Obstacle);

export async function readOpenRound(
  ports: InspectPorts,
  head: Head,
  plan: Read<Plan>,
): Promise<{ round: OpenRound; next: NextStep }> {
  const { store } = ports;
  const { document, modifiedMs } = plan;
  // before the attempts: as a tick does
  const result = await readDocument(store, "result", resultKey(document.round));
  const facts = await inspectAttempts(ports, document.round);
  const attempts = await inParallel(facts.attempts, async (attempt) =>
    attemptStatus(attempt, (await readDocument(store, "intent", intentKey(document.round, attempt.attempt)))?.document),
  );
  const round: OpenRound = {
    round: document.round,
    kind: document.kind,
    items: document.items.length,
    bytes: sumBytes(document.items),
    epochs: document.epochsToAdd,
    parentRound: document.parent?.round ?? 0,
    plannedMs: modifiedMs,
    attempts,
  };
  const next =
    result === undefined
      ? await stepOfAttempts(ports, head, document.round, facts)
      : await stepOfResult(ports, plan, result);
  return { round, next };
}

async function stepOfAttempts(
  ports: InspectPorts,
  head: Head,
  round: number,
  facts: Awaited<ReturnType<typeof inspectAttempts>>,
): Promise<NextStep> {
  const decision = decideRound(facts);
  if (decision.do === "stop" || decision.do === "terminate") {
    const attempt = facts.attempts.find(({ job }) => job?.id === decision.job.id)?.attempt ?? 0;
    return { is: "training", attempt, job: decision.job };
  }
  if (decision.do === "wait") return { is: "looking", untilMs: decision.untilMs };
  const limit = await inspectLimit(ports, round, facts, undefined);
  if (limit.do === "attempt") {
    const budget = decideBudget(ports.config.budget, spentAfter(head.spent, jobsOf(facts), facts.nowMs));
    if (budget.do === "spend") return { is: "due", to: "submit" };
    const { untilMs, per, limit: dollars, spent } = budget;
    return { is: "waiting", for: "budget", untilMs, per, limit: dollars, spent };
  }
  const attempt = Math.max(0, ...facts.attempts.map((one) => one.attempt));
  if (limit.failure !== undefined) {
    const { code, message } = limit.failure;
    return { is: "blocked", round, attempt, code, reason: message, advice: adviceFor(code) };
  }
  const reason = noProgressText(facts.attempts);
  return { is: "blocked", round, attempt, code: "ATTEMPTS_USED_UP", reason, advice: ADVICE.ATTEMPTS_USED_UP };
}

async function stepOfResult({ store }: InspectPorts, plan: Read<Plan>, result: Read<Result>): Promise<NextStep> {
  const wrong = await notWhole(store, result.document, plan);
  if (wrong === undefined) return { is: "due", to: "commit" };
  const { round } = plan.document;
  return {
    is: "blocked",
    round,
    attempt: 0,
    code: "RESULT_NOT_WHOLE",
    reason: `its checkpoint is not whole: ${wrong}`,
    advice: ADVICE.RESULT_NOT_WHOLE,
  };
}

function attemptStatus({ attempt, intentMs, record, job }: AttemptFacts, intent: Intent | undefined): AttemptStatus {
  return {
    attempt,
    sinceMs: intentMs,
    retry: intent?.retry ?? false,
    ...(record === undefined ? {} : { jobId: record.jobId }),
    ...(job === undefined ? {} : { job }),
  };
}

/** A trainer of the user's own may write codes that are not ours. */
function adviceFor(code: string): string {
  return Object.hasOwn(ADVICE, code) ? ADVICE[code as ErrorCode] : ADVICE.TRAINER_FAILED;
}

export function sumBytes(items: readonly Item[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}

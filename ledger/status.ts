/** What a pipeline is doing, what it waits for and what comes next. It reads, and changes nothing: the next tick may decide by newer facts. */
import { decideBudget, dollarsOf, spentAfter } from "../protocol/budget.ts";
import type { BudgetConfig } from "../protocol/config-parts.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { itemId } from "../protocol/digest.ts";
import { ADVICE, type ErrorCode } from "../protocol/errors.ts";
import { isRefused, type Head } from "../protocol/head.ts";
import { intentKey, planKey, resultKey } from "../protocol/keys.ts";
import type { Job } from "../protocol/ports.ts";
import { decideRound, jobsOf, type AttemptFacts } from "../protocol/round.ts";
import { decideStart } from "../protocol/start.ts";
import {
  PLAN_ITEMS_MAX,
  type Checkpoint,
  type Intent,
  type Item,
  type LogEntry,
  type Metrics,
  type Plan,
  type Result,
} from "../protocol/types.ts";
import { inspectAttempts, inspectLimit, listAll, notWhole, type InspectPorts } from "./inspect.ts";
import { inParallel } from "./ledger.ts";
import { countTrained, readRedo } from "./line.ts";
import {
  listInbox,
  readConsumed,
  readDocument,
  readHead,
  readLive,
  readSegment,
  type InboxSegment,
  type Read,
} from "./read.ts";

export interface Waiting {
  readonly segments: number;
  /** the page of the inbox was full: there is more than is counted here */
  readonly more: boolean;
  /** not consumed yet, each once */
  readonly items: number;
  readonly bytes: number;
  /** when the store got the oldest segment */
  readonly sinceMs: number;
  readonly newestMs: number;
  /** segments whose bytes are not those that their name says */
  readonly damaged: readonly string[];
}

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

export interface Status {
  readonly pipeline: string;
  /** the store's clock */
  readonly nowMs: number;
  readonly seq: number;
  readonly round: number;
  readonly entry: LogEntry | null;
  readonly entryMs: number;
  readonly checkpoint: Checkpoint | null;
  readonly metrics: Metrics | null;
  readonly live: Checkpoint | null;
  /** the head's entry has been followed up: copies are up to date */
  readonly finished: boolean;
  readonly waiting: Waiting | null;
  /** consumed items still to be trained again */
  readonly redoItems: number;
  readonly open: OpenRound | null;
  readonly rejected: number;
  /** of a schedule that retrains all: how many items that is now, and whether they fit one round; else null */
  readonly full: { readonly items: number; readonly fits: boolean } | null;
  /** today and this month, UTC, jobs of the open round included; dollars. null: there is no budget */
  readonly spent: { readonly day: number; readonly month: number } | null;
  readonly next: NextStep;
}

export async function readStatus(ports: InspectPorts): Promise<Status> {
  const { store, config } = ports;
  const { head, nowMs } = await readHead(store);
  const { live } = await readLive(store);
  const plan = await readDocument(store, "plan", planKey(head.round + 1));
  const inbox = await readInbox(ports, plan?.document);
  const finished = live.seq >= head.seq;
  const open = plan === undefined ? undefined : await readOpenRound(ports, head, plan);
  const next: NextStep = !finished
    ? { is: "due", to: "finish" }
    : open !== undefined
      ? open.next
      : (stepAfterRefusal(head, config) ??
        (head.redo !== null ? { is: "due", to: "redo" } : stepOfInbox(inbox, config, head)));
  const redoItems = head.redo === null ? 0 : (await readRedo(store, head.redo)).items.size;
  return {
    pipeline: config.name,
    nowMs,
    seq: head.seq,
    round: head.round,
    entry: head.entry,
    entryMs: head.modifiedMs,
    checkpoint: head.checkpoint,
    metrics: head.entry?.kind === "round" ? head.entry.metrics : null,
    live: head.live,
    finished,
    waiting: inbox.waiting,
    redoItems,
    open: open?.round ?? null,
    rejected: (await listAll(store, "quarantine/")).objects.length,
    full: config.schedule?.retrain === "full" ? await fullOf(ports, head, redoItems) : null,
    spent: config.budget === null ? null : spentOf(head, open?.round, { budget: config.budget, nowMs }),
    next,
  };
}

function spentOf(
  head: Head,
  open: OpenRound | undefined,
  { budget, nowMs }: { budget: BudgetConfig; nowMs: number },
): Status["spent"] {
  const jobs = (open?.attempts ?? []).flatMap(({ job }) => job ?? []);
  const { dayMs, monthMs } = spentAfter(head.spent, jobs, nowMs);
  return { day: dollarsOf(dayMs, budget), month: dollarsOf(monthMs, budget) };
}

/** What a full retraining would train again. The line is short there: each one begins a new one. */
async function fullOf({ store }: InspectPorts, head: Head, redoItems: number): Promise<Status["full"]> {
  const items = redoItems + (await countTrained(store, head.seq));
  return { items, fits: items <= PLAN_ITEMS_MAX };
}

// ------------------------------------------------------------------------------------------------ the open round

async function readOpenRound(
  ports: InspectPorts,
  head: Head,
  plan: Read<Plan>,
): Promise<{ round: OpenRound; next: NextStep }> {
  const { store } = ports;
  const { document, modifiedMs } = plan;
  // before the attempts: as a tick does
  const result = await readDocument(store, "result", resultKey(document.round));
  const facts = await inspectAttempts(ports, document.round);
  const intents = new Map(
    await inParallel(
      facts.attempts,
      async ({ attempt }) =>
        [attempt, (await readDocument(store, "intent", intentKey(document.round, attempt)))?.document] as const,
    ),
  );
  const round: OpenRound = {
    round: document.round,
    kind: document.kind,
    items: document.items.length,
    bytes: sumBytes(document.items),
    epochs: document.epochsToAdd,
    parentRound: document.parent?.round ?? 0,
    plannedMs: modifiedMs,
    attempts: facts.attempts.map((attempt) => attemptStatus(attempt, intents.get(attempt.attempt))),
  };
  if (result !== undefined) return { round, next: await stepOfResult(ports, plan, result) };
  const decision = decideRound(facts);
  if (decision.do === "stop" || decision.do === "terminate") {
    const attempt = facts.attempts.find(({ job }) => job?.id === decision.job.id)?.attempt ?? 0;
    return { round, next: { is: "training", attempt, job: decision.job } };
  }
  if (decision.do === "wait") return { round, next: { is: "looking", untilMs: decision.untilMs } };
  const limit = await inspectLimit(ports, document.round, facts, undefined);
  if (limit.do === "attempt") {
    const budget = decideBudget(ports.config.budget, spentAfter(head.spent, jobsOf(facts), facts.nowMs));
    if (budget.do === "spend") return { round, next: { is: "due", to: "submit" } };
    const { untilMs, per, limit: dollars, spent } = budget;
    return { round, next: { is: "waiting", for: "budget", untilMs, per, limit: dollars, spent } };
  }
  const attempt = Math.max(0, ...facts.attempts.map((one) => one.attempt));
  if (limit.failure !== undefined) {
    const { code, message } = limit.failure;
    return {
      round,
      next: { is: "blocked", round: document.round, attempt, code, reason: message, advice: adviceFor(code) },
    };
  }
  const last = facts.attempts.at(-1)?.job?.reason;
  const reason = `${facts.attempts.length} attempts without progress${last === undefined ? "" : `; the last one: ${last}`}`;
  return {
    round,
    next: {
      is: "blocked",
      round: document.round,
      attempt,
      code: "ATTEMPTS_USED_UP",
      reason,
      advice: ADVICE.ATTEMPTS_USED_UP,
    },
  };
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
export function adviceFor(code: string): string {
  return Object.hasOwn(ADVICE, code) ? ADVICE[code as ErrorCode] : ADVICE.TRAINER_FAILED;
}

// ------------------------------------------------------------------------------------------------ no round is open

/** undefined: the gate refused nothing, or its refusal does not stop the pipeline. */
function stepAfterRefusal(head: Head, config: PipelineConfig): NextStep | undefined {
  const onFail = config.gate?.onFail ?? "hold";
  if (!isRefused(head) || onFail === "hold") return undefined;
  const entry = head.entry?.kind === "round" ? head.entry : undefined;
  if (onFail === "rollback" && entry?.wasRedo !== true) return { is: "due", to: "take-back" };
  const reason = `the gate refused round ${head.round}: ${entry?.gate.reasons.join("; ") ?? ""}`;
  return { is: "paused", round: head.round, code: "GATE_REFUSED", reason, advice: ADVICE.GATE_REFUSED };
}

interface Inbox {
  readonly segments: readonly InboxSegment[];
  readonly more: boolean;
  readonly nowMs: number;
  readonly waiting: Waiting | null;
}

/** One page of the inbox, as a tick sees it, but for what the open plan has taken: that does not wait any more. */
async function readInbox({ store }: InspectPorts, open: Plan | undefined): Promise<Inbox> {
  const { segments: listed, more, nowMs } = await listInbox(store);
  const taken = new Set(open?.segments);
  const segments = listed.filter(({ key }) => !taken.has(key));
  if (segments.length === 0) return { segments, more, nowMs, waiting: null };
  const read = await inParallel(segments, async (segment) => ({
    key: segment.key,
    items: await readSegment(store, segment),
  }));
  const items = new Map<string, Item>();
  for (const one of read) {
    if (typeof one.items !== "string") for (const item of one.items) items.set(itemId(item), item);
  }
  const consumed = await readConsumed(store, items.keys());
  const planned = new Set(open?.items.map(itemId));
  const left = [...items].filter(([id]) => !consumed.has(id) && !planned.has(id)).map(([, item]) => item);
  const times = segments.map(({ modifiedMs }) => modifiedMs);
  return {
    segments,
    more,
    nowMs,
    waiting: {
      segments: segments.length,
      more,
      items: left.length,
      bytes: sumBytes(left),
      sinceMs: Math.min(...times),
      newestMs: Math.max(...times),
      damaged: read.flatMap(({ key, items: found }) => (found === "damaged" ? [key] : [])),
    },
  };
}

function stepOfInbox(inbox: Inbox, config: PipelineConfig, head: Head): NextStep {
  const { waiting } = inbox;
  if (waiting === null) return { is: "idle" };
  const decision = decideStart({ segments: inbox.segments, pageFull: inbox.more, nowMs: inbox.nowMs }, config.trigger, {
    asked: false,
    headMs: head.modifiedMs,
  });
  if (decision.do === "wait") return { is: "waiting", for: decision.because, untilMs: decision.untilMs };
  if (waiting.items === 0)
    return waiting.damaged.length === waiting.segments ? { is: "idle" } : { is: "due", to: "tidy" };
  if (waiting.items < config.trigger.minItems && !waiting.more)
    return { is: "waiting", for: "minimum", minItems: config.trigger.minItems };
  return { is: "due", to: "plan" };
}

function sumBytes(items: readonly Item[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}

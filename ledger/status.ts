/** What a pipeline is doing, what it waits for and what comes next. It reads, and changes nothing: the next tick may decide by newer facts. */
import { dollarsOf, spentAfter } from "../protocol/budget.ts";
import type { BudgetConfig } from "../protocol/config-parts.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { itemId } from "../protocol/digest.ts";
import { ADVICE } from "../protocol/errors.ts";
import { isRefused, type Head } from "../protocol/head.ts";
import { planKey, QUARANTINE } from "../protocol/keys.ts";
import { decideStart } from "../protocol/start.ts";
import { PLAN_ITEMS_MAX, type Checkpoint, type LogEntry, type Metrics, type Plan } from "../protocol/types.ts";
import { listAll, type InspectPorts } from "./inspect.ts";
import { countTrained, readRedo } from "./line.ts";
import { readOpenRound, sumBytes, type NextStep, type OpenRound } from "./open-round.ts";
import { listInbox, readConsumed, readDocument, readHead, readLive, readSegments, type InboxSegment } from "./read.ts";

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
    rejected: (await listAll(store, QUARANTINE)).objects.length,
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
  const { whole, damaged } = await readSegments(store, segments);
  const items = new Map(whole.flatMap((segment) => segment.items.map((item) => [itemId(item), item] as const)));
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
      damaged,
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

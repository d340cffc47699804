/** Steps 3 to 5 of a tick: what waits in the inbox becomes the plan of a round, when it is due. */
import { itemId } from "../protocol/digest.ts";
import { isUntrained, type Head } from "../protocol/head.ts";
import { codeKey, planKey, startKey } from "../protocol/keys.ts";
import { chooseSegments, makePlan, type SegmentRead } from "../protocol/plan.ts";
import type { StartWeights, Store, Tick } from "../protocol/ports.ts";
import { decideStart, isNewest } from "../protocol/start.ts";
import { documentBytes, PLAN_ITEMS_MAX, type Item, type Plan } from "../protocol/types.ts";
import { hasMemory } from "./checkpoints.ts";
import { isMeantFor } from "./inspect.ts";
import { inParallel, LATE_MS, type Ledger } from "./ledger.ts";
import { listInbox, readConsumed, readSegments, type InboxSegment } from "./read.ts";

/** What a pass comes to: look again (planned: this tick has made the plan), or the reason why there is nothing more to do for now. */
export type Pass =
  | "again"
  | "planned"
  /** laterMs: before that much time has passed nothing changes by itself */
  | { readonly stopped: string; readonly laterMs?: number };

export interface Trigger {
  readonly why: Tick;
  /** `why`, if it is a schedule's that was not acted on yet */
  readonly schedule: Extract<Tick, { kind: "schedule" }> | undefined;
  /** this tick finished the head: it speaks for segments whose own tick met the open round */
  readonly finishedByMe: boolean;
}

export async function startRound(ledger: Ledger, head: Head, trigger: Trigger): Promise<Pass> {
  const { store, config } = ledger;
  const { why, schedule } = trigger;
  const scheduled = schedule?.timeMs ?? 0;
  const inbox = await listInbox(store);
  if (inbox.segments.length === 0) {
    const rehearse = schedule?.retrain === "rehearse" || (why.kind === "rehearse" && isMeantFor(why, head));
    if (!rehearse) return { stopped: "nothing waits" };
    if (!(await hasMemory(store, head.checkpoint))) return { stopped: "there is no memory to rehearse" };
    return createPlan(ledger, head, { kind: "rehearse", items: [], segments: [], scheduled });
  }

  const asked = schedule !== undefined || (why.kind === "train" && isMeantFor(why, head));
  const pending = { segments: inbox.segments, pageFull: inbox.more, nowMs: inbox.nowMs };
  const decision = decideStart(pending, config.trigger, { asked, headMs: head.modifiedMs });
  if (decision.do === "wait") {
    if (trigger.finishedByMe || (why.kind === "segment" && isNewest(pending, why.segment))) {
      const newest = inbox.segments.find(({ key }) => isNewest(pending, key))!;
      await ledger.ticks.ask({ kind: "segment", segment: newest.key }, decision.untilMs - inbox.nowMs + LATE_MS);
    }
    return { stopped: decision.because === "quiet-period" ? "waits for the quiet period" : "waits for minInterval" };
  }

  const oldest = oldestOf(inbox.segments);
  const isPart = inbox.more || oldest.length < inbox.segments.length;
  const segments = await wholeSegments(ledger, oldest);
  const consumed = await readConsumed(
    store,
    segments.flatMap(({ items }) => items.map(itemId)),
  );
  const left = new Set(segments.flatMap(({ items }) => items.map(itemId)).filter((id) => !consumed.has(id)));
  if (left.size === 0) {
    // their items are consumed for good: it is never too late to delete them
    await inParallel(segments, ({ key }) => store.delete(key));
    return segments.length === 0 ? { stopped: "nothing waits that can be read" } : "again";
  }
  // what is not read may have more, so the minimum can't be told
  if (left.size < config.trigger.minItems && !asked && !isPart)
    return { stopped: `waits for ${config.trigger.minItems} items: ${left.size} are there` };
  const chosen = chooseSegments(segments, consumed, config.trigger);
  return createPlan(ledger, head, { kind: "extend", ...chosen, scheduled });
}

/** As many as a plan could ever take: a page may name ten times that, more than fits into memory. At least one. */
function oldestOf(listed: readonly InboxSegment[]): readonly InboxSegment[] {
  let items = 0;
  const end = listed.findIndex(({ count }) => (items += count) > PLAN_ITEMS_MAX);
  return end === -1 ? listed : listed.slice(0, Math.max(1, end));
}

/** Those that can be read; a damaged one stays, and is said. */
async function wholeSegments(ledger: Ledger, listed: readonly InboxSegment[]): Promise<SegmentRead[]> {
  const { whole, damaged } = await readSegments(ledger.store, listed);
  for (const key of damaged) {
    const message = `${key}: its bytes are not those that its name says: it is left alone`;
    await ledger.notify.notify({ kind: "damaged", pipeline: ledger.config.name, key, message });
  }
  return whole;
}

/** Creates the plan of the round after the head's; never replaced: another plan is another round. */
export async function createPlan(
  ledger: Ledger,
  head: Head,
  work: { kind: Plan["kind"]; items: readonly Item[]; segments: readonly string[]; scheduled: number },
): Promise<Pass> {
  const { store, config, code, start, image, jobDefinition } = ledger;
  // before a plan names it; lost: it is there
  if ((await store.create(codeKey(code.sha256), code.body)) === "unknown") return "again";
  const begins = start !== null && isUntrained(head) ? await storeStart(store, start) : null;
  if (begins === "unknown") return "again";
  const plan = makePlan(head, config, { code: code.sha256, start: begins, image, jobDefinition }, work);
  const key = planKey(plan.round);
  const written = await store.create(key, documentBytes("plan", key, plan));
  if (written === "won") {
    const message = `round ${plan.round}: ${plan.items.length} item${plan.items.length === 1 ? "" : "s"} planned`;
    await ledger.notify.notify({ kind: "planned", pipeline: config.name, round: plan.round, message });
  }
  return written === "lost" ? "again" : "planned";
}

/** The weights of a warm start, in the store before a plan names them. @returns their digest; unknown: whether they are there is not known */
async function storeStart(store: Store, start: StartWeights): Promise<string> {
  await using file = await start.read();
  const key = startKey(file.sha256);
  if ((await store.head(key)) !== undefined) return file.sha256; // large: not sent again
  return (await store.createFromFile(key, file.path)) === "unknown" ? "unknown" : file.sha256;
}

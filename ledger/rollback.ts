/**
 * What a rollback, a drop or a promote comes to, worked out from the state: for the entry that is written, and for the preview that an
 * operator sees first. Both come from the same work, so what is shown is what is done. Nothing here writes.
 */
import { itemId } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { sameCheckpoint, type Head } from "../protocol/head.ts";
import { encodeRedo, itemSet, minus, redoItems, union, type ItemSet } from "../protocol/history.ts";
import { compareItems } from "../protocol/intake.ts";
import type { Store } from "../protocol/ports.ts";
import { isAlive } from "../protocol/round.ts";
import { PLAN_ITEMS_MAX, type Checkpoint, type Item, type Plan, type Redo } from "../protocol/types.ts";
import { inspectAttempts, type InspectPorts } from "./inspect.ts";
import { readLine, readOpenPlan, readRedo, readReplay, type Line } from "./line.ts";
import { readCommitted, readConsumed, readEntry, readHead, readLive } from "./read.ts";

export interface RollbackRequest {
  /** a round's number; 0: nothing trained; the newest entry; or the newest kept round before the first that has trained one of `without` */
  readonly to: number | "head" | "before";
  readonly replay: boolean;
  readonly without: readonly Item[];
  readonly with: readonly Item[];
  readonly by: string;
  readonly reason: string;
  /** of the head that the operator saw: if the log has gone on, nothing is done */
  readonly seq?: number;
}

/** What is asked for, without who asks. */
type RollbackWish = Omit<RollbackRequest, "by" | "reason" | "seq">;

/** The rollback that a drop of these items is. */
export function asRollback(items: readonly Item[]): RollbackWish {
  return { to: "before", replay: true, without: items, with: [] };
}

interface Target {
  readonly seq: number;
  readonly checkpoint: Checkpoint | null;
}

interface Work {
  readonly target: Target;
  readonly redo: Redo | null;
  /** what `redo` means */
  readonly redone: ItemSet;
  /** of what was asked for again, what the target's line has not trained */
  readonly with: readonly Item[];
  readonly targetLine: Line;
  readonly openPlan: Plan | undefined;
}

/**
 * The state that a kept round's checkpoint has; 0: nothing trained.
 * @throws {AccreteError} NOT_KEPT, with those that are kept
 */
export function keptRound(head: Head, round: number): Target {
  if (round === 0) return { seq: 0, checkpoint: null };
  const kept = head.keep.find(({ checkpoint }) => checkpoint.round === round);
  if (kept !== undefined) return { seq: kept.seq, checkpoint: kept.checkpoint };
  const known = head.keep.map(({ checkpoint }) => checkpoint.round).join(", ");
  throw new AccreteError(
    "NOT_KEPT",
    `round ${round} has no checkpoint that is kept: ${known === "" ? "none is" : `kept are rounds ${known}`}`,
  );
}

/**
 * What the entry of a rollback says.
 * @param itemsMax as many can one plan hold
 * @throws {AccreteError} NOT_KEPT, NOT_FOUND (a `with` that was never consumed), REDO_TOO_LARGE
 */
export async function workOutRollback(
  store: Store,
  head: Head,
  request: RollbackWish,
  itemsMax = PLAN_ITEMS_MAX,
): Promise<Work> {
  const to = request.to === "before" ? await roundBefore(store, head, request.without) : request.to;
  const target = to === "head" ? { seq: head.seq, checkpoint: head.checkpoint } : keptRound(head, to);
  const targetEntry =
    target.seq === 0 ? null : target.seq === head.seq ? head.entry : (await readEntry(store, target.seq)).document;
  const targetLine = await readLine(store, target.seq);
  const targetRedo = await readRedo(store, targetEntry?.redo ?? null);
  const replay = request.replay ? await readReplay(store, head) : { items: new Map<string, Item>(), plans: new Map() };
  const consumed = await readConsumed(store, request.with.map(itemId));
  const byHead = request.with.length === 0 ? new Map<string, Item>() : await consumedByHead(store, head);
  const unknown = request.with.find((item) => !consumed.has(itemId(item)) && !byHead.has(itemId(item)));
  if (unknown !== undefined)
    throw new AccreteError("NOT_FOUND", `${unknown.key} was not consumed by any round: it can't be trained again`);
  const redone = redoItems({
    targetRedo: targetRedo.items,
    replayed: replay.items,
    targetTrained: targetLine.trained,
    with: itemSet(request.with),
    without: itemSet(request.without),
  });
  // a redo is planned as one round: more could be written, but never be planned
  if (redone.size > itemsMax)
    throw new AccreteError(
      "REDO_TOO_LARGE",
      `${redone.size} items would have to be trained again in one round, which has at most ${itemsMax}; nothing was changed`,
    );
  return {
    target,
    redo: encodeRedo(redone, new Map([...targetLine.plans, ...targetRedo.plans, ...replay.plans])),
    redone,
    with: [...minus(itemSet(request.with), targetLine.trained).values()],
    targetLine,
    openPlan: await readOpenPlan(store, head),
  };
}

/** What the head consumes that is not in consumed/ yet, the head not being finished: a preview finishes nothing. */
async function consumedByHead(store: Store, { seq, entry }: Head): Promise<ItemSet> {
  if (entry === null || entry.kind === "promote" || (await readLive(store)).live.seq >= seq) return new Map();
  return itemSet(entry.kind === "rollback" ? entry.without : (await readCommitted(store, entry)).plan.items);
}

/** Where a drop of these items goes back to: the newest kept round on the head's line before the first that has trained one; "head": none has. */
async function roundBefore(store: Store, head: Head, items: readonly Item[]): Promise<number | "head"> {
  const line = await readLine(store, head.seq);
  const ids = items.map(itemId).filter((id) => line.trained.has(id));
  const trainedBy = line.rounds.filter((round) => ids.some((id) => line.plans.get(round)!.has(id)));
  if (trainedBy.length === 0) return "head";
  const first = Math.min(...trainedBy);
  const before = line.rounds.filter(
    (round) => round < first && head.keep.some(({ checkpoint }) => checkpoint.round === round),
  );
  return Math.max(0, ...before);
}

/** The open round that a command meets. */
interface OpenRound {
  readonly round: number;
  readonly items: readonly Item[];
  /** one of its jobs is alive */
  readonly running: boolean;
}

export interface RollbackPreview {
  readonly kind: "rollback";
  /** of the head that was seen: hand it on with the request, so that what was shown is done, or nothing */
  readonly seq: number;
  /** the round that it goes on from; 0: nothing trained */
  readonly to: number;
  readonly replay: boolean;
  readonly checkpoint: Checkpoint | null;
  /** the rounds that are left: the head's line has them, and the target's has not; newest first */
  readonly leaves: readonly number[];
  /** trained again in the next round */
  readonly again: readonly Item[];
  /** of these, what was asked for by name */
  readonly asked: readonly Item[];
  /** the model had them or was to have them; they stay consumed and are not trained again */
  readonly unlearned: readonly Item[];
  /** never trained again */
  readonly out: readonly Item[];
  /** of these, what the target has learned already: taking them out does not make it forget them */
  readonly stillLearned: readonly Item[];
  /** the open round, which ends; what it has of the inbox waits again */
  readonly ends: OpenRound | null;
  /** stays as it is; only `promote` moves it */
  readonly live: Checkpoint | null;
}

/**
 * What a rollback would do now.
 * @throws {AccreteError} as the rollback itself: NOT_KEPT, NOT_FOUND, REDO_TOO_LARGE
 */
export async function previewRollback(ports: InspectPorts, request: RollbackWish): Promise<RollbackPreview> {
  const { store } = ports;
  const { head } = await readHead(store);
  const work = await workOutRollback(store, head, request);
  const { target, targetLine, redone } = work;
  const headLine = await readLine(store, head.seq);
  const known = union(headLine.trained, (await readRedo(store, head.redo)).items);
  const out = itemSet(request.without);
  const kept = new Set(targetLine.rounds);
  return {
    kind: "rollback",
    seq: head.seq,
    to: target.checkpoint?.round ?? 0,
    replay: request.replay,
    checkpoint: target.checkpoint,
    leaves: headLine.rounds.filter((round) => !kept.has(round)),
    again: inOrder(redone),
    asked: work.with,
    unlearned: inOrder(minus(known, targetLine.trained, redone, out)),
    out: request.without,
    stillLearned: request.without.filter((item) => targetLine.trained.has(itemId(item))),
    ends: await openRound(ports, head, work.openPlan),
    live: head.live,
  };
}

function inOrder(items: ItemSet): Item[] {
  return [...items.values()].sort(compareItems);
}

async function openRound(ports: InspectPorts, head: Head, plan: Plan | undefined): Promise<OpenRound | null> {
  if (plan === undefined) return null;
  const { attempts } = await inspectAttempts(ports, head.round + 1);
  const running = attempts.some(({ job }) => job !== undefined && isAlive(job));
  return { round: plan.round, items: plan.items, running };
}

export interface PromotePreview {
  readonly kind: "promote";
  /** of the head that was seen */
  readonly seq: number;
  readonly from: Checkpoint | null;
  readonly to: Checkpoint | null;
  /** it is live already: there is nothing to do */
  readonly same: boolean;
  /** goes on as it is */
  readonly open: OpenRound | null;
}

/**
 * What a promote would do now.
 * @throws {AccreteError} NOT_KEPT
 */
export async function previewPromote(ports: InspectPorts, round: number): Promise<PromotePreview> {
  const { head } = await readHead(ports.store);
  const { checkpoint: to } = keptRound(head, round);
  const plan = await readOpenPlan(ports.store, head);
  const open = await openRound(ports, head, plan);
  return { kind: "promote", seq: head.seq, from: head.live, to, same: sameCheckpoint(head.live, to), open };
}

/**
 * The operator's entries. Each is a call that finishes the head and then creates the entry after it; whoever loses is shown the new head and
 * asks again. Only checkpoints in the head's `keep` can be named, and "nothing trained".
 */
import { itemId } from "../protocol/digest.ts";
import { promoteEntry, rollbackEntry, type Said } from "../protocol/entry.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { encodeRedo, itemSet, minus, redoItems, union, type ItemSet } from "../protocol/history.ts";
import { logKey, planKey } from "../protocol/keys.ts";
import { documentBytes, type Checkpoint, type Item, type LogEntry } from "../protocol/types.ts";
import { isAlive } from "../protocol/round.ts";
import { finishHead } from "./finish.ts";
import { inspectAttempts } from "./inspect.ts";
import type { Ledger } from "./ledger.ts";
import { readLine, readRedo } from "./line.ts";
import { readConsumed, readDocument, readEntry, readHead } from "./read.ts";

export interface RollbackRequest {
  /** a round's number, the newest entry, or 0: nothing trained */
  readonly to: number | "head";
  readonly replay: boolean;
  readonly without: readonly Item[];
  readonly with: readonly Item[];
  readonly by: string;
  readonly reason: string;
}

export interface PromoteRequest {
  readonly round: number;
  readonly by: string;
  readonly reason: string;
}

/** Passes until a command gives up: each one lost means that somebody else's entry was written. */
const PASSES_MAX = 100;

/**
 * Goes on from an older round in a new one, and ends the open round.
 * @throws {AccreteError} NOT_KEPT, NOT_FOUND (a `with` that was never consumed), COMMAND_LOST
 */
export async function rollback(ledger: Ledger, request: RollbackRequest): Promise<LogEntry> {
  const won = await command(ledger, request, (head, said) => buildRollback(ledger, head, request, said));
  await endJobs(ledger, won.round);
  await ledger.ticks.ask({ kind: "plain" }, 0);
  return won;
}

/**
 * Moves live to a kept round's checkpoint, and nothing else: a running job goes on.
 * @throws {AccreteError} NOT_KEPT, COMMAND_LOST
 */
export async function promote(ledger: Ledger, request: PromoteRequest): Promise<LogEntry> {
  const won = await command(ledger, request, async (head, said) =>
    promoteEntry(head, keptRound(head, request.round), said),
  );
  await ledger.ticks.ask({ kind: "plain" }, 0);
  return won;
}

/**
 * Takes an item out of history: back to the newest kept checkpoint before its round, and all that came after is trained again
 * without it.
 */
export async function drop(ledger: Ledger, request: { item: Item; by: string; reason: string }): Promise<LogEntry> {
  const { head } = await readHead(ledger.store);
  const to = await roundBefore(ledger, head, request.item);
  return rollback(ledger, {
    to,
    replay: true,
    without: [request.item],
    with: [],
    by: request.by,
    reason: request.reason,
  });
}

/** The newest kept round on the head's line before the item was trained; "head" if the line has not trained it; else 0. */
async function roundBefore(ledger: Ledger, head: Head, item: Item): Promise<number | "head"> {
  const line = await readLine(ledger.store, head.seq);
  const id = itemId(item);
  const trainedBy = line.rounds.find((round) => line.plans.get(round)!.has(id) && line.trained.has(id));
  if (trainedBy === undefined) return "head";
  const before = line.rounds.filter(
    (round) => round < trainedBy && head.keep.some(({ checkpoint }) => checkpoint.round === round),
  );
  return Math.max(0, ...before);
}

async function command(
  ledger: Ledger,
  request: { by: string; reason: string },
  build: (head: Head, said: Said) => Promise<LogEntry>,
): Promise<LogEntry> {
  const { store, clock } = ledger;
  const said: Said = { by: request.by, reason: request.reason, nonce: clock.nonce(), at: clock.nowMs() };
  for (let passes = 0; passes < PASSES_MAX; passes++) {
    const { head } = await readHead(store);
    if ((await finishHead(ledger, head)) === "again") continue;
    const entry = await build(head, said);
    const key = logKey(entry.seq);
    await store.create(key, documentBytes("logEntry", key, entry));
    return settle(ledger, entry.seq, said.nonce); // won, lost or unknown: the log says whose entry is there
  }
  throw new AccreteError("COMMAND_LOST", "the log changed all the time");
}

async function settle(ledger: Ledger, seq: number, nonce: string): Promise<LogEntry> {
  const { head } = await readHead(ledger.store);
  const entry = head.seq >= seq ? (await readEntry(ledger.store, seq)).document : undefined;
  if (entry !== undefined && entry.kind !== "round" && entry.nonce === nonce) return entry;
  throw new AccreteError(
    "COMMAND_LOST",
    entry === undefined
      ? `whether entry ${seq} was written is not known`
      : `entry ${seq} is now a ${entry.kind} of round ${entry.round}`,
  );
}

interface Target {
  readonly seq: number;
  readonly checkpoint: Checkpoint | null;
}

function keptRound(head: Head, round: number): Target {
  if (round === 0) return { seq: 0, checkpoint: null };
  const kept = head.keep.find(({ checkpoint }) => checkpoint.round === round);
  if (kept !== undefined) return { seq: kept.seq, checkpoint: kept.checkpoint };
  const known = head.keep.map(({ checkpoint }) => checkpoint.round).join(", ");
  throw new AccreteError(
    "NOT_KEPT",
    `round ${round} has no checkpoint that is kept: ${known === "" ? "none is" : `kept are rounds ${known}`}`,
  );
}

async function buildRollback(ledger: Ledger, head: Head, request: RollbackRequest, said: Said): Promise<LogEntry> {
  const { store } = ledger;
  const target = request.to === "head" ? { seq: head.seq, checkpoint: head.checkpoint } : keptRound(head, request.to);
  const targetEntry =
    target.seq === 0 ? null : target.seq === head.seq ? head.entry : (await readEntry(store, target.seq)).document;
  const targetLine = await readLine(store, target.seq);
  const targetRedo = await readRedo(store, targetEntry?.redo ?? null);
  const replay = request.replay ? await replayed(ledger, head) : { items: new Map<string, Item>(), plans: new Map() };
  const consumed = await readConsumed(store, request.with.map(itemId));
  const unknown = request.with.find((item) => !consumed.has(itemId(item)));
  if (unknown !== undefined)
    throw new AccreteError("NOT_FOUND", `${unknown.key} was not consumed by any round: it can't be trained again`);
  const redo = redoItems({
    targetRedo: targetRedo.items,
    replayed: replay.items,
    targetTrained: targetLine.trained,
    with: itemSet(request.with),
    without: itemSet(request.without),
  });
  const openPlan = await readDocument(store, "plan", planKey(head.round + 1));
  return rollbackEntry(
    head,
    {
      target,
      redo: encodeRedo(redo, new Map([...targetLine.plans, ...targetRedo.plans, ...replay.plans])),
      replay: request.replay,
      without: request.without,
      with: [...minus(itemSet(request.with), targetLine.trained).values()],
      cause: "operator",
      scheduled: openPlan?.document.scheduled ?? 0,
    },
    said,
  );
}

/** All that the head's line has trained or was to redo. */
async function replayed(ledger: Ledger, head: Head): Promise<{ items: ItemSet; plans: ReadonlyMap<number, ItemSet> }> {
  const line = await readLine(ledger.store, head.seq);
  const redo = await readRedo(ledger.store, head.redo);
  return { items: union(line.trained, redo.items), plans: new Map([...line.plans, ...redo.plans]) };
}

/** The closed round's jobs train for nobody: ended to save money. */
async function endJobs(ledger: Ledger, round: number): Promise<void> {
  const facts = await inspectAttempts(ledger, round);
  for (const { job } of facts.attempts) {
    if (job !== undefined && isAlive(job))
      await ledger.jobs.terminate(job.id, `round ${round} was closed by a rollback`);
  }
}

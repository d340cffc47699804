/**
 * The operator's entries. Each is a call that finishes the head and then creates the entry after it; whoever loses is shown the new head and
 * asks again. Only checkpoints in the head's `keep` can be named, and "nothing trained".
 */
import { costOf, promoteEntry, rollbackEntry, type Said } from "../protocol/entry.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { logKey } from "../protocol/keys.ts";
import { isAlive, jobsOf } from "../protocol/round.ts";
import { documentBytes, type Item, type LogEntry } from "../protocol/types.ts";
import { finishHead } from "./finish.ts";
import { inspectAttempts } from "./inspect.ts";
import type { CommandLedger } from "./ledger.ts";
import { readEntry, readHead } from "./read.ts";
import { asRollback, keptRound, workOutRollback, type RollbackRequest } from "./rollback.ts";

export interface PromoteRequest {
  readonly round: number;
  readonly by: string;
  readonly reason: string;
  /** of the head that the operator saw: if the log has gone on, nothing is done */
  readonly seq?: number;
}

export interface DropRequest {
  readonly items: readonly Item[];
  readonly by: string;
  readonly reason: string;
  /** as in a rollback */
  readonly seq?: number;
}

/** Passes until a command gives up: each one lost means that somebody else's entry was written. */
const PASSES_MAX = 100;

/**
 * Goes on from an older round in a new one, and ends the open round.
 * @throws {AccreteError} NOT_KEPT, NOT_FOUND (a `with` that was never consumed), REDO_TOO_LARGE, COMMAND_LOST
 */
export async function rollback(ledger: CommandLedger, request: RollbackRequest): Promise<LogEntry> {
  const won = await command(ledger, request, (head, said) => buildRollback(ledger, head, request, said));
  await endJobs(ledger, won.round);
  await ledger.ticks.ask({ kind: "plain" }, 0);
  return won;
}

/**
 * Moves live to a kept round's checkpoint, and nothing else: a running job goes on.
 * @throws {AccreteError} NOT_KEPT, COMMAND_LOST
 */
export async function promote(ledger: CommandLedger, request: PromoteRequest): Promise<LogEntry> {
  const won = await command(ledger, request, async (head, said) =>
    promoteEntry(head, keptRound(head, request.round), said),
  );
  await ledger.ticks.ask({ kind: "plain" }, 0);
  return won;
}

/**
 * Takes items out of history: back to the newest kept checkpoint before the first round that has trained one of them, and all that
 * came after is trained again without them. What the head's line has not trained is only kept out.
 * @throws {AccreteError} REDO_TOO_LARGE, COMMAND_LOST
 */
export async function drop(ledger: CommandLedger, { items, ...said }: DropRequest): Promise<LogEntry> {
  return rollback(ledger, { ...asRollback(items), ...said });
}

async function command(
  ledger: CommandLedger,
  request: { by: string; reason: string; seq?: number },
  build: (head: Head, said: Said) => Promise<LogEntry>,
): Promise<LogEntry> {
  const { store, clock } = ledger;
  const said: Said = { by: request.by, reason: request.reason, nonce: clock.nonce(), at: clock.nowMs() };
  for (let passes = 0; passes < PASSES_MAX; passes++) {
    const { head } = await readHead(store);
    if ((await finishHead(ledger, head)) === "again") continue;
    if (request.seq !== undefined && head.seq !== request.seq)
      throw new AccreteError(
        "COMMAND_LOST",
        `the log has gone on from entry ${request.seq} to ${head.seq}: what was shown would not be what is done; nothing was changed`,
      );
    const entry = await build(head, said);
    const key = logKey(entry.seq);
    await store.create(key, documentBytes("logEntry", key, entry));
    return settle(ledger, entry.seq, said.nonce); // won, lost or unknown: the log says whose entry is there
  }
  throw new AccreteError("COMMAND_LOST", "the log changed all the time");
}

async function settle(ledger: CommandLedger, seq: number, nonce: string): Promise<LogEntry> {
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

async function buildRollback(
  ledger: CommandLedger,
  head: Head,
  request: RollbackRequest,
  said: Said,
): Promise<LogEntry> {
  const { target, redo, with: again, openPlan } = await workOutRollback(ledger.store, head, request);
  // whatever can be read of its plan: its jobs have cost what they have cost
  const facts = await inspectAttempts(ledger, head.round + 1);
  return rollbackEntry(
    head,
    {
      target,
      redo,
      replay: request.replay,
      without: request.without,
      with: again,
      cause: "operator",
      scheduled: openPlan?.scheduled ?? 0,
      cost: costOf(head, jobsOf(facts), facts.nowMs),
    },
    said,
  );
}

/** The closed round's jobs train for nobody: ended to save money. */
async function endJobs(ledger: CommandLedger, round: number): Promise<void> {
  const facts = await inspectAttempts(ledger, round);
  for (const { job } of facts.attempts) {
    if (job !== undefined && isAlive(job))
      await ledger.jobs.terminate(job.id, `round ${round} was closed by a rollback`);
  }
}

/** Step 1 of a tick: what follows from the head's entry, so that the entries older than the head always are finished. */
import { itemId, shardOf } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { CONSUMED, LIVE, quarantineKey } from "../protocol/keys.ts";
import type { Notice, Store } from "../protocol/ports.ts";
import { documentBytes, type Item, type LogEntry, type Result } from "../protocol/types.ts";
import { inParallel, type CommandLedger } from "./ledger.ts";
import { readCommitted, readDocument, readLive } from "./read.ts";

/** Writers of one shard at once are few: whoever loses so often has met a fault. */
const FOLD_TRIES_MAX = 50;

/**
 * Finishes the head if live.json says that it isn't yet.
 * @returns `finished`: nothing to do or somebody else did; `by-me`: this call did; `again`: start over from the top
 */
export async function finishHead(
  ledger: Pick<CommandLedger, "config" | "store" | "notify">,
  head: Head,
): Promise<"finished" | "by-me" | "again"> {
  const { store } = ledger;
  const before = await readLive(store);
  if (before.live.seq >= head.seq || head.entry === null) return "finished";
  const { entry } = head;

  if (entry.kind === "round") {
    const { plan, result } = await readCommitted(store, entry);
    await fold(store, plan.items);
    await inParallel(plan.segments, (key) => store.delete(key));
    await quarantine(store, result);
  } else if (entry.kind === "rollback") {
    await fold(store, entry.without);
  }
  await ledger.notify.notify(noticeOf(ledger.config.name, entry));
  // last: whoever reads this seq takes the rest as done
  const body = documentBytes("live", LIVE, { format: 1, seq: head.seq, live: head.live });
  const written = await store.replace(LIVE, body, before.etag);
  return written === "won" ? "by-me" : "again";
}

/** Adds the items to their shards of consumed/. It only adds, so it may run any number of times, at any later time. */
async function fold(store: Store, items: readonly Item[]): Promise<void> {
  const byShard = Map.groupBy(items.map(itemId), shardOf);
  await inParallel([...byShard], ([shard, ids]) => foldShard(store, CONSUMED + shard, ids));
}

/** One shard's part of that. */
export async function foldShard(store: Store, key: string, ids: readonly string[]): Promise<void> {
  for (let tries = 0; tries < FOLD_TRIES_MAX; tries++) {
    const read = await readDocument(store, "consumed", key);
    const union = new Set(read?.document.ids);
    const known = union.size;
    for (const id of ids) union.add(id);
    if (union.size === known) return;
    const body = documentBytes("consumed", key, { format: 1, ids: [...union].sort() });
    if ((await store.replace(key, body, read?.etag ?? null)) === "won") return;
  }
  throw new AccreteError("STORE_UNREADABLE", `${key} could not be written in ${FOLD_TRIES_MAX} tries`);
}

/** Copies for people: what is there already stays. */
export async function quarantine(store: Store, result: Result): Promise<void> {
  await inParallel(result.rejected, async (rejected) => {
    const key = quarantineKey(itemId(rejected.item));
    await store.create(key, documentBytes("quarantined", key, { format: 1, round: result.round, rejected })); // lost: it is there
  });
}

function noticeOf(pipeline: string, entry: LogEntry): Notice {
  const { seq } = entry;
  if (entry.kind === "promote")
    return {
      kind: "promoted",
      pipeline,
      seq,
      message: `live is now ${entry.live === null ? "nothing" : `round ${entry.live.round}`}: ${entry.reason}`,
    };
  if (entry.kind === "rollback") {
    const target = entry.checkpoint === null ? "nothing trained" : `round ${entry.checkpoint.round}`;
    return { kind: "rolled-back", pipeline, seq, message: `goes on from ${target}: ${entry.reason}` };
  }
  const learned = entry.items - entry.rejected;
  const rejected =
    entry.rejected === 0
      ? ""
      : `; ${entry.rejected === 1 ? "1 was" : `${entry.rejected} were`} rejected: \`accrete show ${entry.round}\` says why`;
  const what = `round ${entry.round} has learned ${learned} item${learned === 1 ? "" : "s"}${rejected}`;
  const { round, metrics } = entry;
  const { passed, reasons } = entry.gate;
  const message = passed ? [what, ...reasons].join("; ") : `${what}, but does not go live: ${reasons.join("; ")}`;
  return { kind: passed ? "committed" : "held", pipeline, seq, round, metrics, message };
}

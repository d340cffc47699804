/** Reading the state: one document, the head, a page of the inbox. Nothing here writes. */
import { shardOf, sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { headOf, START, type Head } from "../protocol/head.ts";
import { itemSet, type ItemSet } from "../protocol/history.ts";
import { CONSUMED, INBOX, LIVE, LOG, logKey, parseSegmentKey, planKey, seqOfLogKey } from "../protocol/keys.ts";
import type { SegmentRead } from "../protocol/plan.ts";
import type { Store } from "../protocol/ports.ts";
import {
  parseDocument,
  type DocumentKind,
  type DocumentOf,
  type Item,
  type Live,
  type LogEntry,
  type Plan,
  type Result,
  type Segment,
} from "../protocol/types.ts";
import { inParallel } from "./ledger.ts";

export interface Read<T> {
  readonly document: T;
  readonly sha256: string;
  readonly etag: string;
  readonly modifiedMs: number;
}

/** @throws {AccreteError} STORED_NOT_READABLE, STORED_TOO_LARGE */
export async function readDocument<K extends DocumentKind>(
  store: Store,
  kind: K,
  key: string,
): Promise<Read<DocumentOf<K>> | undefined> {
  const stored = await store.get(key);
  if (stored === undefined) return undefined;
  return {
    document: parseDocument(kind, key, stored.body),
    sha256: sha256(stored.body),
    etag: stored.etag,
    modifiedMs: stored.modifiedMs,
  };
}

/** @throws {AccreteError} STATE_MISSING if it is not there */
export async function needDocument<K extends DocumentKind>(
  store: Store,
  kind: K,
  key: string,
  namedBy: string,
): Promise<Read<DocumentOf<K>>> {
  const read = await readDocument(store, kind, key);
  if (read === undefined) throw new AccreteError("STATE_MISSING", `${key} is not there, but ${namedBy} names it`);
  return read;
}

/** The state after the newest log entry, and the store's clock. */
export async function readHead(store: Store): Promise<{ head: Head; nowMs: number }> {
  const page = await store.list(LOG, { limit: 1 });
  const [newest] = page.objects;
  if (newest === undefined) return { head: START, nowMs: page.nowMs };
  const seq = seqOfLogKey(newest.key);
  if (seq === undefined) throw new AccreteError("STORED_NOT_READABLE", `${newest.key} is no key of the log`);
  const read = await readEntry(store, seq);
  return { head: headOf(read.document, { sha256: read.sha256, modifiedMs: newest.modifiedMs }), nowMs: page.nowMs };
}

export async function readEntry(store: Store, seq: number): Promise<Read<LogEntry>> {
  const read = await needDocument(store, "logEntry", logKey(seq), "the log");
  if (read.document.seq !== seq)
    throw new AccreteError("STORED_NOT_READABLE", `${logKey(seq)} says that it is entry ${read.document.seq}`);
  return read;
}

export const NO_LIVE: Live = { format: 1, seq: 0, live: null };

export async function readLive(store: Store): Promise<{ live: Live; etag: string | null }> {
  const read = await readDocument(store, "live", LIVE);
  return read === undefined ? { live: NO_LIVE, etag: null } : { live: read.document, etag: read.etag };
}

/** The plan and the result that a round's entry names, with their digests checked. */
export async function readCommitted(
  store: Store,
  entry: Extract<LogEntry, { kind: "round" }>,
): Promise<{ plan: Plan; result: Result }> {
  const by = `entry ${entry.seq}`;
  const plan = await needDocument(store, "plan", entry.plan.key, by);
  const result = await needDocument(store, "result", entry.result.key, by);
  for (const [read, named] of [
    [plan, entry.plan],
    [result, entry.result],
  ] as const) {
    if (read.sha256 !== named.sha256)
      throw new AccreteError(
        "STORED_NOT_READABLE",
        `${named.key} is not what ${by} names: its digest is ${read.sha256}`,
      );
  }
  return { plan: plan.document, result: result.document };
}

/** The items of a round's plan, by id; of a closed round it need not be a committed one. */
export async function readPlanItems(store: Store, round: number): Promise<ItemSet> {
  return itemSet((await needDocument(store, "plan", planKey(round), `a redo`)).document.items);
}

/** Of these shards of consumed/ all ids. @param ids only their shards are read */
export async function readConsumed(store: Store, ids: Iterable<string>): Promise<ReadonlySet<string>> {
  return consumedOnce(store)(ids);
}

/** readConsumed() for call after call: a shard is read by the first that needs it, so the later ones may see it as it was. */
export function consumedOnce(store: Store): (ids: Iterable<string>) => Promise<ReadonlySet<string>> {
  const consumed = new Set<string>();
  const seen = new Set<string>();
  return async (ids) => {
    const shards = [...new Set([...ids].map(shardOf))].filter((shard) => !seen.has(shard)).sort();
    await inParallel(shards, async (shard) => {
      const read = await readDocument(store, "consumed", CONSUMED + shard);
      for (const id of read?.document.ids ?? []) consumed.add(id);
      seen.add(shard);
    });
    return consumed;
  };
}

export interface InboxSegment {
  readonly key: string;
  readonly count: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly modifiedMs: number;
}

/** One page of the inbox, oldest first. Keys that intake has not made are passed over. */
export async function listInbox(
  store: Store,
  after?: string,
): Promise<{ segments: InboxSegment[]; more: boolean; nowMs: number; last: string | undefined }> {
  const page = await store.list(INBOX, after === undefined ? {} : { after });
  const segments = page.objects.flatMap(({ key, modifiedMs }) => {
    const name = parseSegmentKey(key);
    return name === undefined ? [] : [{ key, modifiedMs, count: name.count, bytes: name.bytes, sha256: name.sha256 }];
  });
  return { segments, more: page.more, nowMs: page.nowMs, last: page.objects.at(-1)?.key };
}

/** The whole inbox, a page at a time. */
export async function* inboxPages(store: Store): AsyncGenerator<readonly InboxSegment[]> {
  for (let after: string | undefined; ;) {
    const page = await listInbox(store, after);
    yield page.segments;
    if (!page.more || page.last === undefined) return;
    after = page.last;
  }
}

/** Those that are there and whole, in their order, and the keys of those that are damaged. One that is gone was consumed. */
export async function readSegments(
  store: Store,
  listed: readonly InboxSegment[],
): Promise<{ whole: SegmentRead[]; damaged: string[] }> {
  const read = await inParallel(listed, async (segment) => ({
    key: segment.key,
    items: await readSegment(store, segment),
  }));
  return {
    whole: read.flatMap(({ key, items }) => (typeof items === "string" ? [] : [{ key, items }])),
    damaged: read.flatMap(({ key, items }) => (items === "damaged" ? [key] : [])),
  };
}

/** A segment's items; "gone" if it was deleted (its items are consumed then), "damaged" if its bytes don't match its key. */
export async function readSegment(
  store: Store,
  segment: Pick<InboxSegment, "key" | "sha256">,
): Promise<readonly Item[] | "gone" | "damaged"> {
  const stored = await store.get(segment.key);
  if (stored === undefined) return "gone";
  if (sha256(stored.body) !== segment.sha256) return "damaged";
  const parsed: Segment = parseDocument("segment", segment.key, stored.body);
  return parsed.items;
}

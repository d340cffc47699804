/** consumed/ is the union of what the entries consume, and no item is trained twice on the head's line (I1, I7). */
import { compareBytes, itemId, shardOf } from "../protocol/digest.ts";
import { CONSUMED, planKey } from "../protocol/keys.ts";
import type { Plan, Result } from "../protocol/types.ts";
import { readCommitted, readEntry, readHead } from "./read.ts";
import type { Chain, Link } from "./verify-log.ts";
import type { VerifyContext } from "./verify-context.ts";

/** About 150 bytes each. A longer history is gone through several times, for some of the shards each time. */
const IDS_MAX = 2_000_000;

interface Sets {
  /** consumed by entries that are finished: must be in the shard */
  readonly must: Map<string, number>;
  /** consumed by an entry that is not finished yet: may be */
  readonly may: Set<string>;
  /** trained on the head's line, by round */
  readonly trained: Map<string, number>;
}

export class ConsumedCheck {
  readonly #context: VerifyContext;
  readonly #chain: Chain;
  readonly #finishedSeq: number;
  /** the shards that there are */
  readonly #listed = new Set<string>();

  constructor(context: VerifyContext, chain: Chain, liveSeq: number | undefined) {
    this.#context = context;
    this.#chain = chain;
    // without live.json: entries older than the head always are finished
    this.#finishedSeq = liveSeq ?? Math.max(0, chain.headSeq - 1);
  }

  /** A key under consumed/ @returns false if it is no shard's */
  add(key: string): boolean {
    const shard = key.slice(CONSUMED.length);
    if (!/^[0-9a-f]{2}$/.test(shard)) return false;
    this.#listed.add(shard);
    return true;
  }

  async run(): Promise<void> {
    const ids = [...this.#chain.links.values()].reduce((sum, { items = 0, without = 0 }) => sum + items + without, 0);
    const shards = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
    const atOnce = Math.max(1, Math.floor(256 / Math.ceil(ids / IDS_MAX || 1)));
    for (let i = 0; i < shards.length; i += atOnce) await this.#checkShards(new Set(shards.slice(i, i + atOnce)));
  }

  async #checkShards(shards: ReadonlySet<string>): Promise<void> {
    const sets: Sets = { must: new Map(), may: new Set(), trained: new Map() };
    // shards first: what they have by now, an entry that is read later has
    const stored = new Map<string, ReadonlySet<string>>();
    for (const shard of shards) {
      const ids = await this.#readShard(shard);
      if (ids !== undefined) stored.set(shard, ids);
    }
    let complete = true;
    for (let seq = 1; seq <= this.#chain.headSeq; seq++) {
      const link = this.#chain.links.get(seq);
      if (link === undefined || !(await this.#collect(link, shards, sets))) complete = false;
    }
    await this.#collectNewer(shards, sets);
    for (const [shard, ids] of stored) this.#compare(shard, ids, sets, complete);
  }

  /** @returns undefined if it is damaged, and said to be */
  async #readShard(shard: string): Promise<ReadonlySet<string> | undefined> {
    const key = CONSUMED + shard;
    if (!this.#listed.has(shard)) return new Set();
    const read = await this.#context.read("consumed", key);
    if (read.is === "damaged") return undefined;
    const ids = read.is === "whole" ? read.document.ids : [];
    if (ids.some((id) => shardOf(id) !== shard))
      this.#context.report("damage", key, "it has an item that belongs to another shard");
    if (ids.some((id, i) => i > 0 && compareBytes(ids[i - 1]!, id) >= 0))
      this.#context.report("damage", key, "its items are not in order, each once");
    return new Set(ids);
  }

  /** @returns false if plan or result can't be read: they were reported */
  async #collect(link: Link, shards: ReadonlySet<string>, sets: Sets): Promise<boolean> {
    const consumed = await this.#consumedBy(link);
    if (consumed === undefined) return false;
    const { ids, rejected, round } = consumed;
    const onLine = round !== undefined && this.#chain.line.has(link.seq);
    for (const id of ids) {
      if (!shards.has(shardOf(id))) continue;
      if (link.seq <= this.#finishedSeq) sets.must.set(id, link.seq);
      else sets.may.add(id);
      if (!onLine || rejected.has(id)) continue;
      const before = sets.trained.get(id);
      if (before !== undefined)
        this.#context.report(
          "damage",
          planKey(round),
          `item ${id} was trained by round ${before} already, on the same line`,
        );
      sets.trained.set(id, round);
    }
    return true;
  }

  async #consumedBy(
    link: Link,
  ): Promise<{ ids: readonly string[]; rejected: ReadonlySet<string>; round: number | undefined } | undefined> {
    if (link.kind === "promote" || link.without === 0) return { ids: [], rejected: new Set(), round: undefined };
    try {
      const { document } = await readEntry(this.#context.store, link.seq);
      if (document.kind === "rollback")
        return { ids: document.without.map(itemId), rejected: new Set(), round: undefined };
      if (document.kind !== "round") return undefined;
      const { plan, result }: { plan: Plan; result: Result } = await readCommitted(this.#context.store, document);
      return {
        ids: plan.items.map(itemId),
        rejected: new Set(result.rejected.map(({ item }) => itemId(item))),
        round: document.round,
      };
    } catch {
      return undefined;
    }
  }

  /** Entries that were written after the chain was read: their items may be there. */
  async #collectNewer(shards: ReadonlySet<string>, sets: Sets): Promise<void> {
    if (this.#chain.head === undefined) return;
    const { head } = await readHead(this.#context.store);
    for (let seq = this.#chain.headSeq + 1; seq <= head.seq; seq++) {
      const { document } = await readEntry(this.#context.store, seq);
      const items =
        document.kind === "rollback"
          ? document.without
          : document.kind === "round"
            ? (await readCommitted(this.#context.store, document)).plan.items
            : [];
      for (const id of items.map(itemId)) if (shards.has(shardOf(id))) sets.may.add(id);
    }
  }

  #compare(shard: string, ids: ReadonlySet<string>, sets: Sets, complete: boolean): void {
    const key = CONSUMED + shard;
    const missing = [...sets.must.keys()].filter((id) => shardOf(id) === shard && !ids.has(id));
    if (missing.length > 0)
      this.#context.report(
        "damage",
        key,
        `${missing.length} consumed items are missing in it, the first ${missing[0]} of entry ${sets.must.get(missing[0]!)}`,
      );
    // with an unreadable plan it is not known what all was consumed
    const more = complete ? [...ids].filter((id) => !sets.must.has(id) && !sets.may.has(id)) : [];
    if (more.length > 0)
      this.#context.report(
        "damage",
        key,
        `${more.length} items are in it that no entry consumes, the first ${more[0]}`,
      );
  }
}

/** What a round costs in requests to the store, beside the trainer's: docs/protocol.md, "What a round costs". */
import { expect, it } from "vitest";
import { countRequests, type Requests } from "../adapters/counted-store.ts";
import type { Item } from "../protocol/types.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { itemsOf, memoryStore } from "../test/small-states.ts";
import { intake } from "./intake.ts";
import { janitor } from "./janitor.ts";
import { sweep } from "./sweep.ts";
import { tick } from "./tick.ts";

const ITEMS = 10_000;
const EARLIER_ROUNDS = 10;
/** A watcher tells of so many deliveries while the files are dropped. */
const DELIVERIES = 20;

const itemsOfRound = (round: number): Item[] =>
  Array.from({ length: ITEMS }, (_, i) => fakeItem(`in/round-${round}/file-${i}.csv`));

it(
  "stays within 0.05 writes and 0.1 reads an item, whatever the history, and starts nothing for what comes again",
  { timeout: 180_000 },
  async () => {
    const counted = countRequests(memoryStore());
    const fake = fakePipeline(counted.store);
    const { ledger } = fake;
    const took = async (work: () => Promise<unknown>): Promise<Requests> => {
      const before = counted.requests();
      await work();
      const after = counted.requests();
      return { writes: after.writes - before.writes, reads: after.reads - before.reads };
    };
    const deliver = async (items: readonly Item[]): Promise<void> => {
      for (let i = 0; i < DELIVERIES; i++)
        await intake(ledger, items.slice((i * ITEMS) / DELIVERIES, ((i + 1) * ITEMS) / DELIVERIES));
      await tick(ledger, { kind: "plain" });
    };
    const round = (n: number): Promise<Requests> =>
      took(async () => {
        await deliver(itemsOfRound(n));
        await janitor(counted.store, { history: 35 });
      });

    const first = await round(1);
    expect(fake.notices.filter(({ kind }) => kind === "committed").map(({ message }) => message)).toEqual([
      "round 1 has learned 10000 items",
    ]);
    expect(first.writes).toBeLessThanOrEqual(0.05 * ITEMS);
    expect(first.reads).toBeLessThanOrEqual(0.1 * ITEMS);

    const again = await took(() => deliver(itemsOfRound(1)));
    expect(again.writes + again.reads).toBeLessThanOrEqual(0.1 * ITEMS);
    expect(fake.notices.filter(({ kind }) => kind === "planned")).toHaveLength(1);

    for (let n = 2; n <= EARLIER_ROUNDS; n++) await round(n);
    const later = await round(EARLIER_ROUNDS + 1);
    expect(later.writes).toBeLessThanOrEqual(1.05 * first.writes);
    expect(later.reads).toBeLessThanOrEqual(1.05 * first.reads);

    const present = Array.from({ length: EARLIER_ROUNDS + 1 }, (_, n) => itemsOfRound(n + 1)).flat();
    const swept = await took(() => sweep(ledger, itemsOf(present, 1_000)));
    expect(swept.writes).toBe(0);
    // each shard once, though there are 110 pages
    expect(swept.reads).toBeLessThanOrEqual(300);
  },
);

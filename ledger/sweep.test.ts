import { countRequests } from "../adapters/counted-store.ts";
import { expect, it } from "vitest";
import type { Item } from "../protocol/types.ts";
import { A, A2, B, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { itemsOf, memoryStore } from "../test/small-states.ts";
import { intake } from "./intake.ts";
import { listInbox, readSegment } from "./read.ts";
import { sweep } from "./sweep.ts";

async function inboxKeys(store: ReturnType<typeof memoryStore>): Promise<string[]> {
  const { segments } = await listInbox(store);
  const read = await Promise.all(segments.map((segment) => readSegment(store, segment)));
  return read.flatMap((items) => (typeof items === "string" ? [items] : items.map(({ key }) => key)));
}
const C = fakeItem("c.csv");
const D = fakeItem("d.csv");

it("finds what the news missed, and passes what is consumed or in the inbox", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  await learn(fake, [A]);
  await intake(fake.ledger, [B]);
  const report = await sweep(fake.ledger, itemsOf([A, B, C, D]));
  expect(report).toMatchObject({ pages: 2, seen: 4, accepted: 2 });
  expect((await inboxKeys(store)).sort()).toEqual(["b.csv", "c.csv", "d.csv"]);
  expect((await sweep(fake.ledger, itemsOf([A, B, C, D]))).accepted).toBe(0);
});

it("finds an object that was overwritten: another content is another item", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  await learn(fake, [A]);
  expect((await sweep(fake.ledger, itemsOf([A2]))).accepted).toBe(1);
  expect((await sweep(fake.ledger, itemsOf([A]))).accepted).toBe(0);
});

it("passes what a rejected item has left: it was consumed", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  await learn(fake, [A, C], { reject: ["c.csv"] });
  expect((await sweep(fake.ledger, itemsOf([A, C]))).accepted).toBe(0);
});

it("lists only the prefix, and takes in nothing that does not count", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  const ledger = {
    ...fake.ledger,
    config: { ...fake.ledger.config, data: { ...fake.ledger.config.data, prefix: "in/", suffixes: [".csv"] } },
  };
  const present = ["in/a.csv", "in/readme.md", "in/deep/", "out/b.csv"].map((key) => fakeItem(key));
  expect(await sweep(ledger, itemsOf(present))).toMatchObject({
    seen: 3,
    accepted: 1,
    dropped: { "other-suffix": 1, "folder-marker": 1 },
  });
  expect(await inboxKeys(store)).toEqual(["in/a.csv"]);
});

it("passes what is older than data.since, and stores no times", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  const ledger = {
    ...fake.ledger,
    config: { ...fake.ledger.config, data: { ...fake.ledger.config.data, since: 500 } },
  };
  const present = [A, B, C].map((item, i) => ({ ...item, modifiedMs: i * 500 }));
  expect(await sweep(ledger, itemsOf(present))).toMatchObject({ seen: 3, accepted: 2, dropped: { "too-old": 1 } });
  expect(await sweep(ledger, itemsOf(present))).toMatchObject({ accepted: 0, dropped: { "too-old": 1 } });
  expect((await inboxKeys(store)).sort()).toEqual(["b.csv", "c.csv"]);
});

it("takes in again what only a damaged segment has: nothing is lost with it", async () => {
  const store = memoryStore();
  const fake = fakePipeline(store);
  await intake(fake.ledger, [A, B]);
  const [segment] = (await listInbox(store)).segments;
  const stored = (await store.get(segment!.key))!;
  await store.replace(segment!.key, stored.body.subarray(1), stored.etag);
  // intake's clock goes on, so the new segment has a name of its own
  fake.ledger.clock.nonce();
  expect((await sweep(fake.ledger, itemsOf([A, B]))).accepted).toBe(2);
  expect((await inboxKeys(store)).sort()).toEqual(["a.csv", "b.csv", "damaged"]);
});

it("has nothing to do in an empty data folder", async () => {
  const none: Item[] = [];
  expect(await sweep(fakePipeline(memoryStore()).ledger, itemsOf(none))).toMatchObject({
    pages: 1,
    seen: 0,
    accepted: 0,
    segments: [],
  });
});

it("takes nothing in of more pages than it may list, and reads nothing else for it", async () => {
  const counted = countRequests(memoryStore());
  const { ledger } = fakePipeline(counted.store);
  const present = [A, B, C];
  expect(await sweep(ledger, itemsOf(present, 1), { pagesMax: 2 })).toEqual({
    pages: 2,
    seen: 2,
    accepted: 0,
    segments: [],
    dropped: {},
    tooMany: true,
  });
  expect(counted.requests()).toEqual({ writes: 0, reads: 0 });
  expect(await sweep(ledger, itemsOf(present, 1), { pagesMax: 3 })).toMatchObject({ accepted: 3, tooMany: false });
});

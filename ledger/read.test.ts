import { describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { START } from "../protocol/head.ts";
import { LIVE, logKey, planKey, resultKey } from "../protocol/keys.ts";
import { documentBytes } from "../protocol/types.ts";
import { A, B, fakeHistory, learn } from "../test/fake-history.ts";
import { fakePipeline } from "../test/fake-trainer.ts";
import { memoryStore } from "../test/small-states.ts";
import { DOCUMENTS } from "../test/stored-documents.ts";
import { intake } from "./intake.ts";
import { listInbox, readCommitted, readConsumed, readEntry, readHead, readLive, readSegment } from "./read.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const failsWith = (code: string, message: string): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe("the head", () => {
  it("is nothing trained in an empty store", async () => {
    expect((await readHead(memoryStore())).head).toEqual(START);
  });

  it("is the newest entry, with the digest that the next one names", async () => {
    const store = memoryStore();
    await fakeHistory(store);
    const { head } = await readHead(store);
    expect(head).toMatchObject({ seq: 5, round: 4, entry: { kind: "promote" } });
    expect(head.sha256).toBe(sha256((await store.get(logKey(5)))!.body));
    expect(head.modifiedMs).toBe((await store.head(logKey(5)))!.modifiedMs);
  });

  it("is an error that names the key if the newest entry is damaged: nothing goes on from a guess", async () => {
    const store = memoryStore();
    await learn(fakePipeline(store), [A]);
    const stored = (await store.get(logKey(1)))!;
    await store.replace(logKey(1), stored.body.subarray(2), stored.etag);
    await expect(readHead(store)).rejects.toEqual(failsWith("STORED_NOT_READABLE", logKey(1)));
  });

  it("is an error if something foreign lies before the newest entry", async () => {
    const store = memoryStore();
    await store.create("log/.tmp", text("x"));
    await expect(readHead(store)).rejects.toEqual(failsWith("STORED_NOT_READABLE", "log/.tmp is no key of the log"));
  });

  it("is an error if the entry is one of another place", async () => {
    const store = memoryStore();
    await store.create(logKey(7), documentBytes("logEntry", "k", DOCUMENTS.logEntry));
    await expect(readHead(store)).rejects.toEqual(
      failsWith("STORED_NOT_READABLE", `${logKey(7)} says that it is entry 2`),
    );
  });

  it("is an error if the entry is gone that the LIST has named", async () => {
    await expect(readEntry(memoryStore(), 3)).rejects.toEqual(failsWith("STATE_MISSING", logKey(3)));
  });
});

it("takes a store without live.json for one in which nothing is finished", async () => {
  expect(await readLive(memoryStore())).toEqual({ live: { format: 1, seq: 0, live: null }, etag: null });
});

describe("what an entry names", () => {
  it.each([
    ["plan", planKey(1)],
    ["result", resultKey(1)],
  ] as const)("is an error if the %s is another whole one, or gone", async (kind, key) => {
    const store = memoryStore();
    await learn(fakePipeline(store), [A]);
    const entry = (await readEntry(store, 1)).document;
    if (entry.kind !== "round") throw new Error("a round was expected");
    const stored = (await store.get(key))!;
    await store.replace(key, documentBytes(kind, key, DOCUMENTS[kind] as never), stored.etag);
    await expect(readCommitted(store, entry)).rejects.toEqual(
      failsWith("STORED_NOT_READABLE", `${key} is not what entry 1 names`),
    );
    await store.delete(key);
    await expect(readCommitted(store, entry)).rejects.toEqual(
      failsWith("STATE_MISSING", `${key} is not there, but entry 1 names it`),
    );
  });
});

describe("the inbox", () => {
  it("is listed oldest first, without what intake has not made", async () => {
    const store = memoryStore();
    const { ledger } = fakePipeline(store);
    await intake(ledger, [B]);
    ledger.clock.nonce();
    await intake(ledger, [A]);
    for (const key of ["inbox/.DS_Store", "inbox/mine.json"]) await store.create(key, text("x"));
    const { segments, more } = await listInbox(store);
    expect(await Promise.all(segments.map((one) => readSegment(store, one)))).toEqual([[B], [A]]);
    expect(more).toBe(false);
    expect((await listInbox(store, segments[0]!.key)).segments).toEqual(segments.slice(1));
  });

  it("tells a segment that is gone from one whose bytes are not those of its name", async () => {
    const store = memoryStore();
    await intake(fakePipeline(store).ledger, [A]);
    const [segment] = (await listInbox(store)).segments;
    const stored = (await store.get(segment!.key))!;
    const other = documentBytes("segment", "k", { format: 1, items: [B] });
    await store.replace(segment!.key, other, stored.etag);
    expect(await readSegment(store, segment!)).toBe("damaged");
    await store.delete(segment!.key);
    expect(await readSegment(store, segment!)).toBe("gone");
  });
});

describe("what is consumed", () => {
  it("is nothing where there is no shard", async () => {
    expect(await readConsumed(memoryStore(), ["A".repeat(22)])).toEqual(new Set());
  });
  it("is an error if a shard is damaged: else its items would be trained twice", async () => {
    const store = memoryStore();
    await store.create("consumed/00", text("{}"));
    await expect(readConsumed(store, ["A".repeat(22)])).rejects.toEqual(
      failsWith("STORED_NOT_READABLE", "consumed/00"),
    );
  });
});

it("takes a live.json that is damaged for damage, and not for none", async () => {
  const store = memoryStore();
  await store.create(LIVE, text("null"));
  await expect(readLive(store)).rejects.toEqual(failsWith("STORED_NOT_READABLE", LIVE));
});

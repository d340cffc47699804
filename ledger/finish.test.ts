import { describe, expect, it } from "vitest";
import { itemId } from "../protocol/digest.ts";
import { consumedKey, CONSUMED, LIVE, quarantineKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes } from "../protocol/types.ts";
import { A, B, BAD, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { promote, rollback } from "./commands.ts";
import { finishHead } from "./finish.ts";
import { listAll } from "./inspect.ts";
import { readConsumed, readDocument, readHead, readLive } from "./read.ts";

/** One round on A, B and BAD, whose entry was written by a tick that died just then. */
async function unfinished(): Promise<{ store: ReturnType<typeof memoryStore>; fake: ReturnType<typeof fakePipeline> }> {
  const store = memoryStore();
  const dies = storeWith(store, {
    replace: () => Promise.reject(new Error("killed")),
    delete: () => Promise.reject(new Error("killed")),
  });
  const fake = fakePipeline(store);
  fake.training = { reject: [BAD.key] };
  const dying = { ...fake, ledger: { ...fake.ledger, store: dies } };
  await expect(learn(dying, [A, B, BAD])).rejects.toThrow("killed");
  return { store, fake };
}
const finish = async (fake: ReturnType<typeof fakePipeline>, store: Store): Promise<string> =>
  finishHead({ ...fake.ledger, store }, (await readHead(store)).head);

describe("finishing a round's entry", () => {
  it("consumes its items, rejected ones too, empties the inbox, and says last that it is finished", async () => {
    const { store, fake } = await unfinished();
    const deleted: string[] = [];
    const written: string[] = [];
    const watched = storeWith(store, {
      delete: async (key) => {
        deleted.push(key);
        await store.delete(key);
      },
      replace: async (key, body, expected) => {
        written.push(key);
        return store.replace(key, body, expected);
      },
    });
    const inbox = (await listAll(store, "inbox/")).objects.map(({ key }) => key);
    expect(await finish(fake, watched)).toBe("by-me");
    expect(await readConsumed(store, [A, B, BAD].map(itemId))).toEqual(new Set([A, B, BAD].map(itemId)));
    expect(deleted).toEqual(inbox);
    expect(inbox.length).toBe(1);
    expect(written.at(-1)).toBe(LIVE);
    expect((await readLive(store)).live).toMatchObject({ seq: 1, live: { round: 1 } });
    expect(await finish(fake, store)).toBe("finished");
  });

  it("leaves a copy of each rejected item for people, under its id, with round and reason", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A, B, BAD], { reject: [BAD.key] });
    const key = quarantineKey(itemId(BAD));
    expect((await listAll(store, "quarantine/")).objects.map((one) => one.key)).toEqual([key]);
    expect((await readDocument(store, "quarantined", key))!.document).toEqual({
      format: 1,
      round: 1,
      rejected: { item: BAD, code: "bad", message: "line 3: 2 columns, 4 expected" },
    });
  });

  it("keeps the first reason of an item that is rejected again", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A, BAD], { reject: [BAD.key] });
    await rollback(fake.ledger, { to: "head", replay: false, without: [], with: [BAD], by: "ada", reason: "again" });
    await learn(fake, [B], { reject: [BAD.key] });
    expect((await readDocument(store, "quarantined", quarantineKey(itemId(BAD))))!.document.round).toBe(1);
    expect((await readHead(store)).head.seq).toBeGreaterThan(2);
  });

  it("tells people at least once, and again if it was killed before it could say that it was finished", async () => {
    const { store, fake } = await unfinished();
    const before = fake.notices.length;
    const cut = storeWith(store, {
      replace: async (key, body, expected) => (key === LIVE ? "unknown" : store.replace(key, body, expected)),
    });
    expect(await finish(fake, cut)).toBe("again");
    expect(await finish(fake, store)).toBe("by-me");
    expect(fake.notices.slice(before).map(({ kind }) => kind)).toEqual(["committed", "committed"]);
    expect(fake.notices.at(-1)).toMatchObject({
      message: "round 1 has learned 2 items; 1 was rejected: `accrete show 1` says why",
    });
  });
});

/** Another item whose id is in the same shard. */
function sameShard(id: string): ReturnType<typeof fakeItem> {
  for (let i = 0; ; i++) {
    const item = fakeItem(`other ${i}.csv`);
    if (consumedKey(itemId(item)) === consumedKey(id)) return item;
  }
}
const documentOf = (ids: string[]): Uint8Array => documentBytes("consumed", CONSUMED, { format: 1, ids });

describe("folding into consumed/", () => {
  it("adds to what is there, and never takes out", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    const first = await readConsumed(store, [itemId(A)]);
    const same = sameShard(itemId(A));
    await learn(fake, [same]);
    expect(consumedKey(itemId(same))).toBe(consumedKey(itemId(A)));
    expect(await readConsumed(store, [itemId(A)])).toEqual(new Set([...first, itemId(same)]));
  });

  it("reads again what another writer was first to change, so that neither's items are lost", async () => {
    const { store, fake } = await unfinished();
    const other = sameShard(itemId(A));
    let raced = false;
    const racing = storeWith(store, {
      replace: async (key, body, expected) => {
        if (key === consumedKey(itemId(A)) && !raced) {
          raced = true;
          const ids = [itemId(other)];
          await store.replace(key, documentOf(ids), expected);
        }
        return store.replace(key, body, expected);
      },
    });
    expect(await finish(fake, racing)).toBe("by-me");
    expect(await readConsumed(store, [itemId(A)])).toEqual(new Set([itemId(A), itemId(other)]));
  });

  it("writes nothing if all is there: it may run any number of times", async () => {
    const { store, fake } = await unfinished();
    const noLive = storeWith(store, {
      replace: async (key, body, expected) => (key === LIVE ? "lost" : store.replace(key, body, expected)),
    });
    await finish(fake, noLive);
    const written: string[] = [];
    const watched = storeWith(store, {
      replace: async (key, body, expected) => {
        written.push(key);
        return store.replace(key, body, expected);
      },
    });
    await finish(fake, watched);
    expect(written).toEqual([LIVE]);
  });

  it("gives up with an error after fifty lost writes of one shard, and leaves the head unfinished", async () => {
    const { store, fake } = await unfinished();
    let tries = 0;
    const stuck = storeWith(store, {
      replace: async (key, body, expected) => {
        if (key !== consumedKey(itemId(A))) return store.replace(key, body, expected);
        tries++;
        return "lost";
      },
    });
    await expect(finish(fake, stuck)).rejects.toEqual(
      expect.objectContaining({ code: "STORE_UNREADABLE", message: expect.stringContaining(CONSUMED) }),
    );
    expect(tries).toBe(50);
    expect((await readLive(store)).live.seq).toBe(0);
  });
});

describe("finishing another entry", () => {
  it("a rollback consumes what it takes out, and deletes nothing", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    await rollback(fake.ledger, { to: "head", replay: false, without: [B], with: [], by: "ada", reason: "" });
    expect(await finish(fake, storeWith(store, { delete: () => Promise.reject(new Error("it deletes")) }))).toBe(
      "by-me",
    );
    expect((await readConsumed(store, [itemId(B)])).has(itemId(B))).toBe(true);
    expect(fake.notices.at(-1)).toMatchObject({ kind: "rolled-back", message: "goes on from round 1: " });
  });

  it("a promote only moves live.json", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    await promote(fake.ledger, { round: 0, by: "ada", reason: "it is wrong" });
    const before = [...store.objects.keys()];
    expect(await finish(fake, store)).toBe("by-me");
    expect([...store.objects.keys()]).toEqual(before);
    expect((await readLive(store)).live).toEqual({ format: 1, seq: 2, live: null });
    expect(fake.notices.at(-1)).toMatchObject({ kind: "promoted", message: "live is now nothing: it is wrong" });
  });

  it("there is nothing to finish before the first", async () => {
    const store = memoryStore();
    expect(await finish(fakePipeline(store), store)).toBe("finished");
    expect(store.objects.size).toBe(0);
  });

  it("an old head is finished already: live.json never goes back", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    const old = (await readHead(store)).head;
    await learn(fake, [B]);
    expect(await finishHead(fake.ledger, old)).toBe("finished");
    expect((await readLive(store)).live.seq).toBe(2);
  });
});

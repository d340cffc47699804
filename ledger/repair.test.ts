import { describe, expect, it } from "vitest";
import { canonicalJson, jsonBytes, sha256 } from "../protocol/digest.ts";
import {
  consumedKey,
  failureKey,
  jobRecordKey,
  LIVE,
  logKey,
  planKey,
  quarantineKey,
  resultKey,
} from "../protocol/keys.ts";
import { itemId } from "../protocol/digest.ts";
import type { Store } from "../protocol/ports.ts";
import { A, BAD, D, fakeHistory, learn, W } from "../test/fake-history.ts";
import { fakeItem, fakePipeline, fakeTrain, type FakePipeline } from "../test/fake-trainer.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { rollback } from "./commands.ts";
import { listAll } from "./inspect.ts";
import { intake } from "./intake.ts";
import { readHead } from "./read.ts";
import { repair, type Repaired, type RepairPorts } from "./repair.ts";
import { tick } from "./tick.ts";
import { verify } from "./verify.ts";

const short = (body: Uint8Array): Uint8Array => body.subarray(0, body.length >> 1);
const empty = (): Uint8Array => new Uint8Array();
const flip = (body: Uint8Array): Uint8Array => body.with(body.length >> 1, body[body.length >> 1]! ^ 4);

async function change(store: Store, key: string, by: (body: Uint8Array) => Uint8Array): Promise<void> {
  const stored = (await store.get(key))!;
  expect(stored, key).toBeDefined();
  expect(await store.replace(key, by(stored.body.slice()), stored.etag)).toBe("won");
}

async function damagedKeys(store: Store): Promise<string[]> {
  const keys = new Set<string>();
  await verify(store, {
    digestOf: async (key) => {
      const stored = await store.get(key);
      return stored === undefined ? undefined : sha256(stored.body);
    },
    onFinding: ({ severity, key }) => void (severity === "damage" && keys.add(key)),
  });
  return [...keys];
}

async function repairAll(fake: FakePipeline, code: RepairPorts["code"] = fake.ledger.code): Promise<Repaired[]> {
  const { store, config } = fake.ledger;
  return repair({ store, config, code }, await damagedKeys(store));
}
const bytesOf = async (store: Store): Promise<Map<string, string>> => {
  const { objects } = await listAll(store, "");
  return new Map(
    await Promise.all(objects.map(async ({ key }) => [key, sha256((await store.get(key))!.body)] as const)),
  );
};
const withoutDamaged = (all: Map<string, string>): Map<string, string> =>
  new Map([...all].filter(([key]) => !key.startsWith("damaged/")));

describe("repair", () => {
  it("takes a flipped bit back in any stored file, and keeps the damaged bytes", async () => {
    const store = memoryStore();
    const fake = await fakeHistory(store);
    const before = await bytesOf(store);
    expect(before.size).toBeGreaterThan(40);
    for (const key of before.keys()) {
      // nothing names a file of an unfinished checkpoint, so nobody knows what it was
      if (key.includes("-killed/")) continue;
      await change(store, key, flip);
      expect(await repairAll(fake, null), key).toMatchObject([{ key, did: "mended" }]);
      expect(withoutDamaged(await bytesOf(store)), key).toEqual(before);
    }
    expect((await listAll(store, "damaged/")).objects.length).toBeGreaterThan(40);
    expect(await damagedKeys(store)).toEqual([]);
  });

  it.each([
    ["cut short", short],
    ["empty", empty],
    ["gone", undefined],
  ] as const)("makes live.json, a shard of consumed/ and code that is %s anew", async (_how, by) => {
    for (const keyOf of [
      () => LIVE,
      () => consumedKey(itemId(A)),
      (fake: FakePipeline) => `code/${fake.ledger.code.sha256}.mjs`,
    ]) {
      const store = memoryStore();
      const fake = await fakeHistory(store);
      const before = await bytesOf(store);
      const key = keyOf(fake);
      if (by === undefined) await store.delete(key);
      else await change(store, key, by);
      expect(await repairAll(fake), key).toMatchObject([{ key, did: "rebuilt" }]);
      await tick(fake.ledger, { kind: "plain" });
      expect(await damagedKeys(store)).toEqual([]);
      expect(withoutDamaged(await bytesOf(store))).toEqual(before);
    }
  });

  it("sets the weights of a warm start aside that are cut short: a plan that begins with them stores them anew", async () => {
    const store = memoryStore();
    const fake = await fakeHistory(store);
    const [start] = (await listAll(store, "start/")).objects;
    await change(store, start!.key, short);
    expect(await repairAll(fake)).toContainEqual(expect.objectContaining({ key: start!.key, did: "aside" }));
    expect(await store.head(start!.key)).toBeUndefined();
  });

  it("makes the copy of a rejected item anew", async () => {
    const store = memoryStore();
    const fake = await fakeHistory(store);
    const before = await bytesOf(store);
    await change(store, quarantineKey(itemId(BAD)), short);
    expect(await repairAll(fake)).toMatchObject([{ did: "rebuilt" }]);
    expect(withoutDamaged(await bytesOf(store))).toEqual(before);
  });

  it("makes a round's entry that was cut short anew to the bit, be it the newest or an old one", async () => {
    for (const seq of [1, 2]) {
      const store = memoryStore();
      const fake = fakePipeline(store);
      await learn(fake, [fakeItem("1.csv")]);
      await learn(fake, [fakeItem("2.csv"), BAD], { reject: [BAD.key] });
      const before = await bytesOf(store);
      await change(store, logKey(seq), (body) => body.subarray(0, body.length - 40));
      expect(await repairAll(fake)).toMatchObject([{ key: logKey(seq), did: "rebuilt" }]);
      expect(withoutDamaged(await bytesOf(store))).toEqual(before);
    }
  });

  it("takes a newest entry away of which nothing is left, and the round's result is committed again: nothing is trained twice", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [fakeItem("1.csv")]);
    await learn(fake, [fakeItem("2.csv")]);
    const { head } = await readHead(store);
    await change(store, logKey(2), empty);
    expect(await repairAll(fake)).toMatchObject([{ key: logKey(2), did: "aside" }]);
    await tick(fake.ledger, { kind: "plain" });
    const after = await readHead(store);
    expect(after.head).toMatchObject({
      seq: 2,
      round: 2,
      checkpoint: head.checkpoint,
      live: head.live,
      keep: head.keep,
    });
    expect(await damagedKeys(store)).toEqual([]);
    await learn(fake, [fakeItem("3.csv")]);
    expect((await readHead(store)).head).toMatchObject({ round: 3 });
    expect(await damagedKeys(store)).toEqual([]);
  });

  /** Round 2 waits for its commit, its trainer having ended while no loop ran. */
  async function withResultOfRound2(fake: FakePipeline): Promise<void> {
    await learn(fake, [fakeItem("1.csv")]);
    fake.training = null;
    await learn(fake, [fakeItem("2.csv")], null);
    await fakeTrain(fake.ledger.store, planKey(2), 1);
  }

  it("does not take a command away that ended a round whose result was there: what it took out would be learned", async () => {
    for (const isFinished of [true, false]) {
      const store = memoryStore();
      const fake = fakePipeline(store);
      await withResultOfRound2(fake);
      const without = [fakeItem("2.csv")];
      await rollback(fake.ledger, { to: "head", replay: false, without, with: [], by: "ada", reason: "poisoned" });
      if (isFinished) await tick(fake.ledger, { kind: "plain" });
      await change(store, logKey(2), empty);
      const before = await bytesOf(store);
      expect(await repairAll(fake)).toContainEqual(
        expect.objectContaining({
          key: logKey(2),
          did: "left",
          message: expect.stringContaining("if you gave no command"),
        }),
      );
      expect(await bytesOf(store)).toEqual(before);
    }
  });

  it("takes an entry away that its remains, or the plan after it, show to be a round's; else deleting it, as it says, commits it again", async () => {
    const config = { gate: { metric: "accuracy", maxDrop: 0.01, onFail: "hold" } } as const;
    for (const [by, did] of [
      [(body: Uint8Array) => body.subarray(0, 60), "aside"],
      [empty, "left"],
    ] as const) {
      const store = memoryStore();
      const fake = fakePipeline(store, config);
      await learn(fake, [fakeItem("1.csv")]);
      await learn(fake, [fakeItem("2.csv")], { metrics: { accuracy: 0.1 } });
      const { head } = await readHead(store);
      expect(head.live?.round, "the gate refused it: live.json does not name it").toBe(1);
      await change(store, logKey(2), by);
      expect(await repairAll(fake)).toMatchObject([{ key: logKey(2), did }]);
      if (did === "left") await store.delete(logKey(2));
      await tick(fake.ledger, { kind: "plain" });
      expect((await readHead(store)).head).toMatchObject({ seq: 2, checkpoint: head.checkpoint, live: head.live });
      expect(await damagedKeys(store)).toEqual([]);
    }
  });

  it("leaves alone what is whole, whoever names it", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [fakeItem("1.csv")]);
    await learn(fake, [W], null);
    await intake(fake.ledger, [D]);
    const [segment] = (await listAll(store, "inbox/")).objects;
    const before = await bytesOf(store);
    // the config is another one by now: the entry is not made to the same bytes
    const config = { ...fake.ledger.config, keep: { rounds: 99, history: 0, best: true } };
    const keys = [logKey(1), segment!.key, jobRecordKey(2, 1)];
    for (const one of await repair({ store, config, code: null }, keys)) expect(one.did, one.key).toBe("left");
    expect(await bytesOf(store)).toEqual(before);
  });

  it("does not take away what another repair has put right meanwhile", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [fakeItem("1.csv")]);
    await change(store, logKey(1), empty);
    const slow = storeWith(store, {
      // between its look and its delete another repair is done, and the pipeline goes on
      async create(key, body) {
        const written = await store.create(key, body);
        await repairAll(fake);
        await tick(fake.ledger, { kind: "plain" });
        await learn(fake, [fakeItem("2.csv")]);
        return written;
      },
    });
    const { config } = fake.ledger;
    await expect(repair({ store: slow, config, code: null }, [logKey(1)])).rejects.toThrow("changed meanwhile");
    expect((await readHead(store)).head.seq).toBe(2);
    expect(await damagedKeys(store)).toEqual([]);
  });

  it("leaves a document that one bit makes whole, but not one of ours", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [fakeItem("1.csv")]);
    const newer = { format: 2, seq: 1 };
    const body = jsonBytes({ ...newer, digest: sha256(canonicalJson(newer)) });
    await change(store, LIVE, () => flip(body));
    expect(await repairAll(fake)).toMatchObject([{ key: LIVE, did: "rebuilt" }]);
  });

  it("leaves the entry of an operator's command, an old entry, a plan and a result alone, and says what to do", async () => {
    for (const [key, advice] of [
      [logKey(5), /^restore it from a backup$/],
      [logKey(3), /^restore it from a backup$/],
      [planKey(1), /backup; the pipeline goes on without it/],
      [resultKey(2), /backup; the pipeline goes on without it/],
      [planKey(5), /or give the round up: `accrete rollback --to head` plans its items anew/],
    ] as const) {
      const store = memoryStore();
      const fake = await fakeHistory(store);
      await change(store, key, empty);
      const before = await bytesOf(store);
      const repaired = await repairAll(fake);
      expect(repaired.filter((one) => one.key === key)).toMatchObject([
        { did: "left", message: expect.stringMatching(advice) },
      ]);
      expect(await bytesOf(store)).toEqual(before);
    }
  });

  it("does not rebuild consumed/ from a log that it can't read: what is missing in it would be trained twice", async () => {
    const store = memoryStore();
    const fake = await fakeHistory(store);
    await change(store, planKey(1), empty);
    await change(store, consumedKey(itemId(A)), short);
    expect(await repairAll(fake)).toEqual(
      expect.arrayContaining([expect.objectContaining({ key: consumedKey(itemId(A)), did: "left" })]),
    );
  });

  it("puts a damaged job record, failure record and segment aside: their news comes again", async () => {
    for (const keyOf of [() => jobRecordKey(5, 1), () => failureKey(5, 1), segmentOfW]) {
      const store = memoryStore();
      const fake = await fakeHistory(store);
      const key = await keyOf(store);
      await change(store, key, short);
      expect(await repairAll(fake)).toMatchObject([{ key, did: "aside" }]);
      expect(await store.head(key)).toBeUndefined();
      expect(await damagedKeys(store)).toEqual([]);
    }
  });

  it("never takes an item out of consumed/ nor live.json back, whatever else is said to be wrong with them", async () => {
    const store = memoryStore();
    const fake = await fakeHistory(store);
    await store.delete(logKey(5));
    const repaired = await repairAll(fake);
    expect(repaired).toMatchObject([{ key: LIVE, did: "left" }]);
  });
});

async function segmentOfW(store: Store): Promise<string> {
  const { objects } = await listAll(store, "inbox/");
  for (const { key } of objects) if (new TextDecoder().decode((await store.get(key))!.body).includes(W.key)) return key;
  throw new Error("no segment has it");
}

import { describe, expect, it } from "vitest";
import { itemId } from "../protocol/digest.ts";
import { logKey, planKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes, type Item, type LogEntry } from "../protocol/types.ts";
import { A, B, BAD, E, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { drop, promote, rollback } from "./commands.ts";
import { intake } from "./intake.ts";
import { readRedo } from "./line.ts";
import { readConsumed, readDocument, readHead } from "./read.ts";
import type { RollbackRequest } from "./rollback.ts";
import { tick } from "./tick.ts";

const C = fakeItem("c.csv");
const D = fakeItem("d.csv");
const ask = (part: Partial<RollbackRequest> = {}): RollbackRequest => ({
  to: 1,
  replay: false,
  without: [],
  with: [],
  by: "ada",
  reason: "why",
  ...part,
});
const failsWith = (code: string, message: string | RegExp): unknown =>
  expect.objectContaining({
    code,
    message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
  });
/** Round 1 has learned A and B (BAD rejected), round 2 C, round 3 D. */
async function threeRounds(store: Store, keepRounds = 10): Promise<FakePipeline> {
  const fake = fakePipeline(store, { gate: null, keep: { rounds: keepRounds, history: 0, best: true } });
  await learn(fake, [A, B, BAD], { reject: [BAD.key] });
  await learn(fake, [C]);
  await learn(fake, [D]);
  return fake;
}
async function redoOf(store: Store, entry: LogEntry): Promise<string[]> {
  return [...(await readRedo(store, entry.redo)).items.values()].map(({ key }: Item) => key).sort();
}

describe("rollback", () => {
  it("goes on from an older round in a new one; what it leaves stays consumed and is not trained again", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const before = (await readHead(store)).head;
    const entry = await rollback(ledger, ask());
    expect(entry).toMatchObject({
      kind: "rollback",
      seq: 4,
      round: 4,
      to: 1,
      redo: null,
      live: before.live,
      by: "ada",
      reason: "why",
    });
    expect(entry.checkpoint?.round).toBe(1);
    expect((await readConsumed(store, [C, D].map(itemId))).has(itemId(C))).toBe(true);
  });

  it("with replay trains again what the line has had since, and what was rejected is not of it", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    expect(await redoOf(store, await rollback(ledger, ask({ replay: true })))).toEqual(["c.csv", "d.csv"]);
    expect(await redoOf(store, await rollback(ledger, ask({ to: 0, replay: true })))).toEqual([
      "a.csv",
      "b.csv",
      "c.csv",
      "d.csv",
    ]);
  });

  it("without an item consumes it for good: it is in no redo, and comes in no plan", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    const fresh = fakeItem("fresh.csv");
    expect(await redoOf(store, await rollback(fake.ledger, ask({ replay: true, without: [C, fresh] })))).toEqual([
      "d.csv",
    ]);
    await learn(fake, [fresh]);
    const { head } = await readHead(store);
    const plans = await Promise.all(
      Array.from({ length: head.round + 1 }, (_, i) => readDocument(store, "plan", planKey(i + 1))),
    );
    expect(plans.flatMap((plan) => plan?.document.items ?? []).map(({ key }) => key)).not.toContain("fresh.csv");
  });

  it("with a rejected item gives it its second chance", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const entry = await rollback(ledger, ask({ to: "head", with: [BAD, A] }));
    expect(await redoOf(store, entry)).toEqual(["bad.csv"]); // A is trained already
    expect(entry).toMatchObject({ with: [BAD], to: 3 });
  });

  it("refuses what no round has consumed, and writes nothing", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    await expect(rollback(ledger, ask({ with: [fakeItem("new.csv")] }))).rejects.toEqual(
      failsWith("NOT_FOUND", "new.csv was not consumed"),
    );
    expect((await readHead(store)).head.seq).toBe(3);
  });

  it("refuses a round that is not kept, and says which are", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    await expect(rollback(ledger, ask({ to: 9 }))).rejects.toEqual(
      failsWith("NOT_KEPT", /^round 9 .*: kept are rounds 1, 2, 3$/),
    );
    await expect(rollback(fakePipeline(memoryStore()).ledger, ask())).rejects.toEqual(
      failsWith("NOT_KEPT", /: none is$/),
    );
    expect((await readHead(store)).head.seq).toBe(3);
  });

  it("closes the open round and ends its job, and asks for a tick", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    await learn(fake, [E], null);
    const ended: string[] = [];
    const asked: string[] = [];
    const jobs: typeof fake.ledger.jobs = {
      ...fake.ledger.jobs,
      terminate: async (id) => void ended.push(id),
    };
    const ledger = {
      ...fake.ledger,
      jobs,
      ticks: { ask: async ({ kind }: { kind: string }) => void asked.push(kind) },
    };
    const entry = await rollback(ledger, ask({ to: "head" }));
    expect(entry.round).toBe(4);
    expect(ended).toEqual(["job-4"]);
    expect(asked).toEqual(["plain"]);
  });

  it("takes the time of the open plan's schedule over: its message does not start it again", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    fake.training = null;
    await intake(fake.ledger, [E]);
    await tick(fake.ledger, { kind: "schedule", timeMs: 777, retrain: "pending" });
    expect((await rollback(fake.ledger, ask({ to: "head" }))).scheduled).toBe(777);
  });
});

describe("drop", () => {
  it("goes back before the round that has trained the item and trains all since again without it", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const entry = await drop(ledger, { items: [C], by: "ada", reason: "mislabelled" });
    expect(entry).toMatchObject({ kind: "rollback", to: 1, replay: true, without: [C] });
    expect(await redoOf(store, entry)).toEqual(["d.csv"]);
  });

  it("goes back to nothing if no older round is kept", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const entry = await drop(ledger, { items: [A], by: "ada", reason: "" });
    expect(entry).toMatchObject({ to: 0, checkpoint: null });
    expect(await redoOf(store, entry)).toEqual(["b.csv", "c.csv", "d.csv"]);
  });

  it("of an item that the head has not learned goes back nowhere, and keeps it out", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    for (const item of [BAD, fakeItem("new.csv")]) {
      const { head } = await readHead(store);
      const entry = await drop(ledger, { items: [item], by: "ada", reason: "" });
      expect(entry).toMatchObject({ to: head.seq, redo: null, without: [item] });
      expect(entry.checkpoint).toEqual(head.checkpoint);
    }
  });
});

describe("promote", () => {
  it("moves live and nothing else", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const { head } = await readHead(store);
    const entry = await promote(ledger, { round: 2, by: "ada", reason: "better" });
    expect(entry).toMatchObject({ kind: "promote", seq: 4, round: head.round, target: 2 });
    expect([entry.live?.round, entry.checkpoint]).toEqual([2, head.checkpoint]);
  });

  it("refuses a round that is not kept", async () => {
    const { ledger } = await threeRounds(memoryStore());
    await expect(promote(ledger, { round: 7, by: "ada", reason: "" })).rejects.toEqual(
      failsWith("NOT_KEPT", "round 7"),
    );
  });
});

describe("a command whose write", () => {
  const request = { round: 1, by: "ada", reason: "mine" };
  /** Each create of entry 4 goes this way. */
  const onEntry = (memory: Store, create: Store["create"]): Store =>
    storeWith(memory, { create: (key, body) => (key === logKey(4) ? create(key, body) : memory.create(key, body)) });

  it("has an unknown outcome has won if its own entry is there", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const cut = onEntry(store, async (key, body) => {
      await store.create(key, body);
      return "unknown";
    });
    expect(await promote({ ...ledger, store: cut }, request)).toMatchObject({ kind: "promote", reason: "mine" });
  });

  it("has an unknown outcome and is not there says so", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const cut = onEntry(store, async () => "unknown");
    await expect(promote({ ...ledger, store: cut }, request)).rejects.toEqual(
      failsWith("COMMAND_LOST", "whether entry 4 was written is not known"),
    );
  });

  it("comes after another's is lost, and names the entry that is there", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const cut = onEntry(store, async (key, body) => {
      await promote(ledger, { round: 3, by: "bob", reason: "his" });
      return store.create(key, body);
    });
    await expect(promote({ ...ledger, store: cut }, request)).rejects.toEqual(
      failsWith("COMMAND_LOST", "entry 4 is now a promote of round 3"),
    );
    expect((await readHead(store)).head.entry).toMatchObject({ reason: "his" });
  });

  it("comes after a round's commit is lost", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    const cut = onEntry(store, async (key, body) => {
      await learn(fake, [E]);
      return store.create(key, body);
    });
    await expect(rollback({ ...fake.ledger, store: cut }, ask())).rejects.toEqual(
      failsWith("COMMAND_LOST", "entry 4 is now a round of round 4"),
    );
  });

  it("can't be made because live.json never can be gives up after a hundred passes", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const stuck = storeWith(store, { replace: async () => "lost" });
    const { live } = (await readHead(store)).head;
    const stored = (await store.get("live.json"))!;
    await store.replace("live.json", documentBytes("live", "live.json", { format: 1, seq: 1, live }), stored.etag);
    await expect(promote({ ...ledger, store: stuck }, request)).rejects.toEqual(
      failsWith("COMMAND_LOST", "the log changed all the time"),
    );
  });
});

import { describe, expect, it } from "vitest";
import { openMemoryStore, type MemoryStore } from "../adapters/memory-store.ts";
import { noCost, rollbackEntry } from "../protocol/entry.ts";
import { logKey, planKey } from "../protocol/keys.ts";
import type { Tick } from "../protocol/ports.ts";
import { documentBytes, PLAN_ITEMS_MAX } from "../protocol/types.ts";
import { A, B, learn } from "../test/fake-history.ts";
import { fakePipeline } from "../test/fake-trainer.ts";
import { samplePlan } from "../test/stored-documents.ts";
import { intake } from "./intake.ts";
import { readDocument, readEntry, readHead } from "./read.ts";
import { scheduledUntil } from "./schedule.ts";
import { readStatus } from "./status.ts";
import { tick } from "./tick.ts";

function memory(): { store: MemoryStore; pass: (ms: number) => void } {
  let now = 1_700_000_000_000;
  return { store: openMemoryStore({ nowMs: () => (now += 1) }), pass: (ms) => void (now += ms) };
}
const due = (timeMs: number, retrain: "pending" | "rehearse" | "full"): Tick => ({ kind: "schedule", timeMs, retrain });
const FULL = { every: 86_400_000, retrain: "full" } as const;

describe("a rehearsal", () => {
  it("needs a replay memory: a schedule's, and an operator's", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    for (const why of [due(500, "rehearse"), { kind: "rehearse", seq: 1 } as const])
      expect(await tick(fake.ledger, why)).toBe("there is no memory to rehearse");
    expect(await tick(fakePipeline(memory().store).ledger, due(500, "rehearse"))).toBe(
      "there is no memory to rehearse",
    );
    expect((await readHead(store)).head).toMatchObject({ seq: 1, scheduled: 0 });
  });

  it("with one is a round of no items, once for each due time", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A], { withMemory: true });
    fake.training = { withMemory: true };
    await tick(fake.ledger, due(500, "rehearse"));
    expect((await readDocument(store, "plan", planKey(2)))?.document).toMatchObject({
      kind: "rehearse",
      items: [],
      scheduled: 500,
    });
    expect(await tick(fake.ledger, due(500, "rehearse"))).toBe("nothing waits");
    expect((await readHead(store)).head).toMatchObject({ seq: 2, scheduled: 500 });
    await tick(fake.ledger, { kind: "rehearse", seq: 2 });
    expect((await readHead(store)).head).toMatchObject({ seq: 3, round: 3 });
  });
});

describe("a full retraining", () => {
  /** Rounds 1 and 2 are trained; the retraining's own result measures as given. */
  async function retrained(onFail: "hold" | "pause" | "rollback", accuracy: number) {
    const { store } = memory();
    const fake = fakePipeline(store, { gate: { metric: "accuracy", maxDrop: 0.02, onFail }, schedule: FULL });
    await learn(fake, [A]);
    await learn(fake, [B]);
    const before = (await readHead(store)).head;
    fake.training = { metrics: { accuracy }, liveMetrics: { accuracy: 0.9 } };
    const seen: (string | undefined)[] = [];
    const { jobs } = fake.ledger;
    const ledger = {
      ...fake.ledger,
      jobs: {
        ...jobs,
        submit: async (request: Parameters<typeof jobs.submit>[0]) => {
          seen.push((await readHead(store)).head.live?.manifest);
          return jobs.submit(request);
        },
      },
    };
    const stopped = await tick(ledger, due(700, "full"));
    return { store, ledger, before, seen, stopped, head: (await readHead(store)).head };
  }

  it("trains all of the line again from nothing; live stays until the gate has measured it against live", async () => {
    const { store, before, seen, head } = await retrained("hold", 0.95);
    const plan = (await readDocument(store, "plan", planKey(4)))!.document;
    expect(plan).toMatchObject({ kind: "redo", parent: null, live: before.live });
    expect(plan.items.map(({ key }) => key)).toEqual(["a.csv", "b.csv"]);
    expect(seen).toEqual([before.live?.manifest]);
    expect(head).toMatchObject({ seq: 4, round: 4, scheduled: 700, redo: null });
    expect(head.entry).toMatchObject({ kind: "round", gate: { because: "within", goesLive: true } });
    expect(head.live).toEqual(head.checkpoint);
    expect((await readEntry(store, 3)).document).toMatchObject({
      kind: "rollback",
      to: 0,
      cause: "schedule",
      replay: true,
    });
  });

  it("that is worse does not go live: hold goes on from it", async () => {
    const { before, head, ledger } = await retrained("hold", 0.5);
    expect(head.entry).toMatchObject({ kind: "round", gate: { because: "worse", goesLive: false }, wasRedo: true });
    expect(head.live).toEqual(before.live);
    expect(head.checkpoint?.round).toBe(4);
    expect((await readStatus(ledger)).next).toEqual({ is: "idle" });
  });

  it.each(["pause", "rollback"] as const)("that is worse waits for an operator: %s", async (onFail) => {
    const { before, head, ledger, stopped } = await retrained(onFail, 0.5);
    expect(head).toMatchObject({ seq: 4, round: 4, live: before.live });
    expect(stopped).toContain("the gate refused round 4: an operator decides");
    expect((await readStatus(ledger)).next).toMatchObject({ is: "paused", code: "GATE_REFUSED" });
    // the next due time changes nothing about that
    const asked: [Tick, number][] = [];
    const asking = { ...ledger, ticks: { ask: async (...one: [Tick, number]) => void asked.push(one) } };
    expect(await tick(asking, due(800, "full"))).toBe(stopped);
    // but it is not lost: once an operator has decided it is due. Until then it costs as few messages as can be
    expect(asked).toEqual([[due(800, "full"), 15 * 60_000]]);
  });

  it("that falls due while a round is blocked asks again as seldom as a message can", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { schedule: FULL, jobs: { attempts: 1 } });
    fake.ends = "failed";
    await learn(fake, [A], null);
    const asked: [Tick, number][] = [];
    const asking = { ...fake.ledger, ticks: { ask: async (...one: [Tick, number]) => void asked.push(one) } };
    expect(await tick(asking, due(700, "full"))).toContain("is blocked");
    expect(asked).toEqual([[due(700, "full"), 15 * 60_000]]);
  });

  it("of nothing is none", async () => {
    const { store } = memory();
    const { ledger } = fakePipeline(store, { schedule: FULL });
    expect(await tick(ledger, due(700, "full"))).toBe("nothing has been trained that could be trained again");
    expect((await readHead(store)).head.seq).toBe(0);
    expect((await readStatus(ledger)).full).toEqual({ items: 0, fits: true });
  });

  it("of more items than a plan can hold is left out and said, and nothing is rolled back", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { schedule: FULL });
    await learn(fake, [A]);
    expect((await readStatus(fake.ledger)).full).toEqual({ items: 1, fits: true });
    const { head } = await readHead(store);
    const items = Array.from({ length: PLAN_ITEMS_MAX }, (_, i) => ({ ...B, key: `${i}` }));
    await store.create(planKey(2), documentBytes("plan", planKey(2), samplePlan({ round: 2, items })));
    const entry = rollbackEntry(
      head,
      {
        target: { seq: 1, checkpoint: head.checkpoint },
        redo: { rounds: [2], less: [], plus: [] },
        replay: false,
        without: [],
        with: [],
        cause: "operator",
        scheduled: 0,
        cost: noCost(head),
      },
      { by: "ada", reason: "many", nonce: "0".repeat(32), at: 1 },
    );
    await store.create(logKey(2), documentBytes("logEntry", logKey(2), entry));
    const stopped = await tick(fake.ledger, due(700, "full"));
    expect(stopped).toContain(`full retraining is left out: ${PLAN_ITEMS_MAX + 1} items don't fit one round`);
    expect(fake.notices.at(-1)).toMatchObject({ kind: "blocked", message: stopped });
    expect((await readHead(store)).head).toMatchObject({ seq: 2, checkpoint: head.checkpoint });
    expect((await readStatus(fake.ledger)).full).toEqual({ items: PLAN_ITEMS_MAX + 1, fits: false });
  }, 60_000);
});

describe("what was missed is made up from", () => {
  it("now, if there is nothing; the oldest that waits; the first entry; the newest time that was acted on", async () => {
    const { store, pass } = memory();
    const fake = fakePipeline(store, { trigger: { minItems: 5 } });
    const began = (await store.list("")).nowMs;
    expect(await scheduledUntil(store)).toBeGreaterThan(began);
    await intake(fake.ledger, [A]);
    const arrived = (await store.list("inbox/")).objects[0]!.modifiedMs;
    pass(1_000);
    await intake(fake.ledger, [B]);
    expect(await scheduledUntil(store)).toBe(arrived);
    await tick(fake.ledger, { kind: "train", seq: 0 });
    const first = (await store.head(logKey(1)))!.modifiedMs;
    pass(1_000);
    expect(await scheduledUntil(store)).toBe(first);
    await intake(fake.ledger, [{ ...A, key: "c.csv" }]);
    await tick(fake.ledger, due(first + 500, "pending"));
    expect(await scheduledUntil(store)).toBe(first + 500);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  sampleCheckpoint,
  sampleHead,
  sampleItem,
  sampleKept,
  samplePlan,
  sampleResult,
} from "../test/stored-documents.ts";
import { sha256 } from "./digest.ts";
import {
  costOf,
  keepAfterRound,
  LIVES_KEPT,
  noCost,
  promoteEntry,
  rollbackEntry,
  roundEntry,
  type Said,
} from "./entry.ts";
import { headOf, sameCheckpoint, START, type Head } from "./head.ts";
import { documentBytes, type Checkpoint, type GateDecision, type Kept, type LogEntry } from "./types.ts";

const rounds = (keep: readonly Kept[]): number[] => keep.map(({ checkpoint }) => checkpoint.round);
const cost = { jobMs: 7, spent: { day: "2026-01-31", dayMs: 8, monthMs: 9 } };
const said: Said = { by: "ada", reason: "why", nonce: "0".repeat(32), at: 1 };

describe("what a round's entry keeps", () => {
  const keepOf = (keep: readonly Kept[], own: number, options: Partial<Parameters<typeof keepAfterRound>[2]>): Kept[] =>
    keepAfterRound(sampleHead({ keep }), sampleKept(own), {
      rounds: 2,
      live: null,
      refusedParent: null,
      best: null,
      ...options,
    });
  const five = [1, 2, 3, 4, 5].map((round) => sampleKept(round));

  it("is the newest N, its own among them", () => {
    expect(rounds(keepOf(five, 6, { rounds: 3 }))).toEqual([4, 5, 6]);
    expect(rounds(keepOf(five, 6, { rounds: 1 }))).toEqual([6]);
    expect(rounds(keepOf([], 1, {}))).toEqual([1]);
  });

  it("and live, however old", () => {
    expect(rounds(keepOf(five, 6, { live: sampleCheckpoint(1) }))).toEqual([1, 5, 6]);
  });

  it("and the five lives before it, and no sixth", () => {
    const lives = [1, 2, 3, 4, 5, 6, 7, 8].map((round) => sampleKept(round, { liveAt: round + 10 }));
    const kept = keepOf(lives, 20, { rounds: 1, live: sampleCheckpoint(8) });
    expect(rounds(kept)).toEqual([3, 4, 5, 6, 7, 8, 20]);
    expect(LIVES_KEPT).toBe(5);
  });

  it("counts lives by when they were so, not by when they were trained", () => {
    const lives = [1, 2, 3, 4, 5, 6, 7].map((round) => sampleKept(round, { liveAt: 19 - round }));
    expect(rounds(keepOf(lives, 20, { rounds: 1, live: sampleCheckpoint(20) }))).toEqual([1, 2, 3, 4, 5, 20]);
  });

  it("and a refused round's parent: it may be gone back to", () => {
    expect(rounds(keepOf(five, 6, { refusedParent: sampleCheckpoint(2) }))).toEqual([2, 5, 6]);
  });

  it("and the best that was measured by the metric, the newest of equals, however old", () => {
    const of = (metric: string, ...values: number[]): Kept[] =>
      values.map((value, i) => sampleKept(i + 1, { measured: { metric, value } }));
    const accuracy = of("accuracy", 0.7, 0.9, 0.9, 0.8, 0.6);
    expect(rounds(keepOf(accuracy, 6, { best: "accuracy" }))).toEqual([3, 5, 6]);
    expect(rounds(keepOf(of("loss", 0.7, 0.9, 0.9, 0.8, 1), 6, { best: "loss" }))).toEqual([1, 5, 6]);
    // the gate goes by another metric since, or by none
    expect(rounds(keepOf(accuracy, 6, { best: "loss" }))).toEqual([5, 6]);
    expect(rounds(keepOf(accuracy, 6, { best: null }))).toEqual([5, 6]);
  });

  it("notes that live was so at this entry", () => {
    const kept = keepOf(five, 6, { rounds: 9, live: sampleCheckpoint(3) });
    expect(kept.map(({ liveAt }) => liveAt)).toEqual([0, 0, 6, 0, 0, 0]);
  });

  it("adds its own alone: what has left never comes back", () => {
    const round = fc.integer({ min: 1, max: 20 });
    const keep = fc.uniqueArray(fc.record({ round, liveAt: fc.nat({ max: 20 }) }), {
      selector: (one) => one.round,
      maxLength: 15,
    });
    const pick = fc.option(round);
    fc.assert(
      fc.property(keep, fc.integer({ min: 1, max: 6 }), pick, pick, (known, newest, live, refused) => {
        const before = known.map((one) => sampleKept(one.round, one)).sort((a, b) => a.seq - b.seq);
        const checkpoint = (n: number | null): Checkpoint | null => (n === null ? null : sampleCheckpoint(n));
        const after = keepOf(before, 21, {
          rounds: newest,
          live: checkpoint(live),
          refusedParent: checkpoint(refused),
        });
        const had = new Set([...rounds(before), 21]);
        expect(rounds(after).every((one) => had.has(one))).toBe(true);
        expect(rounds(after)).toEqual(rounds(after).toSorted((a, b) => a - b));
        for (const wanted of [...rounds(before).slice(newest === 1 ? before.length : 1 - newest), 21, live, refused]) {
          if (wanted !== null && had.has(wanted)) expect(rounds(after)).toContain(wanted);
        }
        expect(after.length).toBeLessThanOrEqual(newest + LIVES_KEPT + 4);
      }),
    );
  });
});

const head: Head = sampleHead({
  seq: 5,
  sha256: sha256("entry 5"),
  round: 4,
  checkpoint: sampleCheckpoint(4),
  live: sampleCheckpoint(3),
  redo: { rounds: [1], less: [], plus: [] },
  keep: [3, 4].map((round) => sampleKept(round)),
  scheduled: 700,
});
const decision = (part: Partial<GateDecision> = {}): GateDecision => ({
  passed: true,
  goesLive: true,
  because: "within",
  reasons: [],
  ...part,
});
function entryOfRound(gate: GateDecision, of: Head = head, scheduled = 0): ReturnType<typeof roundEntry> {
  const plan = samplePlan({ round: of.round + 1, parent: of.checkpoint, live: of.live, scheduled });
  const result = sampleResult({ round: of.round + 1, checkpoint: sampleCheckpoint(of.round + 1) });
  const names = { planKey: "p", planSha256: sha256("p"), resultKey: "r", resultSha256: sha256("r") };
  return roundEntry(of, { plan, result, gate, ...names }, { keepRounds: 10, keepBest: "accuracy", at: 1, cost });
}
const rollbackTo = (
  target: { seq: number; checkpoint: Checkpoint | null },
  scheduled = 0,
): ReturnType<typeof rollbackEntry> =>
  rollbackEntry(
    head,
    { target, redo: null, replay: false, without: [sampleItem("x")], with: [], cause: "operator", scheduled, cost },
    said,
  );

describe("a round's entry", () => {
  it("closes its round, with the result's checkpoint and no redo left", () => {
    expect(entryOfRound(decision())).toMatchObject({
      seq: 6,
      parent: head.sha256,
      round: 5,
      checkpoint: sampleCheckpoint(5),
      redo: null,
      items: 2,
      rejected: 1,
      plan: { key: "p", sha256: sha256("p") },
      result: { key: "r", sha256: sha256("r") },
      wasRedo: false,
    });
  });

  it("notes what its checkpoint was measured to be, for the best", () => {
    expect(entryOfRound(decision()).keep.at(-1)?.measured).toEqual({ metric: "accuracy", value: 0.9 });
  });

  it("moves live if its gate says so, else not", () => {
    expect(entryOfRound(decision()).live).toEqual(sampleCheckpoint(5));
    expect(entryOfRound(decision({ goesLive: false })).live).toEqual(sampleCheckpoint(3));
  });

  it("keeps its parent only if it was refused", () => {
    const many = { ...head, keep: Array.from({ length: 4 }, (_, i) => sampleKept(i + 1)), live: null };
    const of = (gate: GateDecision): number[] => {
      const plan = samplePlan({ round: 5, parent: sampleCheckpoint(1) });
      const work = {
        plan,
        planKey: "p",
        planSha256: "",
        result: sampleResult(),
        resultKey: "r",
        resultSha256: "",
        gate,
      };
      return rounds(
        roundEntry(
          many,
          { ...work, result: sampleResult({ checkpoint: sampleCheckpoint(5) }) },
          { keepRounds: 1, keepBest: null, at: 1, cost },
        ).keep,
      );
    };
    expect(of(decision({ passed: false, goesLive: false }))).toEqual([1, 5]);
    expect(of(decision({ goesLive: false }))).toEqual([5]);
  });
});

describe("a rollback's entry", () => {
  it("closes the open round, so that its plan dies, and goes on from the target", () => {
    expect(rollbackTo({ seq: 2, checkpoint: sampleCheckpoint(2) })).toMatchObject({
      seq: 6,
      round: 5,
      to: 2,
      checkpoint: sampleCheckpoint(2),
    });
  });
  it("leaves live where it is, also if it goes back to nothing", () => {
    expect(rollbackTo({ seq: 0, checkpoint: null })).toMatchObject({ checkpoint: null, live: sampleCheckpoint(3) });
  });
  it("takes nothing from keep, and notes that live still was so", () => {
    expect(rollbackTo({ seq: 0, checkpoint: null }).keep).toEqual([sampleKept(3, { liveAt: 6 }), sampleKept(4)]);
  });
});

describe("a promote's entry", () => {
  const entry = promoteEntry(head, { seq: 4, checkpoint: sampleCheckpoint(4) }, said);
  it("moves live and nothing else, so that a running job goes on", () => {
    expect(entry).toMatchObject({
      seq: 6,
      round: head.round,
      checkpoint: head.checkpoint,
      redo: head.redo,
      live: sampleCheckpoint(4),
      target: 4,
    });
    expect(entry.keep).toEqual([sampleKept(3), sampleKept(4, { liveAt: 6 })]);
  });
});

it("lets the time of the newest schedule never go back", () => {
  const time = fc.nat({ max: 1_000 });
  fc.assert(
    fc.property(time, time, (before, now) => {
      const at = { ...head, scheduled: before };
      const work = {
        target: { seq: 0, checkpoint: null },
        redo: null,
        replay: false,
        without: [],
        with: [],
        cause: "schedule",
        scheduled: now,
        cost,
      } as const;
      expect(entryOfRound(decision(), at, now).scheduled).toBe(Math.max(before, now));
      expect(rollbackEntry(at, work, said).scheduled).toBe(Math.max(before, now));
      expect(promoteEntry(at, { seq: 0, checkpoint: null }, said).scheduled).toBe(before);
    }),
  );
});

describe("any history of entries", () => {
  const step = fc.constantFrom("pass", "refuse", "rollback", "promote");
  it("is a chain that can be stored, whose live and head are kept or nothing, and whose rounds only go on", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat()), { minLength: 1, maxLength: 25 }), (steps) => {
        let at: Head = START;
        for (const [what, pick] of steps) {
          const kept = [{ seq: 0, checkpoint: null }, ...at.keep];
          const target = kept[pick % kept.length]!;
          const entry = nextEntry(what, at, target);
          const body = documentBytes("logEntry", "entry", entry);
          expect(entry.seq).toBe(at.seq + 1);
          expect(entry.parent).toBe(at.sha256);
          expect(entry.round).toBe(what === "promote" ? at.round : at.round + 1);
          for (const named of [entry.live, entry.checkpoint]) {
            if (named !== null)
              expect(entry.keep.some(({ checkpoint }) => sameCheckpoint(checkpoint, named))).toBe(true);
          }
          at = headOf(entry, { sha256: sha256(body), modifiedMs: 1 });
        }
      }),
      { numRuns: 60 },
    );
  });
});
function nextEntry(what: string, at: Head, target: { seq: number; checkpoint: Checkpoint | null }): LogEntry {
  if (what === "promote") return promoteEntry(at, target, said);
  if (what === "rollback") {
    return rollbackEntry(
      at,
      { target, redo: null, replay: false, without: [], with: [], cause: "operator", scheduled: 0, cost: noCost(at) },
      said,
    );
  }
  const gate = decision(what === "pass" ? {} : { passed: false, goesLive: false, because: "worse" });
  const plan = samplePlan({ round: at.round + 1, parent: at.checkpoint });
  const result = sampleResult({ checkpoint: sampleCheckpoint(at.round + 1) });
  const names = { planKey: "p", planSha256: sha256("p"), resultKey: "r", resultSha256: sha256("r") };
  return roundEntry(at, { plan, result, gate, ...names }, { keepRounds: 2, keepBest: null, at: 1, cost: noCost(at) });
}

it("carries what the closed round's jobs took, and the sums after it; a promote closes none", () => {
  expect(entryOfRound(decision(), head, 0)).toMatchObject(cost);
  const at = { ...head, spent: cost.spent };
  expect(promoteEntry(at, { seq: 0, checkpoint: null }, said).spent).toEqual(cost.spent);
  expect(noCost(at)).toEqual({ jobMs: 0, spent: cost.spent });
  const job = { id: "1", name: "j", state: "running", createdMs: 0, startedMs: 1_769_853_600_000 } as const;
  expect(costOf(at, [job], job.startedMs + 60_000)).toEqual({
    jobMs: 60_000,
    spent: { day: "2026-01-31", dayMs: 60_008, monthMs: 60_009 },
  });
});

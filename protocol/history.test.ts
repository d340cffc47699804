import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleItem } from "../test/stored-documents.ts";
import { itemId } from "./digest.ts";
import { beforeOnLine, decodeRedo, encodeRedo, itemSet, minus, redoItems, union, type ItemSet } from "./history.ts";
import type { LogEntry } from "./types.ts";

const set = (...names: string[]): Map<string, ReturnType<typeof sampleItem>> =>
  itemSet(names.map((name) => sampleItem(name)));
const names = (items: ItemSet): string[] => [...items.values()].map(({ key }) => key).sort();
const some = fc.uniqueArray(fc.integer({ min: 0, max: 25 }).map(String), { maxLength: 20 });

describe("a redo in the log's short form", () => {
  const plans = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), some, { maxKeys: 5 });
  const asMap = (of: Record<string, string[]>): Map<number, ItemSet> =>
    new Map(Object.entries(of).map(([round, own]) => [Number(round), set(...own)]));

  it("means exactly the items that it was made of, whatever the plans are", () => {
    fc.assert(
      fc.property(plans, some, (of, wanted) => {
        const byRound = asMap(of);
        const redo = encodeRedo(set(...wanted), byRound);
        expect(names(decodeRedo(redo, (round) => byRound.get(round)!))).toEqual([...wanted].sort());
      }),
    );
  });

  it("is null for nothing, and null means nothing: else a plan without items would follow", () => {
    expect(encodeRedo(set(), new Map([[1, set("a")]]))).toBeNull();
    expect(decodeRedo(null, () => set("a")).size).toBe(0);
  });

  it("names whole plans by their rounds alone, in order", () => {
    const byRound = new Map([
      [2, set("c", "d")],
      [1, set("a", "b")],
    ]);
    expect(encodeRedo(set("a", "b", "c", "d"), byRound)).toEqual({ rounds: [1, 2], less: [], plus: [] });
  });

  it("names what is missing of a plan, and what is in none, by itself", () => {
    const redo = encodeRedo(set("a", "b", "x"), new Map([[1, set("a", "b", "c")]]));
    expect(redo).toEqual({ rounds: [1], less: [itemId(sampleItem("c"))], plus: [sampleItem("x")] });
  });

  it("does not name a plan of which half or less is wanted: the items are shorter", () => {
    expect(encodeRedo(set("a"), new Map([[1, set("a", "b")]]))).toEqual({
      rounds: [],
      less: [],
      plus: [sampleItem("a")],
    });
  });

  it("is never longer than the items by themselves", () => {
    fc.assert(
      fc.property(plans, some, (of, wanted) => {
        const redo = encodeRedo(set(...wanted), asMap(of));
        const items = (redo?.less.length ?? 0) + (redo?.plus.length ?? 0);
        const inPlans = Object.values(of).reduce((sum, own) => sum + own.length, 0);
        expect(items).toBeLessThanOrEqual(wanted.length + inPlans);
        expect(redo?.plus.every((item) => wanted.includes(item.key)) ?? true).toBe(true);
      }),
    );
  });
});

describe("what a rollback leaves to be trained again", () => {
  const redoOf = (part: Partial<Parameters<typeof redoItems>[0]>): string[] =>
    names(
      redoItems({ targetRedo: set(), replayed: set(), targetTrained: set(), with: set(), without: set(), ...part }),
    );

  it("is the target's own redo", () => expect(redoOf({ targetRedo: set("a") })).toEqual(["a"]));
  it("with replay also what the head's line had and the target's has not", () => {
    expect(redoOf({ replayed: set("a", "b"), targetTrained: set("a") })).toEqual(["b"]);
  });
  it("and what was asked for again, unless the target's line has trained it", () => {
    expect(redoOf({ with: set("a", "b"), targetTrained: set("b") })).toEqual(["a"]);
  });
  it("and never what is taken out, whoever asked for it", () => {
    const a = set("a");
    expect(redoOf({ targetRedo: a, replayed: a, with: a, without: a })).toEqual([]);
  });

  it("has nothing that was trained or taken out, and all else of the three sources, in any history", () => {
    fc.assert(
      fc.property(some, some, some, some, some, (targetRedo, replayed, trained, wanted, without) => {
        const sets = {
          targetRedo: set(...targetRedo),
          replayed: set(...replayed),
          targetTrained: set(...trained),
          with: set(...wanted),
          without: set(...without),
        };
        const expected = new Set(
          [...targetRedo, ...replayed, ...wanted].filter((one) => !trained.includes(one) && !without.includes(one)),
        );
        expect(names(redoItems(sets))).toEqual([...expected].sort());
      }),
    );
  });
});

describe("sets of items", () => {
  it("hold an item once, by what it is and not by its size", () => {
    expect(itemSet([sampleItem("a"), sampleItem("a", { size: 5 }), sampleItem("a", { etag: "other" })]).size).toBe(2);
  });
  it("are united and subtracted without being changed", () => {
    const [a, b] = [set("1", "2"), set("2", "3")];
    expect(names(union(a, b))).toEqual(["1", "2", "3"]);
    expect(names(minus(a, b))).toEqual(["1"]);
    expect(names(minus(a, b, set("1")))).toEqual([]);
    expect([names(a), names(b), names(union())]).toEqual([["1", "2"], ["2", "3"], []]);
  });
});

it("goes back along the log by one, and from a rollback on from its target", () => {
  const entry = (part: { kind: LogEntry["kind"]; seq: number; to?: number }): LogEntry => part as unknown as LogEntry;
  expect(beforeOnLine(entry({ kind: "round", seq: 7 }))).toBe(6);
  expect(beforeOnLine(entry({ kind: "promote", seq: 7 }))).toBe(6);
  expect(beforeOnLine(entry({ kind: "rollback", seq: 7, to: 2 }))).toBe(2);
  expect(beforeOnLine(entry({ kind: "rollback", seq: 7, to: 0 }))).toBe(0);
});

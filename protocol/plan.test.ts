import type { Head } from "./head.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pipelineConfig, sampleCheckpoint, sampleHead, sampleItem } from "../test/stored-documents.ts";
import { itemId } from "./digest.ts";
import { compareItems } from "./intake.ts";
import { chooseSegments, makePlan, seedOf, type SegmentRead } from "./plan.ts";
import { documentBytes } from "./types.ts";

const NONE = new Set<string>();
const wide = { maxItems: 100, maxBytes: 1e9 };
const segment = (key: string, ...names: string[]): SegmentRead => ({
  key,
  items: names.map((name) => sampleItem(name)),
});
const keysOf = (chosen: { items: { key: string }[] }): string[] => chosen.items.map(({ key }) => key);

describe("the segments of a plan", () => {
  it("are all of them if they fit, their items in the order of keys", () => {
    const chosen = chooseSegments([segment("1", "c", "a"), segment("2", "b")], NONE, wide);
    expect(chosen.segments).toEqual(["1", "2"]);
    expect(keysOf(chosen)).toEqual(["a", "b", "c"]);
  });

  it("are whole ones, the oldest, up to the limit of items", () => {
    const segments = [segment("1", "a", "b"), segment("2", "c", "d"), segment("3", "e")];
    expect(chooseSegments(segments, NONE, { ...wide, maxItems: 4 }).segments).toEqual(["1", "2"]);
    // the third would fit, but is younger than one that does not: it waits its turn
    expect(chooseSegments(segments, NONE, { ...wide, maxItems: 3 }).segments).toEqual(["1"]);
  });

  it("are whole ones up to the limit of bytes", () => {
    const segments = [segment("1", "a", "b"), segment("2", "c")];
    expect(chooseSegments(segments, NONE, { ...wide, maxBytes: 30 }).segments).toEqual(["1", "2"]);
    expect(chooseSegments(segments, NONE, { ...wide, maxBytes: 29 }).segments).toEqual(["1"]);
  });

  it("are at least one, even if it is over the limits: else it would wait for ever", () => {
    const chosen = chooseSegments([segment("1", "a", "b", "c"), segment("2", "d")], NONE, { maxItems: 1, maxBytes: 1 });
    expect(chosen.segments).toEqual(["1"]);
    expect(keysOf(chosen)).toEqual(["a", "b", "c"]);
  });

  it("leave consumed items out, and go along themselves if nothing is left of them", () => {
    const consumed = new Set(["a", "b", "c"].map((name) => itemId(sampleItem(name))));
    const chosen = chooseSegments([segment("1", "a", "b"), segment("2", "c", "d"), segment("3", "a")], consumed, {
      ...wide,
      maxItems: 1,
    });
    expect(keysOf(chosen)).toEqual(["d"]);
    expect(chosen.segments).toEqual(["1", "2", "3"]);
  });

  it("have one along of which nothing is left, though the limits are reached", () => {
    const consumed = new Set([itemId(sampleItem("c"))]);
    const segments = [segment("1", "a", "b"), segment("2", "c"), segment("3", "d")];
    expect(chooseSegments(segments, consumed, { ...wide, maxItems: 1 }).segments).toEqual(["1", "2"]);
  });

  it("count an item once that is in several of them", () => {
    const chosen = chooseSegments([segment("1", "a", "b"), segment("2", "b", "c"), segment("3", "a")], NONE, {
      ...wide,
      maxItems: 3,
    });
    expect(keysOf(chosen)).toEqual(["a", "b", "c"]);
    expect(chosen.segments).toEqual(["1", "2", "3"]);
  });

  it("have exactly the plan's items and no consumed one, within the limits, in any inbox", () => {
    const name = fc.integer({ min: 0, max: 30 }).map(String);
    const inbox = fc.array(fc.uniqueArray(name, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(inbox, fc.uniqueArray(name), fc.integer({ min: 1, max: 12 }), (names, taken, maxItems) => {
        const segments = names.map((own, i) => segment(`${i}`, ...own));
        const consumed = new Set(taken.map((one) => itemId(sampleItem(one))));
        const chosen = chooseSegments(segments, consumed, { ...wide, maxItems });
        expect(chosen.segments).toEqual(segments.slice(0, chosen.segments.length).map(({ key }) => key));
        const ids = segments.slice(0, chosen.segments.length).flatMap(({ items }) => items.map(itemId));
        const left = new Set(ids.filter((id) => !consumed.has(id)));
        expect(new Set(chosen.items.map(itemId))).toEqual(left);
        expect(chosen.items.length).toBe(left.size);
        const withItems = segments
          .slice(0, chosen.segments.length)
          .filter(({ items }) => items.some((item) => !consumed.has(itemId(item))));
        expect(chosen.items.length <= maxItems || withItems.length === 1 || oneOnly(withItems, consumed)).toBe(true);
        const any = segments.some(({ items }) => items.some((item) => !consumed.has(itemId(item))));
        expect(chosen.items.length > 0).toBe(any);
      }),
    );
  });
});
/** All that is left is already in the first segment, which is taken whatever its size. */
function oneOnly(segments: readonly SegmentRead[], consumed: ReadonlySet<string>): boolean {
  const first = new Set(segments[0]?.items.map(itemId));
  return segments.every(({ items }) => items.every((item) => consumed.has(itemId(item)) || first.has(itemId(item))));
}

describe("the seed of a round", () => {
  it("is a whole number of 1..2^32-1, the same everywhere", () => {
    fc.assert(
      fc.property(fc.nat(), fc.string(), fc.nat(), (seed, name, round) => {
        const made = seedOf(seed, name, round);
        expect(Number.isInteger(made) && made >= 1 && made <= 0xffff_ffff).toBe(true);
        expect(seedOf(seed, name, round)).toBe(made);
      }),
    );
    expect(seedOf(1, "digits", 1)).toBe(3270860318);
  });

  it("depends on the config's seed, the pipeline and the round", () => {
    const seeds = [
      seedOf(1, "a", 1),
      seedOf(2, "a", 1),
      seedOf(1, "b", 1),
      seedOf(1, "a", 2),
      seedOf(11, "a", 1),
      seedOf(1, "a", 11),
    ];
    expect(new Set(seeds).size).toBe(seeds.length);
  });
});

describe("a plan", () => {
  const deployed = { code: "c".repeat(64), start: null, image: null, jobDefinition: null };
  const config = pipelineConfig({ trainer: { model: "./model.ts", epochs: 7, seed: 3 } });
  const head = sampleHead({ seq: 9, round: 4, checkpoint: sampleCheckpoint(4), live: sampleCheckpoint(3) });
  const work = {
    kind: "extend",
    items: ["b", "c", "a"].map((name) => sampleItem(name)),
    segments: ["2", "1"],
    scheduled: 5,
  } as const;

  it("is the head's next round, from its checkpoint, to be measured against live", () => {
    expect(makePlan(head, config, deployed, work)).toMatchObject({
      pipeline: "digits",
      round: 5,
      kind: "extend",
      epochsToAdd: 7,
      scheduled: 5,
      segments: ["2", "1"],
      parent: sampleCheckpoint(4),
      live: sampleCheckpoint(3),
      trainer: config.trainer,
      data: config.data,
      ...deployed,
      seed: seedOf(3, "digits", 5),
    });
  });

  it("has its items in the order of keys, whatever the order they came in", () => {
    const { items } = makePlan(head, config, deployed, work);
    expect(items).toEqual([...items].sort(compareItems));
    expect(items.map(({ key }) => key)).toEqual(["a", "b", "c"]);
  });

  it("can be stored, and from the same state has the same bytes", () => {
    const bytes = (items: typeof work.items): Uint8Array =>
      documentBytes("plan", "plan.json", makePlan(head, config, deployed, { ...work, items }));
    expect(bytes(work.items)).toEqual(bytes([...work.items].reverse() as unknown as typeof work.items));
  });

  it("of the first round has no parent and nothing to be measured against", () => {
    expect(makePlan(sampleHead(), config, deployed, work)).toMatchObject({ round: 1, parent: null, live: null });
  });

  it("begins with the weights of a warm start as long as nothing was trained", () => {
    const warm = { ...deployed, start: "5".repeat(64) };
    const startOf = (checkpoint: Head["checkpoint"]): string | null =>
      makePlan(sampleHead({ checkpoint }), config, warm, work).start;
    expect(startOf(null)).toBe(warm.start);
    expect(startOf({ ...sampleCheckpoint(1), step: 0 })).toBe(warm.start);
    expect(startOf({ ...sampleCheckpoint(1), step: 1 })).toBeNull();
  });
});

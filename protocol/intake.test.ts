import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleItem } from "../test/stored-documents.ts";
import { itemId, sha256 } from "./digest.ts";
import { arrivedItem, compareItems, dropReason, segmentsOf } from "./intake.ts";
import { parseSegmentKey } from "./keys.ts";
import { parseDocument, SEGMENT_ITEMS_MAX, type Item } from "./types.ts";

describe("an arrival does not count", () => {
  const policy = { prefix: "digits/", suffixes: [".csv", ".csv.gz"], since: null };
  it.each<[string, Partial<Item>, string]>([
    ["of another prefix", { key: "letters/a.csv" }, "other-prefix"],
    ["whose prefix is only alike", { key: "Digits/a.csv" }, "other-prefix"],
    ["that is a folder's marker", { key: "digits/2024/", size: 0 }, "folder-marker"],
    ["of another suffix", { key: "digits/readme.md" }, "other-suffix"],
    ["that has no bytes", { key: "digits/a.csv", size: 0 }, "empty"],
    ["without an etag", { key: "digits/a.csv", etag: "" }, "not-an-item"],
    ["of a size that is none", { key: "digits/a.csv", size: -1 }, "not-an-item"],
    ["with a key that is too long", { key: `digits/${"a".repeat(1_100)}.csv` }, "not-an-item"],
  ])("%s", (_what, part, reason) => expect(dropReason(sampleItem("x", part), policy)).toBe(reason));

  it("but does with the prefix and any of the suffixes", () => {
    expect(dropReason(sampleItem("digits/a.csv"), policy)).toBeUndefined();
    expect(dropReason(sampleItem("digits/deep/a.csv.gz"), policy)).toBeUndefined();
  });

  it("and with any name at all if none is asked for", () => {
    expect(dropReason(sampleItem("a"), { prefix: "", suffixes: [], since: null })).toBeUndefined();
  });
});

describe("an arrival that is older than `since`", () => {
  const policy = { prefix: "", suffixes: [], since: 1_000 };
  const at = (modifiedMs: number) => ({ ...sampleItem("a.csv"), modifiedMs });

  it("does not count; one of that very moment, a later one and one of no known time do", () => {
    expect(dropReason(at(999.9), policy)).toBe("too-old");
    expect(dropReason(at(1_000), policy)).toBeUndefined();
    expect(dropReason(at(1_001), policy)).toBeUndefined();
    expect(dropReason(sampleItem("a.csv"), policy)).toBeUndefined();
    expect(dropReason(at(0), { ...policy, since: null })).toBeUndefined();
  });

  it("is stored without its time, which is no part of the item", () => {
    expect(arrivedItem(at(5))).toEqual(sampleItem("a.csv"));
  });
});

describe("a delivery as segments", () => {
  const options = { nowMs: 1_700_000_000_000, maxBytes: 1_000 };
  const item = fc
    .record({ n: fc.nat({ max: 40 }), etag: fc.constantFrom("e1", "e2"), size: fc.integer({ min: 1, max: 1_500 }) })
    .map(({ n, etag, size }) => sampleItem(`${n}.csv`, { etag, size }));

  it("has each item once, in the order of keys, however often and in whatever order it came", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 60 }), (delivery) => {
        const items = segmentsOf(delivery, options).flatMap((segment) => segment.items);
        expect(new Set(items.map(itemId))).toEqual(new Set(delivery.map(itemId)));
        expect(items.length).toBe(new Set(delivery.map(itemId)).size);
        expect(items).toEqual([...items].sort(compareItems));
      }),
    );
  });

  it("has at most maxBytes in each segment, but one item always fits", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 60 }), (delivery) => {
        for (const { items } of segmentsOf(delivery, options)) {
          const bytes = items.reduce((sum, { size }) => sum + size, 0);
          expect(items.length === 1 || bytes <= options.maxBytes).toBe(true);
          expect(items.length).toBeGreaterThan(0);
        }
      }),
    );
  });

  it("has no more segments than it needs: the next segment's first item would not have fitted", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 60 }), (delivery) => {
        const segments = segmentsOf(delivery, options);
        for (const [i, { items }] of segments.slice(0, -1).entries()) {
          const bytes = items.reduce((sum, { size }) => sum + size, 0);
          expect(bytes + segments[i + 1]!.items[0]!.size).toBeGreaterThan(options.maxBytes);
        }
      }),
    );
  });

  it("of more than a thousand items are several, each whole and as its key says", () => {
    const delivery = Array.from({ length: 2 * SEGMENT_ITEMS_MAX + 1 }, (_, i) =>
      sampleItem(`${i}.csv`, { size: i + 1 }),
    );
    const segments = segmentsOf(delivery, { ...options, maxBytes: 1e12 });
    expect(segments.map(({ items }) => items.length)).toEqual([1_000, 1_000, 1]);
    for (const { key, body, items } of segments) {
      expect(parseSegmentKey(key)).toEqual({
        ms: options.nowMs,
        count: items.length,
        bytes: items.reduce((sum, { size }) => sum + size, 0),
        sha256: sha256(body),
      });
      expect(parseDocument("segment", key, body).items).toEqual(items);
    }
  });

  it("has the same keys in any order of arrival, so that a delivery that comes again is known", () => {
    const distinct = fc.uniqueArray(item, { selector: itemId, maxLength: 30 });
    fc.assert(
      fc.property(distinct, (delivery) => {
        const keys = segmentsOf(delivery, options).map(({ key }) => key);
        expect(segmentsOf([...delivery].reverse(), options).map(({ key }) => key)).toEqual(keys);
      }),
    );
  });

  it("has other keys for other contents, and for another time", () => {
    const keyOf = (etag: string, nowMs = 1): string =>
      segmentsOf([sampleItem("a", { etag })], { ...options, nowMs })[0]!.key;
    expect(new Set([keyOf("e1"), keyOf("e2"), keyOf("e1", 2)]).size).toBe(3);
  });

  it("that is empty makes none", () => expect(segmentsOf([], options)).toEqual([]));
});

it("orders items by key's bytes, then etag, then bucket", () => {
  const sorted = [
    sampleItem("a", { etag: "1", bucket: "b" }),
    sampleItem("a", { etag: "1", bucket: "c" }),
    sampleItem("a", { etag: "2", bucket: "a" }),
    sampleItem("\uffee", { etag: "0" }),
    sampleItem("\u{1f600}", { etag: "0" }),
  ];
  expect([...sorted].reverse().sort(compareItems)).toEqual(sorted);
});

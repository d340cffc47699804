import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../test/simulation/random.ts";
import { combinations, pairsOf, pairwise } from "./pairwise.ts";

describe("a pairwise choice", () => {
  it("has every pair of values of two axes, and no combination twice", () => {
    const values = fc.integer({ min: 1, max: 6 }).map((n) => Array.from({ length: n }, (_, i) => String(i)));
    fc.assert(
      fc.property(fc.record({ a: values, b: values, c: values, d: values }), fc.nat(), (axes, seed) => {
        const chosen = pairwise(axes, new Random(seed));
        const pairs = new Set(chosen.flatMap(pairsOf));
        expect(pairs).toEqual(new Set(combinations(axes).flatMap(pairsOf)));
        expect(new Set(chosen.map((one) => JSON.stringify(one))).size).toBe(chosen.length);
      }),
      { numRuns: 30 },
    );
  });

  it("is far smaller than all", () => {
    const of = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i));
    const axes = { backend: of(2), optimizer: of(7), schedule: of(5), feature: of(7) };
    expect(combinations(axes)).toHaveLength(490);
    expect(pairwise(axes, new Random(1)).length).toBeLessThan(65);
  });
});

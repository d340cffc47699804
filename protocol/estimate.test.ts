import fc from "fast-check";
import { expect, it } from "vitest";
import { estimateMs } from "./estimate.ts";

const line = (...works: number[]) => works.map((work) => ({ work, jobMs: 2_000 + 3 * work }));

it("is a start-up and a rate, where several rounds of different sizes say so", () => {
  expect(estimateMs(line(100, 200), 1_000)).toBe(5_000);
  expect(estimateMs(line(1, 50, 300, 1_000), 10_000)).toBe(32_000);
});
it("is in proportion, with one round, with rounds of one size, or where the start-up would be negative", () => {
  expect(estimateMs([{ work: 100, jobMs: 500 }], 300)).toBe(1_500);
  expect(
    estimateMs(
      [
        { work: 100, jobMs: 400 },
        { work: 100, jobMs: 600 },
      ],
      300,
    ),
  ).toBe(1_500);
  expect(
    estimateMs(
      [
        { work: 100, jobMs: 10 },
        { work: 200, jobMs: 1_000 },
      ],
      0,
    ),
  ).toBe(0);
});
it("is the mean where larger rounds took less time", () => {
  expect(
    estimateMs(
      [
        { work: 100, jobMs: 600 },
        { work: 300, jobMs: 400 },
      ],
      10_000,
    ),
  ).toBe(500);
});
it("is not known without a round that ran, or of which no time is known", () => {
  expect(estimateMs([], 100)).toBeUndefined();
  expect(
    estimateMs(
      [
        { work: 100, jobMs: 0 },
        { work: 0, jobMs: 100 },
      ],
      100,
    ),
  ).toBeUndefined();
});
it("is never negative and never shrinks with more work", () => {
  const past = fc.array(
    fc.record({ work: fc.integer({ min: 1, max: 1e12 }), jobMs: fc.integer({ min: 1, max: 1e9 }) }),
    { minLength: 1, maxLength: 5 },
  );
  fc.assert(
    fc.property(past, fc.nat(), fc.nat(), (rounds, a, b) => {
      const [less, more] = [estimateMs(rounds, Math.min(a, b))!, estimateMs(rounds, Math.max(a, b))!];
      expect(less).toBeGreaterThanOrEqual(0);
      expect(more).toBeGreaterThanOrEqual(less);
    }),
  );
});

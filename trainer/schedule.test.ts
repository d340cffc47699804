import { describe, expect, it } from "vitest";
import { TrainerConfig, type LearningRateSchedule } from "../protocol/trainer-config.ts";
import { learningRateAt } from "./schedule.ts";
import { FIXTURES } from "./testing/fixtures.ts";

const optimizer = { name: "sgd", learningRate: 0.4, momentum: 0, nesterov: false } as const;
const rates = (schedule: LearningRateSchedule, steps: number): number[] =>
  Array.from({ length: steps + 1 }, (_, step) => learningRateAt({ schedule, optimizer }, { step, steps }));

describe("the learning rate", () => {
  it("is the same throughout with a constant schedule", () => {
    expect(rates({ name: "constant" }, 3)).toEqual([0.4, 0.4, 0.4, 0.4]);
  });

  it("rises in equal parts, then falls by half a cosine to the floor, which comes after the last step", () => {
    const found = rates({ name: "warmup-cosine", warmup: 0.2, floor: 0.1 }, 10);
    const fall = (part: number): number => 0.4 * (0.1 + 0.9 * 0.5 * (1 + Math.cos(Math.PI * part)));
    [0.2, 0.4, 0.4, fall(1 / 8), fall(2 / 8), fall(3 / 8), 0.22, fall(5 / 8), fall(6 / 8), fall(7 / 8), 0.04].forEach(
      (rate, step) => {
        expect(found[step]).toBeCloseTo(rate, 12);
      },
    );
  });

  it("begins at the rate without a warm-up, and ends at 0 without a floor", () => {
    const found = rates({ name: "warmup-cosine", warmup: 0, floor: 0 }, 4);
    expect(found[0]).toBe(0.4);
    expect(found[2]).toBeCloseTo(0.2, 12);
    expect(found[4]).toBeCloseTo(0, 12);
  });

  it("only rises where all is warm-up, stays where the floor is 1, and is above 0 in a round of one step", () => {
    expect(rates({ name: "warmup-cosine", warmup: 1, floor: 0 }, 4).slice(0, 4)).toEqual([
      0.1,
      0.2,
      expect.closeTo(0.3, 12),
      0.4,
    ]);
    expect(rates({ name: "warmup-cosine", warmup: 0, floor: 1 }, 2)).toEqual([0.4, 0.4, 0.4]);
    for (const warmup of [0, 0.1, 0.5, 1]) expect(rates({ name: "warmup-cosine", warmup, floor: 0 }, 1)[0]).toBe(0.4);
  });
});

describe.each(FIXTURES.schedules)("$schedule", ({ schedule: given, rates: theirs }) => {
  it("has PyTorch's rates", () => {
    const { schedule } = TrainerConfig.parse({ model: "m", schedule: given });
    const found = rates(schedule, theirs.length);
    theirs.forEach((rate, step) => expect(found[step]! / 0.4).toBeCloseTo(rate / FIXTURES.rate, 7));
  });
});

it.each([
  { name: "step", every: 0.3, factor: 0.1 },
  { name: "exponential", factor: 0.1 },
  { name: "one-cycle", warmup: 0.3, start: 0.04, floor: 4e-6 },
  { name: "one-cycle", warmup: 0, start: 0, floor: 0.5 },
  { name: "one-cycle", warmup: 1, start: 0.5, floor: 0 },
] as const)("in rounds of 1, 2 and 3 steps %j has rates above 0, at most the configured one", (schedule) => {
  for (const steps of [1, 2, 3]) {
    const found = rates(schedule, steps).slice(0, steps);
    for (const rate of found) expect(rate).toBeGreaterThan(0);
    expect(Math.max(...found)).toBeLessThanOrEqual(0.4);
  }
});

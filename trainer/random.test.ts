import { describe, expect, it } from "vitest";
import { CounterRandom, philox, withSeededRandom } from "./random.ts";

const hex = (four: readonly number[]): string => four.map((word) => word.toString(16).padStart(8, "0")).join(" ");

describe("Philox-4x32-10", () => {
  // the known-answer vectors of Random123 (kat_vectors)
  it.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [
      [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
      [0xffff_ffff, 0xffff_ffff],
      "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ],
    [
      [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
      [0xa409_3822, 0x299f_31d0],
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
  ] as const)("gives the published numbers for counter %j and key %j", (counter, key, expected) => {
    expect(hex(philox(counter, key))).toBe(expected);
  });
});

const draws = (random: CounterRandom, n = 9): number[] => Array.from({ length: n }, () => random.uint32());

describe("a counter-based generator", () => {
  it("draws the same from the same place, and other numbers from any other seed, stream or index", () => {
    const at = { seed: 5, stream: "order", index: 3 } as const;
    expect(draws(new CounterRandom(at))).toEqual(draws(new CounterRandom(at)));
    const others = [
      at,
      { ...at, seed: 6 },
      { ...at, stream: "step" as const },
      { ...at, stream: "weights" as const },
      { ...at, index: 4 },
      { ...at, index: 3 + 2 ** 32 },
    ];
    const all = others.flatMap((other) => draws(new CounterRandom(other)));
    expect(new Set(all).size).toBe(all.length);
  });

  it("begins with the block that its seed, stream and index name", () => {
    expect(hex(draws(new CounterRandom({ seed: 9, stream: "step", index: 2 ** 32 + 7 }), 4))).toBe(
      hex(philox([0, 0, 7, 1], [9, 3])),
    );
  });

  it("gives floats in [0, 1) whose mean and spread are those of the uniform distribution", () => {
    const random = new CounterRandom({ seed: 1, stream: "weights", index: 0 });
    const values = Array.from({ length: 20_000 }, () => random.float());
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.003);
  });

  it("draws each number below n as often", () => {
    const random = new CounterRandom({ seed: 1, stream: "order", index: 0 });
    const counts = new Uint32Array(7);
    for (let i = 0; i < 14_000; i++) counts[random.below(7)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(1_850);
    expect(Math.max(...counts)).toBeLessThan(2_150);
    expect(random.below(1)).toBe(0);
  });
});

describe("Math.random within withSeededRandom", () => {
  const place = { seed: 2, stream: "step", index: 0 } as const;
  it("draws from the generator, and is itself again afterwards, also after a throw", () => {
    const before = Math.random;
    const drawn = withSeededRandom(new CounterRandom(place), () => [Math.random(), Math.random()]);
    const random = new CounterRandom(place);
    expect(drawn).toEqual([random.float(), random.float()]);
    const failing = (): never =>
      withSeededRandom(new CounterRandom(place), () => {
        throw new Error("in a layer");
      });
    expect(failing).toThrow("in a layer");
    expect(Math.random).toBe(before);
  });
});

import { describe, expect, it } from "vitest";
import {
  emptyNormalisation,
  NormalisationDocument,
  normalisedRecords,
  updateNormalisation as update,
} from "./normalise.ts";
import { normaliseInto, type Normalisation } from "./scale.ts";

const width = 3;
const features = Float32Array.from({ length: 3 * 1_500 }, (_, i) =>
  i % 3 === 2 ? 5 : Math.sin(i) * 10 ** (i % 3) + 1_000,
);
const all = Uint32Array.from({ length: 1_500 }, (_, i) => i);
const numeric = Uint8Array.of(1, 1, 1);

const UNTIL = 1_000;

function updateNormalisation(
  state: Normalisation,
  values: Float32Array,
  width: number,
  chosen: Uint32Array | readonly number[],
  numeric: Uint8Array,
  until = UNTIL,
): Normalisation {
  const records = Array.from(chosen, (row) => values.subarray(row * width, (row + 1) * width));
  return update(state, records, { numeric, until });
}

/** Mean and standard deviation in two passes. */
function plain(column: number, count: number): { mean: number; std: number } {
  const values = Array.from({ length: count }, (_, row) => features[row * width + column]!);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  return { mean, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count) };
}

describe("normalisation", () => {
  it("has the mean and the standard deviation of what it saw", () => {
    const state = updateNormalisation(emptyNormalisation(width), features, width, all.subarray(0, 700), numeric);
    for (const column of [0, 1, 2]) {
      const { mean, std } = plain(column, 700);
      expect(state.mean[column]).toBeCloseTo(mean, 9);
      expect(Math.sqrt(state.m2[column]! / 700)).toBeCloseTo(std, 9);
    }
    const target = new Float32Array(6);
    normaliseInto(state, features, width, 4, target, 1);
    const { mean, std } = plain(1, 700);
    expect(target[4]).toBeCloseTo((features[13]! - mean) / std, 5);
    expect([...target.subarray(0, 3), target[5]]).toEqual([0, 0, 0, 0]); // a column that never varies: scaled by 1
  });

  it("is the same in parts as at once, and takes the rows that it is given", () => {
    const even = all.filter((row) => row % 2 === 0);
    const once = updateNormalisation(emptyNormalisation(width), features, width, even, numeric);
    const half = updateNormalisation(emptyNormalisation(width), features, width, even.subarray(0, 100), numeric);
    expect(updateNormalisation(half, features, width, [...even.subarray(100)], numeric)).toEqual(once);
    expect(once.count).toBe(750);
  });

  it("never changes after as many records as are asked for, and looks at no more", () => {
    const state = updateNormalisation(emptyNormalisation(width), features, width, all, numeric);
    expect(state).toMatchObject({ count: UNTIL, frozen: true });
    expect(state.mean[0]).toBeCloseTo(plain(0, UNTIL).mean, 9);
    expect(updateNormalisation(state, features, width, all.subarray(1_000), numeric)).toBe(state);
    expect(NormalisationDocument.parse(JSON.parse(JSON.stringify(state)))).toEqual(state);
    const rest = updateNormalisation(state, features, width, all.subarray(1_000), numeric, Infinity);
    expect(rest).toEqual(updateNormalisation(emptyNormalisation(width), features, width, all, numeric, Infinity));
    expect(rest).toMatchObject({ count: 1_500, frozen: false });
    const until = [1, "always", "none"] as const;
    expect(until.map((normalise) => normalisedRecords({ normalise }))).toEqual([1, Infinity, 0]);
  });

  it("leaves parts of a category as they are", () => {
    const state = updateNormalisation(
      emptyNormalisation(2),
      Float32Array.of(1, 1, 3, 0),
      2,
      [0, 1],
      Uint8Array.of(1, 0),
    );
    const target = new Float32Array(2);
    normaliseInto(state, Float32Array.of(3, 1), 2, 0, target, 0);
    expect([...target]).toEqual([1, 1]);
  });

  it("changes nothing before it saw a record", () => {
    const target = new Float32Array(2);
    normaliseInto(emptyNormalisation(2), Float32Array.of(3, 1), 2, 0, target, 0);
    expect([...target]).toEqual([3, 1]);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batchesOf, epochOrder } from "./sampler.ts";

describe("the order of an epoch", () => {
  it("has each record once", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), fc.nat(1_000), fc.nat(300), (seed, epochIndex, records) => {
        const order = [...epochOrder({ seed, epochIndex, records })];
        expect(order.sort((a, b) => a - b)).toEqual(Array.from({ length: records }, (_, i) => i));
      }),
    );
  });

  it("depends on the seed and the epoch, and on nothing that came before", () => {
    const at = { seed: 3, epochIndex: 4, records: 50 };
    const first = epochOrder(at);
    epochOrder({ ...at, epochIndex: 9 });
    expect(epochOrder(at)).toEqual(first);
    const orders = [at, { ...at, seed: 4 }, { ...at, epochIndex: 5 }].map((other) => epochOrder(other).join());
    expect(new Set(orders).size).toBe(3);
    expect(first).not.toEqual(first.toSorted());
  });

  it("puts each record at each place as often", () => {
    const counts = Array.from({ length: 4 }, () => new Uint32Array(4));
    for (let epochIndex = 0; epochIndex < 4_000; epochIndex++)
      epochOrder({ seed: 1, epochIndex, records: 4 }).forEach((record, i) => counts[i]![record]!++);
    for (const count of counts.flatMap((row) => [...row])) expect(Math.abs(count - 1_000)).toBeLessThan(130);
  });
});

it("an epoch's last batch may be smaller", () => {
  expect([0, 1, 8, 9, 16].map((records) => batchesOf(records, 8))).toEqual([0, 1, 1, 2, 2]);
});

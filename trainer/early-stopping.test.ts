import { describe, expect, it } from "vitest";
import { afterEpoch, bestOf, isOver, NOTHING_MEASURED, type Stopping } from "./early-stopping.ts";

/** After epochs with these losses on the holdout, of 10 steps each. */
function after(losses: readonly number[], minDelta = 0): Stopping {
  return losses.reduce<Stopping>(
    (before, loss, i) => afterEpoch(before, { loss, step: 10 * (i + 1), epochIndex: i }, { minDelta }),
    NOTHING_MEASURED,
  );
}

describe("the best epoch", () => {
  it("has the lowest loss, of equal ones the first", () => {
    expect(after([3, 2, 4, 2])).toEqual({ best: { loss: 2, step: 20, epochIndex: 1 }, waited: 2 });
    expect(after([3, 2, 4, 1])).toEqual({ best: { loss: 1, step: 40, epochIndex: 3 }, waited: 0 });
  });

  it("is a new one only if it is better by more than minDelta than the best, not than the one before", () => {
    expect(after([1, 0.9, 0.8, 0.7], 0.25)).toEqual({ best: { loss: 0.7, step: 40, epochIndex: 3 }, waited: 0 });
    expect(after([1, 0.9, 0.75], 0.25)).toEqual({ best: { loss: 1, step: 10, epochIndex: 0 }, waited: 2 });
  });

  it("is none with a loss that is not finite; if all are so, that is an error", () => {
    expect(after([NaN, 2, NaN, Infinity])).toEqual({ best: { loss: 2, step: 20, epochIndex: 1 }, waited: 2 });
    const none = after([NaN, Infinity]);
    expect(none).toEqual({ best: null, waited: 2 });
    expect(() => bestOf(none, 3)).toThrow("the loss on the holdout is not finite after any epoch of round 3");
  });
});

it("the round is over after as many epochs without a better one as patience says", () => {
  expect([after([2, 3]), after([2, 3, 4]), after([2, 3, 1])].map((found) => isOver(found, { patience: 2 }))).toEqual([
    false,
    true,
    false,
  ]);
});

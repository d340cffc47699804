import { expect, it } from "vitest";
import { SWEEP_PAGES_MAX, sweepPages } from "./sweep.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;
/** As the stack's schedule asks. */
const QUARTERS = 96;

it.each([0, 30_000, 59_999])(
  "lists all once a day, and a few pages each three hours else, if it is asked %i ms late",
  (late) => {
    for (let day = 20_000; day < 20_003; day++) {
      const pages = Array.from({ length: QUARTERS }, (_, i) =>
        sweepPages({ askedMs: day * DAY + i * 15 * MINUTE + (i % 2 === 0 ? late : 0), whole: false, seq: 3 }),
      );
      expect(pages.filter((max) => max === Infinity)).toHaveLength(1);
      expect(pages.filter((max) => max === SWEEP_PAGES_MAX)).toHaveLength(7);
      expect(pages.filter((max) => max === 0)).toHaveLength(QUARTERS - 8);
    }
  },
);

it("lists all after a deploy and until something was committed, whenever it is asked", () => {
  for (const askedMs of [20_000 * DAY + DAY / 2, 20_000 * DAY + DAY / 2 + 45 * MINUTE]) {
    expect(sweepPages({ askedMs, whole: true, seq: 3 })).toBe(Infinity);
    expect(sweepPages({ askedMs, whole: false, seq: 0 })).toBe(Infinity);
  }
});

import { expect, it } from "vitest";
import { SWEEP_PAGES_MAX, sweepPages } from "./sweep.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

it("lists all once a day, however the quarters of an hour fall and however late each is by up to a minute", () => {
  for (let offset = 0; offset < 15; offset++)
    for (const late of [0, 59_999]) {
      const days = new Map<number, number>();
      for (let i = 0; i < 96 * 5; i++) {
        // late in turns, so that a day may seem to have 95 or 97 of them
        const askedMs = 20_000 * DAY + (offset + i * 15) * MINUTE + (i % 2 === 0 ? late : 0);
        const day = Math.floor(askedMs / DAY);
        const isWhole = sweepPages({ askedMs, whole: false, seq: 3 }) === Infinity;
        days.set(day, (days.get(day) ?? 0) + Number(isWhole));
      }
      for (const times of [...days.values()].slice(0, 5)) expect([1, 2]).toContain(times);
    }
});

it("lists all after a deploy and until something was committed, else a few pages", () => {
  const askedMs = 20_000 * DAY + DAY / 2;
  expect(sweepPages({ askedMs, whole: true, seq: 3 })).toBe(Infinity);
  expect(sweepPages({ askedMs, whole: false, seq: 0 })).toBe(Infinity);
  expect(sweepPages({ askedMs, whole: false, seq: 3 })).toBe(SWEEP_PAGES_MAX);
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pipelineConfig } from "../test/stored-documents.ts";
import { budgetMs, budgetText, dayOf, decideBudget, dollarsOf, NOTHING_SPENT, runMs, spentAfter } from "./budget.ts";
import type { Job } from "./ports.ts";
import type { Spent } from "./types.ts";
import { parseMoment } from "./units.ts";

const HOUR = 3_600_000;
const at = (text: string): number => parseMoment(`2026-${text}Z`)!;
const job = (startedMs?: number, stoppedMs?: number): Job => ({
  id: "1",
  name: "job",
  state: stoppedMs === undefined ? "running" : "failed",
  createdMs: 0,
  ...(startedMs === undefined ? {} : { startedMs }),
  ...(stoppedMs === undefined ? {} : { stoppedMs }),
});
const spent = (day: string, dayHours: number, monthHours: number): Spent => ({
  day: `2026-${day}`,
  dayMs: dayHours * HOUR,
  monthMs: monthHours * HOUR,
});

describe("the time of jobs", () => {
  it("is from their start to their end, or to now", () => {
    expect(runMs([job(1_000, 4_000), job(2_000)], 10_000)).toBe(3_000 + 8_000);
  });
  it("is nothing for one that waits, never began, or starts later by its own clock", () => {
    expect(runMs([job(), job(undefined, 5_000), job(11_000)], 10_000)).toBe(0);
  });
  it("is whole milliseconds, whatever the clocks give", () => {
    expect(runMs([job(0.25, 10.5)], 20)).toBe(10);
  });
});

describe("the sums of a day and a month", () => {
  it("grow on the same day", () => {
    const jobs = [job(at("03-10T10:00"), at("03-10T11:00")), job(at("03-10T12:00"))];
    expect(spentAfter(spent("03-10", 1, 5), jobs, at("03-10T14:00"))).toEqual(spent("03-10", 4, 8));
  });
  it("begin anew with a day, and with a month", () => {
    expect(spentAfter(spent("03-10", 1, 5), [], at("03-11T00:00"))).toEqual(spent("03-11", 0, 5));
    expect(spentAfter(spent("03-31", 1, 5), [], at("04-01T00:00"))).toEqual(spent("04-01", 0, 0));
    expect(spentAfter(NOTHING_SPENT, [], at("04-01T00:00"))).toEqual(spent("04-01", 0, 0));
  });
  it("have of a job over midnight what it ran on the day, and in the month", () => {
    const jobs = [job(at("03-31T22:00"), at("04-01T01:00"))];
    expect(spentAfter(spent("03-31", 3, 9), jobs, at("04-01T05:00"))).toEqual(spent("04-01", 1, 1));
    expect(spentAfter(spent("03-30", 3, 9), [job(at("03-30T22:00"))], at("03-31T01:00"))).toEqual(
      spent("03-31", 1, 12),
    );
  });
  it("go on with the later day if the clock goes back", () => {
    expect(spentAfter(spent("04-01", 1, 1), [job(at("03-31T22:00"))], at("03-31T23:00"))).toEqual(spent("04-01", 2, 2));
  });
  it("become today's if their day is more than one ahead: the clock was wrong, and nothing would ever be left of a budget", () => {
    const jobs = [job(at("04-01T10:00"), at("04-01T11:00"))];
    expect(spentAfter(spent("04-03", 1, 5), jobs, at("04-01T12:00"))).toEqual(spent("04-01", 2, 6));
    expect(spentAfter(spent("04-02", 1, 5), jobs, at("04-01T12:00"))).toEqual(spent("04-02", 2, 6));
  });
  it("never shrink on one day, whatever ran", () => {
    const time = fc.integer({ min: at("02-26T00:00"), max: at("03-04T00:00") });
    fc.assert(
      fc.property(time, time, time, fc.nat(HOUR), (began, ended, nowMs, dayMs) => {
        const before: Spent = { day: "2026-03-01", dayMs, monthMs: dayMs };
        const after = spentAfter(before, [job(began, Math.max(began, ended))], nowMs);
        const isWrong = before.day > dayOf(nowMs + 24 * HOUR);
        expect(after.day >= before.day).toBe(!isWrong);
        if (after.day <= before.day) expect(after.dayMs).toBeGreaterThanOrEqual(dayMs);
        expect(after.monthMs).toBeGreaterThanOrEqual(after.dayMs);
        if (dayOf(nowMs) > before.day) expect(after.day).toBe(dayOf(nowMs));
      }),
    );
  });
});

describe("a budget", () => {
  const budget = { perDay: 4, perMonth: 20, pricePerHour: 2 };
  it("leaves so much time as its money pays for", () => {
    expect(decideBudget(null, NOTHING_SPENT)).toEqual({ do: "spend", leftMs: Infinity });
    expect(decideBudget(budget, spent("03-10", 0.5, 0.5))).toEqual({ do: "spend", leftMs: 1.5 * HOUR });
    expect(decideBudget(budget, spent("03-10", 0, 9))).toEqual({ do: "spend", leftMs: HOUR });
    expect(decideBudget({ ...budget, perDay: null, perMonth: null }, spent("03-10", 99, 99))).toMatchObject({
      do: "spend",
    });
  });
  it("is used up when less than a minute is left, until the day ends", () => {
    const day = { do: "stop", per: "day", limit: 4, untilMs: at("03-11T00:00") };
    expect(decideBudget(budget, spent("03-10", 2, 2))).toEqual({ ...day, spent: 4 });
    expect(decideBudget(budget, spent("03-10", 2 - 0.9 / 60, 2))).toMatchObject(day);
    expect(decideBudget(budget, spent("03-10", 2 - 1 / 60, 2))).toEqual({ do: "spend", leftMs: 60_000 });
  });
  it("of the month lasts longer than that of the day", () => {
    expect(decideBudget(budget, spent("12-10", 5, 10))).toEqual({
      do: "stop",
      per: "month",
      limit: 20,
      spent: 20,
      untilMs: parseMoment("2027-01-01"),
    });
  });
  it("says what it was and what was spent", () => {
    expect(budgetText({ per: "day", limit: 5, spent: 5.0234 })).toBe("the budget of $5 a day is used up ($5.02 spent)");
    expect(budgetText({ per: "month", limit: 60.1, spent: 61 })).toBe(
      "the budget of $60.10 a month is used up ($61.00 spent)",
    );
    expect(dollarsOf(HOUR / 2, budget)).toBe(1);
    expect(budgetMs(1, budget)).toBe(HOUR / 2);
  });
  it("that pays for less than a minute is refused", () => {
    const config = (perDay: number): unknown => pipelineConfig({ budget: { perDay, pricePerHour: 60 } });
    expect(() => config(0.99)).toThrow("digits: budget.perDay: $0.99 pays for less than a minute at $60 an hour");
    expect(() => config(1)).not.toThrow();
  });
});

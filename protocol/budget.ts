/**
 * What jobs cost: their time, by the day and the month of UTC on which they ran, times a price. Each entry of the log carries the
 * sums of its own day and month, so that nobody has to read a second one.
 */
import type { BudgetConfig } from "./config-parts.ts";
import type { Job } from "./ports.ts";
import type { Spent } from "./types.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Less than that is nothing: a job would end before it has begun. */
export const BUDGET_LEAST_MS = 60_000;

export const NOTHING_SPENT: Spent = { day: "1970-01-01", dayMs: 0, monthMs: 0 };

/** 2026-01-31, of UTC. */
export function dayOf(ms: number): string {
  // oxlint-disable-next-line eslint/no-restricted-globals -- a function of its argument alone
  return new Date(ms).toISOString().slice(0, 10);
}

/** The first millisecond of a day such as 2026-01-31; of its month, and of the month after it. */
function startsOf(day: string): { dayMs: number; monthMs: number; nextMonthMs: number } {
  const [year = 0, month = 0, date = 0] = day.split("-").map(Number);
  // oxlint-disable-next-line eslint/no-restricted-globals -- a function of its arguments alone
  const at = (...args: [number, number, number]): number => Date.UTC(...args);
  return { dayMs: at(year, month - 1, date), monthMs: at(year, month - 1, 1), nextMonthMs: at(year, month, 1) };
}

/** How long these jobs ran from `fromMs` on; one that runs counts up to `nowMs`, one that waits or never began not at all. */
export function runMs(jobs: readonly Job[], nowMs: number, fromMs = 0): number {
  const each = jobs.map(({ startedMs, stoppedMs }) =>
    startedMs === undefined ? 0 : Math.max(0, (stoppedMs ?? nowMs) - Math.max(startedMs, fromMs)),
  );
  return Math.round(each.reduce((sum, ms) => sum + ms, 0));
}

/**
 * The sums of the day and the month of `nowMs`, once these jobs are added to those of the head. A job that ran over midnight counts
 * for each day with what it ran on it, so one that was closed late can't use up a day on which it did not run.
 * @param nowMs by the store's clock; if that went back, the later day goes on. One that is more than a day ahead was a wrong clock's:
 * its sums become today's, or a budget would wait for that day
 */
export function spentAfter(last: Spent, jobs: readonly Job[], nowMs: number): Spent {
  const today = dayOf(nowMs);
  const before = last.day > dayOf(nowMs + DAY_MS) ? { ...last, day: today } : last;
  const day = today > before.day ? today : before.day;
  const starts = startsOf(today);
  const isSameMonth = day.slice(0, 7) === before.day.slice(0, 7);
  return {
    day,
    dayMs: (day === before.day ? before.dayMs : 0) + runMs(jobs, nowMs, starts.dayMs),
    monthMs: (isSameMonth ? before.monthMs : 0) + runMs(jobs, nowMs, starts.monthMs),
  };
}

export function dollarsOf(ms: number, budget: Pick<BudgetConfig, "pricePerHour">): number {
  return (ms / HOUR_MS) * budget.pricePerHour;
}

export type BudgetDecision =
  /** leftMs: no job may run longer; Infinity: no limit */
  | { readonly do: "spend"; readonly leftMs: number }
  /** limit, spent: dollars. untilMs: when the day or the month ends, by the store's clock */
  | {
      readonly do: "stop";
      readonly per: "day" | "month";
      readonly limit: number;
      readonly spent: number;
      readonly untilMs: number;
    };

/** Whether another job may be paid for. @param spent the sums of today, open jobs included */
export function decideBudget(budget: BudgetConfig | null, spent: Spent): BudgetDecision {
  if (budget === null) return { do: "spend", leftMs: Infinity };
  const starts = startsOf(spent.day);
  const limits = [
    { per: "month", limit: budget.perMonth, ms: spent.monthMs, untilMs: starts.nextMonthMs },
    { per: "day", limit: budget.perDay, ms: spent.dayMs, untilMs: starts.dayMs + DAY_MS },
  ] as const;
  let leftMs = Infinity;
  // the month first: it is what lasts longer
  for (const { per, limit, ms, untilMs } of limits) {
    if (limit === null) continue;
    const left = budgetMs(limit, budget) - ms;
    if (left < BUDGET_LEAST_MS) return { do: "stop", per, limit, spent: dollarsOf(ms, budget), untilMs };
    leftMs = Math.min(leftMs, left);
  }
  return { do: "spend", leftMs };
}

/** How long jobs may run for so many dollars. */
export function budgetMs(dollars: number, budget: Pick<BudgetConfig, "pricePerHour">): number {
  return Math.floor((dollars / budget.pricePerHour) * HOUR_MS);
}

/** "the budget of $5 a day is used up ($5.02 spent)" */
export function budgetText({ per, limit, spent }: { per: "day" | "month"; limit: number; spent: number }): string {
  const dollars = Number.isInteger(limit) ? String(limit) : limit.toFixed(2);
  return `the budget of $${dollars} a ${per} is used up ($${spent.toFixed(2)} spent)`;
}

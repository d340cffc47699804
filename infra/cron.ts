/** Times of a schedule as EventBridge Scheduler writes them. It has a field for the year, names no Sunday 0, and wants one "?" . */
import type { RetrainingConfig } from "../protocol/config-parts.ts";
import { AccreteError } from "../protocol/errors.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] as const;
const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"] as const;

export interface ScheduleTimes {
  readonly expression: string;
  readonly timeZone: string;
}

/**
 * @param pipeline its name, for the message
 * @throws {AccreteError} CONFIG_INVALID where EventBridge has no such thing
 */
export function scheduleTimes(pipeline: string, schedule: RetrainingConfig): ScheduleTimes {
  if (schedule.every !== undefined) return { expression: everyExpression(pipeline, schedule.every), timeZone: "UTC" };
  try {
    return { expression: cronExpression(schedule.cron), timeZone: schedule.timeZone };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new AccreteError("CONFIG_INVALID", `${pipeline}: schedule.cron: "${schedule.cron}": ${cause.message}`, {
      cause,
    });
  }
}

/** A period counts from 1970 in UTC: where days are made of whole ones a cron says the same; else it counts from the deploy. */
function everyExpression(pipeline: string, everyMs: number): string {
  if (everyMs % MINUTE_MS !== 0)
    throw new AccreteError("CONFIG_INVALID", `${pipeline}: schedule.every: EventBridge counts whole minutes`);
  const minutes = everyMs / MINUTE_MS;
  if (minutes < 60 && 60 % minutes === 0) return `cron(${minutes === 1 ? "*" : `0/${minutes}`} * * * ? *)`;
  if (everyMs % HOUR_MS === 0 && DAY_MS % everyMs === 0) {
    const hours = everyMs / HOUR_MS;
    return `cron(0 ${hours === 24 ? "0" : hours === 1 ? "*" : `0/${hours}`} * * ? *)`;
  }
  if (everyMs === 7 * DAY_MS) return "cron(0 0 ? * THU *)"; // 1 January 1970
  const [value, unit] =
    everyMs % DAY_MS === 0
      ? [everyMs / DAY_MS, "day"]
      : everyMs % HOUR_MS === 0
        ? [everyMs / HOUR_MS, "hour"]
        : [minutes, "minute"];
  return `rate(${value} ${unit}${value === 1 ? "" : "s"})`;
}

/** @throws {RangeError} */
function cronExpression(cron: string): string {
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = cron.trim().split(/\s+/);
  const isAny = (field: string): boolean => field === "*" || field === "?";
  const days = isAny(day) ? "*" : day === "L" ? "L" : numbers(day, 1, 31);
  const onDays = isAny(weekday) ? [days, "?"] : ["?", weekdays(weekday)];
  return `cron(${[numbers(minute, 0, 59), numbers(hour, 0, 23), onDays[0], numbers(month, 1, 12, MONTHS), onDays[1], "*"].join(" ")})`;
}

function weekdays(field: string): string {
  const each = valuesOf(field, 0, 7, DAYS).map((day) => day % 7);
  return DAYS.filter((_, day) => each.includes(day)).join(",");
}

/** Lists and ranges of numbers: "*" + "/20" is "0,20,40". */
function numbers(field: string, from: number, to: number, names: readonly string[] = []): string {
  const values = valuesOf(field, from, to, names);
  if (values.length === to - from + 1) return "*";
  const runs: number[][] = [];
  for (const value of values) {
    const last = runs.at(-1);
    if (last !== undefined && last.at(-1) === value - 1) last.push(value);
    else runs.push([value]);
  }
  return runs.map((run) => (run.length > 2 ? `${run[0]}-${run.at(-1)}` : run.join(","))).join(",");
}

/** Sorted, each once. @param names of the numbers from `from` on */
function valuesOf(field: string, from: number, to: number, names: readonly string[]): number[] {
  const numberOf = (text: string): number => {
    const named = names.indexOf(text.toUpperCase());
    if (named >= 0) return named + from;
    if (!/^\d{1,2}$/.test(text))
      throw new RangeError(`EventBridge has no "${field}": write numbers, lists, ranges and steps`);
    return Number(text);
  };
  const values = new Set<number>();
  for (const part of field.split(",")) {
    const [range = "", step = "1"] = part.split("/");
    const [first, last] = range === "*" ? [String(from), String(to)] : range.split("-");
    const start = numberOf(first ?? "");
    const end = last === undefined ? (part.includes("/") ? to : start) : numberOf(last);
    if (start < from || end > to || end < start || numberOf(step) < 1)
      throw new RangeError(`EventBridge has no "${field}": ${from} to ${to} is expected`);
    for (let value = start; value <= end; value += Number(step)) values.add(value);
  }
  return [...values].sort((a, b) => a - b);
}

/**
 * When a schedule is due. Functions of the schedule and the time alone: nothing is remembered, so nothing drifts.
 *
 * Daylight saving: a local time that does not exist is due once, right after the gap; one that comes twice is due once, the first
 * time. Only where the hour is `*` does each real hour count: `0 * * * *` is due 23 or 25 times on such a day.
 */
import { Cron } from "croner";
import type { Config } from "../protocol/config.ts";
import type { RetrainingConfig } from "../protocol/config-parts.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { nearestName } from "../protocol/nearest-name.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How far back a newest due time is looked for, the nearest first; a 29 February is at most 8 years ago. */
const SPANS_MS = [HOUR_MS, DAY_MS, 8 * DAY_MS, 32 * DAY_MS, 367 * DAY_MS, 9 * 366 * DAY_MS];

/** The first due time after `afterMs`; ms since 1970. */
export function nextDue(schedule: RetrainingConfig, afterMs: number): number {
  if (schedule.every !== undefined) return (Math.floor(afterMs / schedule.every) + 1) * schedule.every;
  const next = cronOf(schedule.cron, schedule.timeZone).nextRun(new Date(afterMs));
  // checked when the config was loaded: it always comes again
  if (next === null) throw new Error(`"${schedule.cron}" never comes after ${afterMs}`);
  return next.getTime();
}

/** The latest due time after `afterMs` and at or before `untilMs`; undefined if there is none. */
export function newestDue(schedule: RetrainingConfig, afterMs: number, untilMs: number): number | undefined {
  if (schedule.every !== undefined) {
    const due = Math.floor(untilMs / schedule.every) * schedule.every;
    return due > afterMs ? due : undefined;
  }
  for (const span of SPANS_MS) {
    const fromMs = Math.max(afterMs, untilMs - span);
    let newest: number | undefined;
    for (let due = nextDue(schedule, fromMs); due <= untilMs; due = nextDue(schedule, due)) newest = due;
    if (newest !== undefined || fromMs === afterMs) return newest;
  }
  return undefined;
}

/**
 * Checks what the schema can't: that a schedule ever comes, and means the same everywhere.
 * @throws {AccreteError} CONFIG_INVALID
 */
export function checkSchedules({ pipelines }: Config): void {
  for (const { name, schedule } of pipelines) {
    const wrong = schedule === null ? undefined : wrongSchedule(schedule);
    if (wrong !== undefined) throw new AccreteError("CONFIG_INVALID", `${name}: schedule.${wrong}`);
  }
}

function wrongSchedule(schedule: RetrainingConfig): string | undefined {
  if (schedule.every !== undefined) return undefined;
  const { cron, timeZone } = schedule;
  const wrongZone = wrongTimeZone(timeZone);
  if (wrongZone !== undefined) return `timeZone: ${wrongZone}`;
  const fields = fieldsOf(cron);
  if (fields.length !== 5)
    return `cron: "${cron}" has ${fields.length} parts: five are expected: minute, hour, day of the month, month, day of the week`;
  const isAny = (field: string | undefined): boolean => field === "*" || field === "?";
  if (!isAny(fields[2]) && !isAny(fields[4]))
    return `cron: "${cron}" names days of the month and of the week: leave one of them "*", since schedulers differ in what both mean`;
  try {
    if (cronOf(cron, timeZone).nextRun(new Date(0)) === null)
      return `cron: "${cron}" never comes: there is no such day`;
  } catch (error) {
    return `cron: "${cron}" can't be read: ${messageOf(error).replace(/^CronPattern: /, "")}`;
  }
  return undefined;
}

function wrongTimeZone(timeZone: string): string | undefined {
  if (isTimeZone(timeZone)) return undefined;
  const near = nearestName(timeZone, [...Intl.supportedValuesOf("timeZone"), "UTC"]);
  return `"${timeZone}" is no time zone${near === undefined ? ': write one such as "Europe/Berlin"' : `: did you mean "${near}"?`}`;
}

function isTimeZone(name: string): boolean {
  // an offset is no zone: it has no summer time, and other schedulers refuse it
  if (/^[+-]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

function fieldsOf(cron: string): string[] {
  return cron.trim().split(/\s+/);
}

const crons = new Map<string, Cron>();

function cronOf(cron: string, timezone: string): Cron {
  const name = `${timezone}\n${cron}`;
  const known = crons.get(name);
  if (known !== undefined) return known;
  const [minute = "", hour = "", ...days] = fieldsOf(cron);
  // only lists and ranges are local times to the library: a step in them would be an interval, which a gap swallows
  const fields = hour === "*" ? [minute, hour] : [withoutSteps(minute, 59), withoutSteps(hour, 23)];
  const made = new Cron([...fields, ...days].join(" "), {
    mode: "5-part",
    timezone,
    fixedTimeRule: "no-wildcard",
    paused: true,
  });
  crons.set(name, made);
  return made;
}

/** "*" and steps spelled out: "*" + "/20" is "0,20,40". What is not understood is left for the library to refuse. */
function withoutSteps(field: string, max: number): string {
  return field
    .split(",")
    .map((part) => {
      const [, range, step = "1"] = /^(\*|\d{1,2}-\d{1,2})(?:\/(\d{1,2}))?$/.exec(part) ?? [];
      if (range === undefined) return part;
      const [from = 0, to = max] = range === "*" ? [] : range.split("-").map(Number);
      if (Number(step) < 1 || from > to || to > max) return part;
      const values: number[] = [];
      for (let value = from; value <= to; value += Number(step)) values.push(value);
      return values.join(",");
    })
    .join(",");
}

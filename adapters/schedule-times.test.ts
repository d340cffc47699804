import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../protocol/config.ts";
import type { RetrainingConfig } from "../protocol/config-parts.ts";
import { checkSchedules, newestDue, nextDue } from "./schedule-times.ts";

const ms = (text: string): number => Date.parse(text);
const iso = (time: number | undefined): string | undefined =>
  time === undefined ? undefined : new Date(time).toISOString().replace(":00.000Z", "Z");
const cron = (text: string, timeZone = "UTC"): RetrainingConfig => ({ cron: text, timeZone, retrain: "pending" });
const every = (period: number): RetrainingConfig => ({ every: period, retrain: "pending" });

/** Due times after `from`, until `to`. */
function between(schedule: RetrainingConfig, from: string, to: string): (string | undefined)[] {
  const times: (string | undefined)[] = [];
  for (let at = nextDue(schedule, ms(from)); at <= ms(to); at = nextDue(schedule, at)) times.push(iso(at));
  return times;
}

describe("every", () => {
  it("is multiples of the period since 1970, whenever it is asked", () => {
    const sixHours = every(6 * 3_600_000);
    expect(iso(nextDue(sixHours, ms("2026-03-01T05:59:59.999Z")))).toBe("2026-03-01T06:00Z");
    expect(iso(nextDue(sixHours, ms("2026-03-01T06:00:00Z")))).toBe("2026-03-01T12:00Z");
    expect(iso(newestDue(sixHours, 0, ms("2026-03-01T11:00:00Z")))).toBe("2026-03-01T06:00Z");
    expect(newestDue(sixHours, ms("2026-03-01T06:00:00Z"), ms("2026-03-01T11:59:59Z"))).toBeUndefined();
  });
});

describe("a cron on the days when clocks change", () => {
  it.each([
    // Berlin: 02:00 -> 03:00 on 29 March 2026, 03:00 -> 02:00 on 25 October
    ["30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]],
    ["0,30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]],
    ["*/20 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]],
    ["30 1-3 * * *", "Europe/Berlin", "2026-03-29", ["00:30", "01:00", "01:30", "23:30"]],
    ["30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:30"]],
    ["0,30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:00", "00:30"]],
    ["*/30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:00", "00:30"]],
    // each real hour
    [
      "0 * * * *",
      "Europe/Berlin",
      "2026-03-29",
      Array.from({ length: 24 }, (_, i) => `${String(i).padStart(2, "0")}:00`),
    ],
    // New York: 02:00 -> 03:00 on 8 March 2026, 02:00 -> 01:00 on 1 November
    ["30 2 * * *", "America/New_York", "2026-03-08", ["07:00"]],
    ["30 1 * * *", "America/New_York", "2026-11-01", ["05:30"]],
    // Sydney: 02:00 -> 03:00 on 4 October 2026, 03:00 -> 02:00 on 5 April; half an hour on Lord Howe
    ["30 2 * * *", "Australia/Sydney", "2026-10-03", ["16:00"]],
    ["30 2 * * *", "Australia/Sydney", "2026-04-04", ["15:30"]],
    ["15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["15:30"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["14:45"]],
  ])("%s in %s on %s UTC", (pattern, zone, day, times) => {
    const dayBefore = iso(ms(`${day}T00:00:00Z`) - 1)!;
    expect(between(cron(pattern, zone), dayBefore, `${day}T23:59:00Z`)).toEqual(times.map((time) => `${day}T${time}Z`));
  });

  it("comes 23 or 25 times a day only if each hour is meant", () => {
    const zone = "Europe/Berlin";
    const local = (pattern: string, from: string, to: string): number => between(cron(pattern, zone), from, to).length;
    expect(local("0 * * * *", "2026-03-28T22:59:00Z", "2026-03-29T21:59:00Z")).toBe(23);
    expect(local("0 * * * *", "2026-10-24T21:59:00Z", "2026-10-25T22:59:00Z")).toBe(25);
    // 00:00, 02:00 (or right after), 04:00 ...
    expect(local("0 */2 * * *", "2026-03-28T22:59:00Z", "2026-03-29T21:59:00Z")).toBe(12);
    expect(local("0 */2 * * *", "2026-10-24T21:59:00Z", "2026-10-25T22:59:00Z")).toBe(12);
  });
});

it("comes on the 31st only where there is one, and on 29 February in leap years", () => {
  expect(between(cron("0 12 31 * *"), "2026-01-01T00:00:00Z", "2026-06-30T00:00:00Z")).toEqual([
    "2026-01-31T12:00Z",
    "2026-03-31T12:00Z",
    "2026-05-31T12:00Z",
  ]);
  expect(iso(nextDue(cron("0 0 29 2 *"), ms("2096-03-01T00:00:00Z")))).toBe("2104-02-29T00:00Z");
  expect(iso(newestDue(cron("0 0 29 2 *"), 0, ms("2104-01-01T00:00:00Z")))).toBe("2096-02-29T00:00Z");
});

it("the newest due time is the last one that walking forward finds", () => {
  const patterns = ["30 2 * * *", "0,30 2 * * 1-5", "*/7 * * * *", "0 0 31 * *", "15 */5 1 * *", "59 23 * * 0"];
  const zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];
  fc.assert(
    fc.property(
      fc.constantFrom(...patterns),
      fc.constantFrom(...zones),
      fc.integer({ min: ms("2026-01-01T00:00:00Z"), max: ms("2027-12-31T00:00:00Z") }),
      fc.integer({ min: 0, max: 40 * 86_400_000 }),
      (pattern, zone, from, length) => {
        const schedule = cron(pattern, zone);
        const until = from + length;
        let newest: number | undefined;
        for (let at = nextDue(schedule, from); at <= until; at = nextDue(schedule, at)) {
          expect(at).toBeGreaterThan(newest ?? from);
          newest = at;
        }
        expect(newestDue(schedule, from, until)).toBe(newest);
      },
    ),
    { numRuns: 40 },
  );
});

describe("a schedule is refused that", () => {
  const check = (schedule: object): void =>
    checkSchedules(
      parseConfig({
        pipelines: [{ name: "digits", data: { format: "csv" }, trainer: { model: "./model.ts" }, schedule }],
      }),
    );
  it.each([
    [
      "can't be read",
      { cron: "61 0 * * *" },
      'digits: schedule.cron: "61 0 * * *" can\'t be read: Invalid value for minute: 61',
    ],
    ["has seconds", { cron: "0 0 3 * * *" }, 'schedule.cron: "0 0 3 * * *" has 6 parts: five are expected'],
    ["has a nickname", { cron: "@daily" }, "has 1 parts: five are expected"],
    ["has two kinds of days", { cron: "0 3 1 * 1" }, "names days of the month and of the week"],
    ["never comes", { cron: "0 3 31 2 *" }, 'schedule.cron: "0 3 31 2 *" never comes'],
    [
      "is nowhere",
      { cron: "0 3 * * *", timeZone: "Europe/Berln" },
      '"Europe/Berln" is no time zone: did you mean "Europe/Berlin"?',
    ],
    ["is in no zone at all", { cron: "0 3 * * *", timeZone: "here" }, '"here" is no time zone: write one such as'],
    ["has an offset for a zone", { cron: "0 3 * * *", timeZone: "+02:00" }, '"+02:00" is no time zone'],
  ])("%s", (_what, schedule, message) => {
    expect(() => check(schedule)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(message) }),
    );
  });
  it.each([
    { every: "1 day" },
    { cron: "0 3 29 2 *" },
    { cron: "0 3 ? * MON-FRI", timeZone: "UTC" },
    { cron: "  0 3 1 * *", timeZone: "America/Argentina/Buenos_Aires" },
  ])("but not %j", (schedule) => expect(() => check(schedule)).not.toThrow());
});

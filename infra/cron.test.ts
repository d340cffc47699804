import { describe, expect, it } from "vitest";
import { RetrainingConfig } from "../protocol/config-parts.ts";
import { scheduleTimes } from "./cron.ts";

const times = (schedule: object): string => {
  const { expression, timeZone } = scheduleTimes("digits", RetrainingConfig.parse(schedule));
  return `${expression} ${timeZone}`;
};

describe("a cron of five fields", () => {
  it.each([
    ["0 3 * * *", "cron(0 3 * * ? *)"],
    ["*/15 * * * *", "cron(0,15,30,45 * * * ? *)"],
    ["0-59 0-23 * * *", "cron(* * * * ? *)"],
    ["5,10-12 8-18/5 * * *", "cron(5,10-12 8,13,18 * * ? *)"],
    ["30 2 * * 1-5", "cron(30 2 ? * MON,TUE,WED,THU,FRI *)"],
    ["30 2 * * 5-7", "cron(30 2 ? * SUN,FRI,SAT *)"],
    ["30 2 ? * sun", "cron(30 2 ? * SUN *)"],
    ["0 0 1,15 * ?", "cron(0 0 1,15 * ? *)"],
    ["0 0 L * *", "cron(0 0 L * ? *)"],
    ["0 0 1 jan,6 *", "cron(0 0 1 1,6 ? *)"],
    ["7/20 0 * * *", "cron(7,27,47 0 * * ? *)"],
  ])("%s", (cron, expected) => {
    expect(times({ cron, timeZone: "Europe/Berlin" })).toBe(`${expected} Europe/Berlin`);
  });

  it.each(["0 0 * * 5#2", "0 0 15W * *", "0 0 * * 5L", "61 0 * * *", "0 9-5 * * *", "*/0 * * * *"])(
    "%s is refused with what it says",
    (cron) => {
      expect(() => times({ cron })).toThrow(
        expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(`"${cron}"`) }),
      );
    },
  );
});

describe("a period", () => {
  it.each([
    ["1 min", "cron(* * * * ? *)"],
    ["15 min", "cron(0/15 * * * ? *)"],
    ["1 hour", "cron(0 * * * ? *)"],
    ["6 hours", "cron(0 0/6 * * ? *)"],
    ["1 day", "cron(0 0 * * ? *)"],
    ["7 days", "cron(0 0 ? * THU *)"],
    // no clock says these: they count from the deploy
    ["7 min", "rate(7 minutes)"],
    ["90 min", "rate(90 minutes)"],
    ["5 hours", "rate(5 hours)"],
    ["3 days", "rate(3 days)"],
  ])("%s", (every, expected) => {
    expect(times({ every })).toBe(`${expected} UTC`);
  });

  it("of parts of a minute is refused", () => {
    expect(() => times({ every: "90 s" })).toThrow(/EventBridge counts whole minutes/);
  });
});

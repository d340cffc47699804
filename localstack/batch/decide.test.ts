import { describe, expect, it } from "vitest";
import { isRetried, matches, NOTHING, placeFor, type AttemptEnd, type Place } from "./decide.ts";

const ended = (exitCode: number | undefined, more: Partial<AttemptEnd> = {}): AttemptEnd => ({
  exitCode,
  statusReason: "Essential container in task exited",
  ...more,
});
const HOST = ended(undefined, { statusReason: "Host EC2 (instance i-0123) terminated." });

describe("whether an attempt is followed by another", () => {
  it("is not, where one attempt is all", () => {
    expect(isRetried({}, 1, ended(1))).toBe(false);
    expect(isRetried({ attempts: 1, evaluateOnExit: [{ onExitCode: "1", action: "RETRY" }] }, 1, ended(1))).toBe(false);
  });

  it("is, as long as there are attempts and nothing says otherwise", () => {
    expect(isRetried({ attempts: 3 }, 2, ended(1))).toBe(true);
    expect(isRetried({ attempts: 3 }, 3, ended(1))).toBe(false);
    // where nothing matches, the job is tried again
    expect(isRetried({ attempts: 3, evaluateOnExit: [{ onExitCode: "7", action: "EXIT" }] }, 1, ended(1))).toBe(true);
  });

  // the rules of the pipeline's own job definition
  const evaluateOnExit = [
    { onStatusReason: "Host EC2*", action: "RETRY" },
    { onReason: "CannotPullContainerError:*", action: "RETRY" },
    { onExitCode: "75", action: "retry" },
    { onReason: "*", action: "EXIT" },
  ];
  it.each([
    [HOST, true],
    [ended(undefined, { reason: "CannotPullContainerError: no image" }), true],
    [ended(75), true],
    [ended(1), false],
    [ended(175), false],
    [ended(137, { reason: "OutOfMemoryError: Container killed due to memory usage" }), false],
  ])("is said by the first rule that matches: %j", (end, expected) => {
    expect(isRetried({ attempts: 2, evaluateOnExit }, 1, end)).toBe(expected);
  });

  it("needs all conditions of a rule", () => {
    const both = [{ onExitCode: "1", onReason: "a*", action: "EXIT" }];
    expect(isRetried({ attempts: 2, evaluateOnExit: both }, 1, ended(1, { reason: "abc" }))).toBe(false);
    expect(isRetried({ attempts: 2, evaluateOnExit: both }, 1, ended(1, { reason: "b" }))).toBe(true);
    expect(isRetried({ attempts: 2, evaluateOnExit: both }, 1, ended(2, { reason: "abc" }))).toBe(true);
  });

  it("knows one wildcard, at the end", () => {
    expect(matches("13*", "137")).toBe(true);
    expect(matches("13*", "75")).toBe(false);
    expect(matches("*", "")).toBe(true);
    expect(matches("1.", "13")).toBe(false);
    expect(matches("a*c", "abc")).toBe(false);
    expect(matches(undefined, "x")).toBe(true);
  });
});

describe("where a job starts", () => {
  const NEED = { vcpus: 2, memoryMiB: 512, gpus: 1 };
  const ALL = { vcpus: Infinity, memoryMiB: Infinity, gpus: Infinity };
  const HOST = { has: ALL, used: NOTHING };
  const place = (changes: Partial<Place> = {}): Place => ({
    arn: "one",
    maxVcpus: 4,
    usedVcpus: 0,
    exhausted: false,
    ...changes,
  });

  it("is the first compute environment with room", () => {
    expect(placeFor(NEED, [place(), place({ arn: "two" })], HOST)).toEqual({ at: "one" });
    expect(placeFor(NEED, [place({ usedVcpus: 3 }), place({ arn: "two" })], HOST)).toEqual({ at: "two" });
    expect(placeFor(NEED, [place({ usedVcpus: 2 })], HOST)).toEqual({ at: "one" });
    expect(placeFor(NEED, [place({ exhausted: true }), place({ arn: "two" })], HOST)).toEqual({ at: "two" });
  });

  it("waits for others to end, for no reason of its own", () => {
    const waits = { at: undefined, reason: undefined };
    expect(placeFor(NEED, [], HOST)).toEqual(waits);
    expect(placeFor(NEED, [place({ usedVcpus: 3 })], HOST)).toEqual(waits);
    const has = { vcpus: 4, memoryMiB: 1_000, gpus: 1 };
    for (const used of [
      { ...NOTHING, vcpus: 3 },
      { ...NOTHING, memoryMiB: 489 },
      { ...NOTHING, gpus: 1 },
    ])
      expect(placeFor(NEED, [place()], { has, used })).toEqual(waits);
    expect(placeFor(NEED, [place()], { has, used: { vcpus: 2, memoryMiB: 488, gpus: 0 } })).toEqual({ at: "one" });
  });

  it.each([
    [[place({ maxVcpus: 1 })], ALL, "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"],
    [[place()], { ...ALL, gpus: 0 }, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"],
    [[place()], { ...ALL, memoryMiB: 511 }, "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"],
    [[place({ exhausted: true })], ALL, "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"],
  ])("says why it never will, as it is: %j", (places, has, reason) => {
    const placement = placeFor(NEED, places, { has, used: NOTHING });
    expect(placement).toEqual({ at: undefined, reason: expect.stringContaining(reason) });
  });
});

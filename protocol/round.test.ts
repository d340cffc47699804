import { describe, expect, it } from "vitest";
import type { Job, JobState } from "./ports.ts";
import {
  decideLimit,
  decideRound,
  needsOnDemand,
  nextAttempt,
  type AttemptFacts,
  type LimitFacts,
  type RoundFacts,
} from "./round.ts";

const NOW = 1_000_000;
const job = (state: JobState, part: Partial<Job> = {}): Job => ({
  id: "j1",
  name: "n",
  state,
  createdMs: NOW - 50,
  ...part,
});
const attempt = (n: number, part: Partial<AttemptFacts> = {}): AttemptFacts => ({
  attempt: n,
  intentMs: NOW - 5_000,
  ...part,
});
const recorded = (n: number, of: Job | undefined, modifiedMs = NOW - 4_000): AttemptFacts =>
  attempt(n, { record: { jobId: of?.id ?? "j", modifiedMs }, ...(of === undefined ? {} : { job: of }) });
const decide = (...attempts: RoundFacts["attempts"]): ReturnType<typeof decideRound> =>
  decideRound({ attempts, nowMs: NOW, lookupLagMs: 1_000, maxWaitMs: 100 });

describe("an open round without a result", () => {
  it("gets its first attempt if it has none", () => expect(decide()).toEqual({ do: "attempt", attempt: 1 }));

  it.each(["running", "waiting"] as const)("is left alone while a job of it is %s", (state) => {
    expect(decide(recorded(1, job(state)))).toEqual({ do: "stop", because: "job-alive", job: job(state) });
  });

  it("is left alone while a job of an older attempt is alive", () => {
    const old = job("running", { id: "old" });
    expect(decide(recorded(1, old), recorded(2, job("failed")))).toEqual({
      do: "stop",
      because: "job-alive",
      job: old,
    });
  });

  it("has a job ended that waits too long for a machine, but not a millisecond earlier", () => {
    const patient = job("waiting", { createdMs: NOW - 100 });
    const late = job("waiting", { createdMs: NOW - 101 });
    expect(decide(recorded(1, patient))).toMatchObject({ do: "stop" });
    expect(decide(recorded(1, late))).toEqual({ do: "terminate", job: late, because: "max-wait" });
  });

  it("never has a running job ended for the time it takes, nor a waiting one beside it", () => {
    const running = job("running", { createdMs: 0 });
    expect(decide(recorded(1, running))).toMatchObject({ do: "stop" });
    expect(decide(recorded(1, job("waiting", { createdMs: 0 })), recorded(2, running))).toMatchObject({
      do: "stop",
      job: running,
    });
  });

  it.each(["succeeded", "failed"] as const)("gets the next attempt when its job has %s", (state) => {
    expect(decide(recorded(1, job(state)))).toEqual({ do: "attempt", attempt: 2 });
  });

  it("waits as long as an intent without a record may be about to be submitted", () => {
    expect(decide(attempt(1, { intentMs: NOW - 1_000 }))).toEqual({
      do: "wait",
      untilMs: NOW,
      because: "not-to-be-told-yet",
    });
    expect(decide(attempt(1, { intentMs: NOW - 1_001 }))).toEqual({ do: "look-up", attempts: [1] });
  });

  it("waits as long as a recorded job may not be known yet, by the record's time", () => {
    expect(decide(recorded(1, undefined, NOW - 400))).toEqual({
      do: "wait",
      untilMs: NOW + 600,
      because: "not-to-be-told-yet",
    });
    expect(decide(recorded(1, undefined, NOW - 1_001))).toEqual({ do: "attempt", attempt: 2 });
  });

  it("waits for the latest of them", () => {
    expect(decide(attempt(1, { intentMs: NOW - 900 }), recorded(2, undefined, NOW - 100))).toMatchObject({
      untilMs: NOW + 900,
    });
  });

  it("looks all intents without a record up by name before another attempt", () => {
    expect(decide(attempt(1), recorded(2, job("failed")), attempt(4))).toEqual({ do: "look-up", attempts: [1, 4] });
  });

  it("numbers its attempts on from the highest, also over gaps", () => {
    expect(nextAttempt([])).toBe(1);
    expect(nextAttempt([{ attempt: 1 }, { attempt: 4 }])).toBe(5);
    expect(nextAttempt([{ attempt: 4 }, { attempt: 1 }])).toBe(5);
  });
});

describe("another attempt", () => {
  const attempts = [1, 2, 3].map((n) => ({ attempt: n, intentMs: n * 100 }));
  const facts: LimitFacts = { attempts, newestHasFailure: false, progressMs: undefined, limit: 3, retryOf: undefined };
  const blocked = (because: "attempts" | "failure-record"): object => ({ do: "blocked", because });
  const allowed = { do: "attempt", retry: false };

  it("is made until the limit is reached", () => {
    expect(decideLimit({ ...facts, limit: 4 })).toEqual(allowed);
    expect(decideLimit(facts)).toEqual(blocked("attempts"));
  });

  it("is made again after progress: only attempts since then count", () => {
    expect(decideLimit({ ...facts, progressMs: 150 })).toEqual(allowed);
    expect(decideLimit({ ...facts, progressMs: 100 })).toEqual(allowed);
    expect(decideLimit({ ...facts, progressMs: 99 })).toEqual(blocked("attempts"));
  });

  it("is not made after a failure record, though the limit is not reached", () => {
    expect(decideLimit({ ...facts, limit: 9, newestHasFailure: true })).toEqual(blocked("failure-record"));
  });

  it("is made once beyond it when the operator asks and has seen the newest", () => {
    expect(decideLimit({ ...facts, retryOf: 3 })).toEqual({ do: "attempt", retry: true });
    expect(decideLimit({ ...facts, newestHasFailure: true, retryOf: 3 })).toEqual({ do: "attempt", retry: true });
    expect(decideLimit({ ...facts, retryOf: 2 })).toEqual(blocked("attempts"));
  });

  it("is an ordinary one if it is allowed anyway, and of a round without attempts there is none to retry", () => {
    expect(decideLimit({ ...facts, limit: 9, retryOf: 3 })).toEqual(allowed);
    expect(decideLimit({ ...facts, attempts: [], limit: 0, retryOf: 0 })).toEqual(blocked("attempts"));
  });
});

describe("the next attempt's machine", () => {
  const needs = (...jobs: Job[]): boolean => needsOnDemand({ attempts: jobs.map((each, i) => recorded(i + 1, each)) });
  const startedMs = NOW - 40;

  it("may be any at first, and after a failure of the trainer's own", () => {
    expect(needs()).toBe(false);
    expect(needs(job("failed", { startedMs, exitCode: 75 }))).toBe(false);
    expect(needs(job("succeeded"))).toBe(false);
  });

  it("is one that nobody takes back once a machine was lost, or none was to be had", () => {
    expect(needs(job("failed", { startedMs, hostLost: true }))).toBe(true);
    expect(needs(job("failed"))).toBe(true);
    expect(needs(job("failed", { startedMs, hostLost: true }), job("failed", { startedMs, exitCode: 1 }))).toBe(true);
  });

  it("is not decided by a job that still waits", () => expect(needs(job("waiting"))).toBe(false));
});

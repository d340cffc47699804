import { describe, expect, it } from "vitest";
import { pipelineConfig } from "../test/stored-documents.ts";
import { decideStart, isNewest, type Pending } from "./start.ts";

const S = 1_000;
/** quiet period 60 s, longest wait 600 s, at most 100 items or 1,000 bytes, 300 s between two entries */
const policy = {
  ...pipelineConfig().trigger,
  quietPeriod: 60 * S,
  longestWait: 600 * S,
  maxItems: 100,
  maxBytes: 1_000,
  minInterval: 300 * S,
};
const segment = (
  modifiedMs: number,
  part: { count?: number; bytes?: number; key?: string } = {},
): Pending["segments"][number] => ({
  key: `inbox/${modifiedMs}`,
  count: 1,
  bytes: 1,
  ...part,
  modifiedMs,
});
const pending = (nowMs: number, ...segments: Pending["segments"]): Pending => ({ nowMs, segments, pageFull: false });
const decide = (of: Pending, headMs = 0, asked = false): ReturnType<typeof decideStart> =>
  decideStart(of, policy, { asked, headMs });
const T = 1_000_000 * S;

describe("a round starts", () => {
  it("once no item has arrived for the quiet period, and not a millisecond before", () => {
    expect(decide(pending(T + 60 * S, segment(T)))).toEqual({ do: "start", because: "quiet" });
    expect(decide(pending(T + 60 * S - 1, segment(T)))).toEqual({
      do: "wait",
      untilMs: T + 60 * S,
      because: "quiet-period",
    });
  });

  it("counts the quiet period from the newest segment", () => {
    expect(decide(pending(T + 70 * S, segment(T), segment(T + 20 * S)))).toEqual({
      do: "wait",
      because: "quiet-period",
      untilMs: T + 80 * S,
    });
  });

  it("once the oldest has waited for the longest wait, though data keeps coming", () => {
    expect(decide(pending(T + 600 * S, segment(T), segment(T + 590 * S)))).toEqual({
      do: "start",
      because: "longest-wait",
    });
    expect(decide(pending(T + 595 * S, segment(T), segment(T + 590 * S)))).toEqual({
      do: "wait",
      because: "quiet-period",
      untilMs: T + 600 * S,
    });
  });

  it("at once when the items of all segments reach the limit", () => {
    const [a, b] = [segment(T, { count: 60 }), segment(T, { count: 40 })];
    expect(decide(pending(T, a, b))).toEqual({ do: "start", because: "count" });
    expect(decide(pending(T, a, { ...b, count: 39 }))).toMatchObject({ do: "wait" });
  });

  it("at once when their bytes reach the limit", () => {
    const [a, b] = [segment(T, { bytes: 600 }), segment(T, { bytes: 400 })];
    expect(decide(pending(T, a, b))).toEqual({ do: "start", because: "bytes" });
    expect(decide(pending(T, a, { ...b, bytes: 399 }))).toMatchObject({ do: "wait" });
  });

  it("at once when a page of the inbox is full: what is behind it can't be seen", () => {
    expect(decide({ ...pending(T, segment(T)), pageFull: true })).toEqual({ do: "start", because: "page-full" });
  });

  it("when it is asked for, whatever else holds", () => {
    expect(decide(pending(T, segment(T)), T, true)).toEqual({ do: "start", because: "asked" });
  });
});

describe("minInterval", () => {
  it("holds back what is due until the head's entry is old enough", () => {
    const quiet = pending(T + 100 * S, segment(T));
    expect(decide(quiet, T - 200 * S)).toEqual({ do: "start", because: "quiet" });
    expect(decide(quiet, T - 200 * S + 1)).toEqual({ do: "wait", untilMs: T + 100 * S + 1, because: "min-interval" });
    expect(decide({ ...quiet, pageFull: true }, T)).toEqual({
      do: "wait",
      untilMs: T + 300 * S,
      because: "min-interval",
    });
  });

  it("is part of the time to wait for what is not due yet, whichever is later", () => {
    const fresh = pending(T, segment(T));
    expect(decide(fresh, T - 1 * S)).toEqual({ do: "wait", untilMs: T + 299 * S, because: "quiet-period" });
    expect(decide(fresh, T - 299 * S)).toEqual({ do: "wait", untilMs: T + 60 * S, because: "quiet-period" });
  });

  it("does not hold back the first round", () => {
    expect(decide(pending(T + 60 * S, segment(T)), 0)).toEqual({ do: "start", because: "quiet" });
    expect(decide(pending(100 * S, segment(0)), 0)).toEqual({ do: "start", because: "quiet" });
  });
});

describe("the newest segment speaks for the inbox", () => {
  const of = pending(T, segment(1, { key: "old" }), segment(2, { key: "a" }), segment(2, { key: "b" }));
  it("and every one of those that a coarse clock calls the newest", () => {
    expect(["a", "b"].map((key) => isNewest(of, key))).toEqual([true, true]);
  });
  it("and no older one, nor one that is gone", () => {
    expect(["old", "gone"].map((key) => isNewest(of, key))).toEqual([false, false]);
  });
});

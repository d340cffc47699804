import { afterEach, expect, it, vi } from "vitest";
import type { Tick } from "../protocol/ports.ts";
import { setLongTimeout } from "./long-timeout.ts";
import { openTimerTicks } from "./timer-ticks.ts";

afterEach(() => void vi.useRealTimers());

const PLAIN: Tick = { kind: "plain" };
const segment = (name: string): Tick => ({ kind: "segment", segment: name });

/** Runs that last until they are let go, in the order in which they were started. */
function heldRuns() {
  const started: Tick[] = [];
  const held: (() => void)[] = [];
  let most = 0;
  let now = 0;
  const run = async (tick: Tick): Promise<void> => {
    started.push(tick);
    most = Math.max(most, ++now);
    await new Promise<void>((resolve) => held.push(resolve));
    now--;
  };
  const letGo = async (): Promise<void> => {
    held.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { run, started, letGo, most: () => most };
}
const fail = (error: unknown): never => {
  throw error;
};

it("runs one tick at a time, in the order asked for", async () => {
  const runs = heldRuns();
  const ticks = openTimerTicks({ run: runs.run, onError: fail });
  for (const name of ["a", "b", "c"]) await ticks.ask(segment(name), 0);
  expect(runs.started).toEqual([segment("a")]);
  expect(ticks.idle()).toBe(false);
  const idle = ticks.whenIdle();
  for (let i = 0; i < 3; i++) await runs.letGo();
  await idle;
  expect(runs.started).toEqual(["a", "b", "c"].map(segment));
  expect(runs.most()).toBe(1);
  expect(ticks.idle()).toBe(true);
  await ticks.close();
});

it("merges equal ticks that wait, but not with the one that runs: it may not have seen the news", async () => {
  const runs = heldRuns();
  const ticks = openTimerTicks({ run: runs.run, onError: fail });
  for (let i = 0; i < 100; i++) await ticks.ask(PLAIN, 0);
  for (let i = 0; i < 4; i++) await runs.letGo();
  expect(runs.started).toEqual([PLAIN, PLAIN]);
  await ticks.close();
});

it("of due times that waited for a long round runs the newest alone, as a restart would", async () => {
  const ran: Tick[] = [];
  const ticks = openTimerTicks({ run: async (tick) => void ran.push(tick), onError: fail });
  const due = (timeMs: number): Tick => ({ kind: "schedule", timeMs, retrain: "full" });
  for (const timeMs of [3, 1, 2]) await ticks.ask(due(timeMs), timeMs === 3 ? 50 : 10);
  await ticks.ask(PLAIN, 60);
  await vi.waitFor(() => expect(ran).toContainEqual(PLAIN), 10_000);
  expect(ran).toEqual([due(3), PLAIN]);
  await ticks.ask(due(4), 0);
  await ticks.whenIdle();
  expect(ran.at(-1)).toEqual(due(4));
  await ticks.close();
});

it("goes on after a run that failed, and tells its error", async () => {
  const errors: unknown[] = [];
  const ran: Tick[] = [];
  const run = async (tick: Tick): Promise<void> => {
    ran.push(tick);
    if (ran.length === 1) throw new Error("store away");
  };
  const ticks = openTimerTicks({ run, onError: (error, tick) => errors.push(error, tick) });
  await ticks.ask(segment("a"), 0);
  await ticks.ask(PLAIN, 0);
  await ticks.whenIdle();
  expect(ran).toEqual([segment("a"), PLAIN]);
  expect(errors).toEqual([new Error("store away"), segment("a")]);
  await ticks.close();
});

it("lets a run ask for the next tick, and says when the next one is due", async () => {
  let runs = 0;
  const ticks = openTimerTicks({
    onError: fail,
    run: async (tick) => {
      if (++runs < 3) await ticks.ask(tick, 1);
    },
  });
  expect(ticks.nextInMs()).toBeUndefined();
  await ticks.ask(segment("late"), 60_000);
  await ticks.ask(PLAIN, 5_000);
  const next = ticks.nextInMs();
  expect(next).toBeGreaterThan(4_000);
  expect(next).toBeLessThanOrEqual(5_000);
  await ticks.ask(segment("now"), 0);
  await vi.waitFor(() => expect(runs).toBe(3));
  expect(ticks.idle()).toBe(true);
  await ticks.close();
  expect(ticks.nextInMs()).toBeUndefined();
});

it("starts no run after close, which waits for the run in progress", async () => {
  const runs = heldRuns();
  const ticks = openTimerTicks({ run: runs.run, onError: fail });
  await ticks.ask(segment("a"), 0);
  await ticks.ask(segment("b"), 0);
  await ticks.ask(segment("c"), 5);
  let closed = false;
  const closing = ticks.close().then(() => (closed = true));
  await ticks.ask(PLAIN, 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(closed).toBe(false);
  await runs.letGo();
  await closing;
  expect(runs.started).toEqual([segment("a")]);
});

it("keeps few timers for a burst of equal wishes", async () => {
  vi.useFakeTimers();
  const ran: Tick[] = [];
  const ticks = openTimerTicks({ run: async (tick) => void ran.push(tick), onError: fail });
  for (let i = 0; i < 1_000; i++) await ticks.ask(PLAIN, 3_000);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(ran).toEqual([PLAIN]);
  await ticks.close();
});

it("waits longer than setTimeout can", async () => {
  vi.useFakeTimers();
  const day = 86_400_000;
  let fired = 0;
  setLongTimeout(() => fired++, 60 * day);
  const cancelled = setLongTimeout(() => fired++, 60 * day);
  await vi.advanceTimersByTimeAsync(59.9 * day);
  expect(fired).toBe(0);
  cancelled.cancel();
  await vi.advanceTimersByTimeAsync(0.2 * day);
  expect(fired).toBe(1);
});

it("refuses a delay that is no number", async () => {
  const ticks = openTimerTicks({ run: async () => {}, onError: fail });
  await expect(ticks.ask(PLAIN, Number.NaN)).rejects.toThrow(RangeError);
  await expect(ticks.ask(PLAIN, Number.POSITIVE_INFINITY)).rejects.toThrow(RangeError);
  await ticks.close();
});

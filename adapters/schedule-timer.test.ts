import { expect, it } from "vitest";
import { openScheduleTimer } from "./schedule-timer.ts";

const HOUR = 3_600_000;
const EVERY_HOUR = { every: HOUR, retrain: "pending" } as const;

/** A clock and a timer of our own; the timer fires when the test says so. */
function fake(options: { nowMs: number; afterMs: number }) {
  const said: number[] = [];
  const delays: number[] = [];
  const world = { nowMs: options.nowMs, said, delays, fire: (): void => undefined, live: 0 };
  const timer = openScheduleTimer({
    schedule: EVERY_HOUR,
    afterMs: options.afterMs,
    nowMs: () => world.nowMs,
    setTimer(callback, delayMs) {
      delays.push(delayMs);
      world.live++;
      world.fire = callback;
      return { cancel: () => void world.live-- };
    },
    onDue: (timeMs) => said.push(timeMs / HOUR),
  });
  return { world, timer, lookAt: (hours: number) => ((world.nowMs = hours * HOUR), world.fire()) };
}

it("makes up the newest time that was missed, once, and then says each as it comes", () => {
  const { world, timer, lookAt } = fake({ nowMs: 10.5 * HOUR, afterMs: 7 * HOUR });
  expect(world.said).toEqual([10]);
  expect(timer.nextMs()).toBe(11 * HOUR);
  lookAt(11);
  lookAt(12);
  expect(world.said).toEqual([10, 11, 12]);
});

it("makes up nothing if nothing was missed", () => {
  expect(fake({ nowMs: 10.5 * HOUR, afterMs: 10 * HOUR }).world.said).toEqual([]);
  expect(fake({ nowMs: 10.5 * HOUR, afterMs: 10.2 * HOUR }).world.said).toEqual([]);
});

it("waits again if its timer comes early, and looks at least each minute", () => {
  const { world, lookAt } = fake({ nowMs: 10.5 * HOUR, afterMs: 10 * HOUR });
  lookAt(10.9999);
  expect(world.said).toEqual([]);
  expect(world.delays).toEqual([60_000, expect.closeTo(360, 0)]);
  lookAt(11);
  expect(world.said).toEqual([11]);
});

it("after a sleep says the newest time only, and none twice if the clock is set back", () => {
  const { world, timer, lookAt } = fake({ nowMs: 10.5 * HOUR, afterMs: 10 * HOUR });
  lookAt(15.2);
  expect(world.said).toEqual([15]);
  lookAt(14.9);
  expect(timer.nextMs()).toBe(16 * HOUR);
  lookAt(15.5);
  lookAt(16.1);
  expect(world.said).toEqual([15, 16]);
});

it("says nothing once it is closed", () => {
  const { world, timer, lookAt } = fake({ nowMs: 10.5 * HOUR, afterMs: 10 * HOUR });
  timer.close();
  expect(world.live).toBe(0);
  lookAt(11);
  expect(world.said).toEqual([]);
});

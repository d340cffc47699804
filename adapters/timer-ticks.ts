/** Ticks of one process: timers, and one run at a time. */
import { canonicalJson } from "../protocol/digest.ts";
import type { Tick, Ticks } from "../protocol/ports.ts";
import { setLongTimeout, type LongTimeout } from "./long-timeout.ts";

/** Equal ticks due this close together are one: a burst of news asks for a tick each time. */
const TOGETHER_MS = 100;

export interface TimerTicks extends Ticks {
  /** Nothing runs and nothing waits to run; ticks that are asked for later may be due. */
  idle(): boolean;
  /** Settles when idle() is true; at once if it is. */
  whenIdle(): Promise<void>;
  /** Milliseconds until the next tick is due that was asked for later; undefined if there is none. */
  nextInMs(): number | undefined;
  /** No run starts any more, what was asked for is dropped; settles when the run in progress has ended. */
  close(): Promise<void>;
}

interface Due {
  readonly name: string;
  readonly dueMs: number;
  readonly timeout: LongTimeout;
}

export function openTimerTicks(options: {
  /** one at a time */
  run: (tick: Tick) => Promise<void>;
  /** an error of a run: the next one starts all the same */
  onError: (error: unknown, tick: Tick) => void;
}): TimerTicks {
  // a waiting tick by its canonical JSON: an equal one that comes while it waits is the same wish
  const waiting = new Map<string, Tick>();
  const later = new Set<Due>();
  let running = false;
  let closed = false;
  let newestDueMs = 0;
  let idleWaiters: (() => void)[] = [];

  async function drain(): Promise<void> {
    if (running) return;
    running = true;
    for (let next = waiting.entries().next(); !next.done && !closed; next = waiting.entries().next()) {
      const [name, tick] = next.value;
      // taken off before it runs: what comes during the run may be news that the run did not see
      waiting.delete(name);
      // a later due time has come while it waited, and stands for it, as after a restart: one round, not one for each
      if (tick.kind === "schedule" && tick.timeMs < newestDueMs) continue;
      try {
        await options.run(tick);
      } catch (error) {
        options.onError(error, tick);
      }
    }
    running = false;
    const waiters = idleWaiters;
    idleWaiters = [];
    for (const settle of waiters) settle();
  }

  function enqueue(name: string, tick: Tick): void {
    waiting.set(name, tick);
    void drain();
  }

  const idle = (): boolean => !running && waiting.size === 0;
  const whenIdle = (): Promise<void> =>
    idle() ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve));

  return {
    async ask(tick, delayMs) {
      if (!Number.isFinite(delayMs)) throw new RangeError(`a delay of ${delayMs} ms: expected a finite number`);
      if (closed) return;
      if (tick.kind === "schedule") newestDueMs = Math.max(newestDueMs, tick.timeMs);
      const name = canonicalJson(tick);
      if (delayMs <= 0) return enqueue(name, tick);
      const dueMs = performance.now() + delayMs;
      for (const other of later)
        if (other.name === name && other.dueMs >= dueMs && other.dueMs <= dueMs + TOGETHER_MS) return;
      const due: Due = {
        name,
        dueMs,
        timeout: setLongTimeout(() => {
          later.delete(due);
          enqueue(name, tick);
        }, delayMs),
      };
      later.add(due);
    },
    idle,
    whenIdle,
    nextInMs() {
      if (later.size === 0) return undefined;
      return Math.max(0, Math.min(...[...later].map((due) => due.dueMs)) - performance.now());
    },
    async close() {
      closed = true;
      waiting.clear();
      for (const due of later) due.timeout.cancel();
      later.clear();
      await whenIdle();
    },
  };
}

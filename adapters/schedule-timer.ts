/** A schedule as timers: says each time that is due, and of those that were missed the newest one, once. */
import type { RetrainingConfig } from "../protocol/config-parts.ts";
import { newestDue, nextDue } from "./schedule-times.ts";

/**
 * The clock is looked at so often: a machine that was suspended or whose clock was set does not tell its timers, which would come
 * as much too late.
 */
const LOOK_MS = 60_000;

export interface ScheduleTimer {
  /** when it is due next, ms since 1970 */
  nextMs(): number;
  /** nothing is said any more */
  close(): void;
}

export interface ScheduleTimerOptions {
  readonly schedule: RetrainingConfig;
  /** what was due up to then is not to be made up */
  readonly afterMs: number;
  readonly nowMs: () => number;
  /** calls back once, after about so long: early and late do no harm */
  readonly setTimer: (callback: () => void, delayMs: number) => { cancel(): void };
  /** called at once with the newest time that was missed, and from then on with each as it comes */
  readonly onDue: (timeMs: number) => void;
}

/** Holds nothing that has to be kept: a new one goes on from what the log says (`afterMs`). */
export function openScheduleTimer(options: ScheduleTimerOptions): ScheduleTimer {
  const { schedule, nowMs, setTimer, onDue } = options;
  let { afterMs } = options;
  let nextMs = 0;
  let timer: { cancel(): void };
  let closed = false;

  function look(): void {
    if (closed) return;
    const now = nowMs();
    const due = newestDue(schedule, afterMs, now);
    // a clock that was set back says nothing twice
    if (due !== undefined) afterMs = due;
    nextMs = nextDue(schedule, Math.max(now, afterMs));
    timer = setTimer(look, Math.min(nextMs - now, LOOK_MS));
    if (due !== undefined) onDue(due);
  }

  look();
  return {
    nextMs: () => nextMs,
    close() {
      closed = true;
      timer.cancel();
    },
  };
}

/** How much of the data a sweep of the stack on AWS may list: requests are paid for, and events have told of nearly all there is. */

/** Up to 10,000 objects all are listed each time. */
export const SWEEP_PAGES_MAX = 10;

const DAY_MS = 86_400_000;
/** Sweeps are asked for every quarter of an hour, to the minute: so one of each day falls into its first sixteen minutes. */
const DAILY_MS = 16 * 60_000;

/**
 * The pages that a sweep may list; of more data than that it takes nothing in. A function of what it is told, so nobody has to remember
 * the last one.
 * @param sweep.askedMs when it was asked for, by the queue's clock
 * @param sweep.whole who asked wants all, as after a deploy: events take minutes to be switched on
 * @param sweep.seq the head's; 0: nothing was committed yet, so that what lay there before the first deploy is found at once
 */
export function sweepPages({ askedMs, whole, seq }: { askedMs: number; whole: boolean; seq: number }): number {
  return whole || seq === 0 || askedMs % DAY_MS < DAILY_MS ? Infinity : SWEEP_PAGES_MAX;
}

/** How much of the data a sweep of the stack on AWS may list: requests are paid for, and events have told of nearly all there is. */

/** Up to 10,000 objects all are listed. */
export const SWEEP_PAGES_MAX = 10;

const DAY_MS = 86_400_000;
const BETWEEN_MS = 3 * 3_600_000;
/** It is asked for at each quarter of an hour, to the minute: so once in the first one of each day, and of every three hours. */
const QUARTER_MS = 15 * 60_000;

/**
 * The pages that a sweep may list; of more data than that it takes nothing in. A function of what it is told, so nobody has to remember
 * the last one.
 * @param sweep.askedMs when it was asked for, by the queue's clock
 * @param sweep.whole who asked wants all, as after a deploy: what it has changed no event tells of
 * @param sweep.seq the head's; 0: nothing was committed yet, so that what lay there before the first deploy is found at once
 * @returns 0: none, it is not its time
 */
export function sweepPages({ askedMs, whole, seq }: { askedMs: number; whole: boolean; seq: number }): number {
  if (whole || seq === 0 || askedMs % DAY_MS < QUARTER_MS) return Infinity;
  return askedMs % BETWEEN_MS < QUARTER_MS ? SWEEP_PAGES_MAX : 0;
}

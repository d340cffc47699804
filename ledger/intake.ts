/** News of data becomes segments in the inbox. Never reads anything, so it is as fast as a PUT, and any number may run at once. */
import { arrivedItem, dropReason, segmentsOf, type DropReason } from "../protocol/intake.ts";
import type { Arrival } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import type { Ledger } from "./ledger.ts";

export interface IntakeReport {
  readonly accepted: number;
  readonly segments: readonly string[];
  readonly dropped: readonly { readonly item: Item; readonly because: DropReason }[];
}

/** A segment's outcome stayed unknown so often: the delivery fails and comes again. */
const TRIES_MAX = 5;

/**
 * Takes one delivery in and asks for a tick after the quiet period. Once it has answered, no arrival is lost (I2); if it throws, the
 * delivery is to be made again.
 */
export async function intake(
  ledger: Pick<Ledger, "config" | "store" | "ticks" | "clock">,
  arrivals: readonly Arrival[],
): Promise<IntakeReport> {
  const { config, store, ticks, clock } = ledger;
  const accepted: Item[] = [];
  const dropped: IntakeReport["dropped"][number][] = [];
  for (const arrival of arrivals) {
    const item = arrivedItem(arrival);
    const because = dropReason(arrival, config.data);
    if (because === undefined) accepted.push(item);
    else dropped.push({ item, because });
  }
  const segments = segmentsOf(accepted, { nowMs: clock.nowMs(), maxBytes: config.trigger.maxBytes });
  for (const segment of segments) {
    let written = await store.create(segment.key, segment.body);
    // "lost" is success: the digest is in the key, so these very arrivals are there
    for (let tries = 1; written === "unknown" && tries < TRIES_MAX; tries++)
      written = await store.create(segment.key, segment.body);
    if (written === "unknown")
      throw new Error(`${segment.key}: whether it was written is not known after ${TRIES_MAX} tries`);
    await ticks.ask({ kind: "segment", segment: segment.key }, config.trigger.quietPeriod);
  }
  return { accepted: accepted.length, segments: segments.map(({ key }) => key), dropped };
}

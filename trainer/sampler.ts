import { CounterRandom } from "./random.ts";

/**
 * The order of an epoch: a permutation of 0..records-1 that depends on nothing but its arguments (Fisher-Yates, from
 * the end).
 * @param at.epochIndex within the round, from 0
 */
export function epochOrder(at: { seed: number; epochIndex: number; records: number }): Uint32Array {
  const order = Uint32Array.from({ length: at.records }, (_, i) => i);
  const random = new CounterRandom({ seed: at.seed, stream: "order", index: at.epochIndex });
  for (let i = at.records - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const moved = order[i]!;
    order[i] = order[j]!;
    order[j] = moved;
  }
  return order;
}

/** Batches of an epoch; the last one may be smaller. */
export function batchesOf(records: number, batchSize: number): number {
  return Math.ceil(records / batchSize);
}

import { CounterRandom } from "./random.ts";

/** Which epoch's order. */
interface OrderAt {
  readonly seed: number;
  /** within the round, from 0 */
  readonly epochIndex: number;
  readonly records: number;
}

/** The order of an epoch in the making (Fisher-Yates, from the end), so that it can be made bit by bit while there is time. */
export class Shuffle {
  readonly #order: Uint32Array;
  readonly #random: CounterRandom;
  #left: number;

  constructor(at: OrderAt) {
    this.#order = new Uint32Array(at.records);
    for (let i = 0; i < at.records; i++) this.#order[i] = i;
    this.#random = new CounterRandom({ seed: at.seed, stream: "order", index: at.epochIndex });
    this.#left = at.records - 1;
  }

  advance(exchanges: number): void {
    const order = this.#order;
    for (let done = 0; done < exchanges && this.#left > 0; done++, this.#left--) {
      const j = this.#random.below(this.#left + 1);
      const moved = order[this.#left]!;
      order[this.#left] = order[j]!;
      order[j] = moved;
    }
  }

  /** The order, made to its end. */
  whole(): Uint32Array {
    this.advance(Infinity);
    return this.#order;
  }
}

/** The order of an epoch: a permutation of 0..records-1 that depends on nothing but its arguments. */
export function epochOrder(at: OrderAt): Uint32Array {
  return new Shuffle(at).whole();
}

/** Batches of an epoch; the last one may be smaller. */
export function batchesOf(records: number, batchSize: number): number {
  return Math.ceil(records / batchSize);
}

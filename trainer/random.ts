/**
 * Counter-based random numbers: a draw is a function of (seed, stream, index, count), so a position in a run is a few
 * integers and a resumed run draws what an undisturbed one would have.
 */

const M0 = 0xd251_1f53;
const M1 = 0xcd9e_8d57;
const W0 = 0x9e37_79b9;
const W1 = 0xbb67_ae85;

/** The high 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x1_0000) + Math.floor(carry / 0x1_0000)) >>> 0;
}

type Four = readonly [number, number, number, number];

/**
 * Philox-4x32 with ten rounds: four 32-bit numbers of a 128-bit counter under a 64-bit key.
 * @see Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3
 */
export function philox(counter: Four, key: readonly [number, number]): Four {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(M0, c0);
    const low0 = Math.imul(M0, c0) >>> 0;
    const high1 = multiplyHigh(M1, c2);
    const low1 = Math.imul(M1, c2) >>> 0;
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** What the numbers are for: streams of one seed never share a draw. */
const STREAMS = { weights: 1, order: 2, step: 3, augment: 4 } as const;
export type Stream = keyof typeof STREAMS;

export class CounterRandom {
  readonly #key: readonly [number, number];
  readonly #index: number;
  #block: Four = [0, 0, 0, 0];
  #blocksDrawn = 0;
  #left = 0;

  /** @param at.index which epoch or step of the stream, 0..2^53-1 */
  constructor(at: { seed: number; stream: Stream; index: number }) {
    this.#key = [at.seed >>> 0, STREAMS[at.stream]];
    this.#index = at.index;
  }

  /** 0..2^32-1 */
  uint32(): number {
    if (this.#left === 0) {
      const n = this.#blocksDrawn++;
      this.#block = philox(
        [n >>> 0, Math.floor(n / 2 ** 32), this.#index >>> 0, Math.floor(this.#index / 2 ** 32)],
        this.#key,
      );
      this.#left = 4;
    }
    return this.#block[4 - this.#left--]!;
  }

  /** In [0, 1) with 53 bits, as Math.random gives. */
  float(): number {
    return ((this.uint32() >>> 5) * 0x400_0000 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** 0..n-1, each as likely: the few draws that would favour small numbers are drawn again. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n);
    let drawn = this.uint32();
    while (drawn >= limit) drawn = this.uint32();
    return drawn % n;
  }
}

/**
 * Runs `work` with Math.random drawing from `random`. TensorFlow.js takes the seeds of whatever has none of its own
 * (initializers, dropout, noise, recurrent dropout) from Math.random, and offers no other way to hand one in.
 * Synchronous work only: nothing else may draw in between.
 */
export function withSeededRandom<T>(random: CounterRandom, work: () => T): T {
  const original = Math.random;
  Math.random = () => random.float();
  try {
    return work();
  } finally {
    Math.random = original;
  }
}

/** Texts as small numbers, straight from a file's bytes: a column has few of them, and a JavaScript text for each cell is what takes the time. */

/** There was no more room for it. */
export const OVERFLOW = -2;

export class TextInterner {
  readonly texts: string[] = [];
  readonly #max: number;
  #slots = new Int32Array(16).fill(-1);
  #hashes: number[] = [];
  #starts: number[] = [0];
  #pool = Buffer.alloc(64);

  /** @param seed texts that get the numbers from 0 on @param max of texts, the seed's among them */
  constructor(seed: readonly string[], max: number) {
    this.#max = Math.max(max, seed.length);
    for (const text of seed) this.ofText(text);
  }

  ofText(text: string): number {
    const bytes = Buffer.from(text);
    return this.ofBytes(bytes, 0, bytes.length);
  }

  /** @returns its number, from 0 in the order in which they came first; OVERFLOW */
  ofBytes(bytes: Uint8Array, from: number, to: number): number {
    let hash = 0x811c9dc5;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    const mask = this.#slots.length - 1;
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]!;
      if (index === -1) return this.#add(bytes, from, to, hash, slot);
      if (this.#hashes[index] === hash && this.#isAt(index, bytes, from, to)) return index;
    }
  }

  #isAt(index: number, bytes: Uint8Array, from: number, to: number): boolean {
    const start = this.#starts[index]!;
    if (this.#starts[index + 1]! - start !== to - from) return false;
    for (let i = from; i < to; i++) if (this.#pool[start + i - from] !== bytes[i]) return false;
    return true;
  }

  #add(bytes: Uint8Array, from: number, to: number, hash: number, slot: number): number {
    const index = this.texts.length;
    if (index >= this.#max) return OVERFLOW;
    const start = this.#starts[index]!;
    if (start + to - from > this.#pool.length)
      this.#pool = Buffer.concat([this.#pool.subarray(0, start)], 2 * (start + to - from));
    this.#pool.set(bytes.subarray(from, to), start);
    this.#starts.push(start + to - from);
    this.#hashes.push(hash);
    this.texts.push(this.#pool.toString("utf8", start, start + to - from));
    this.#slots[slot] = index;
    if (2 * this.texts.length > this.#slots.length) this.#grow();
    return index;
  }

  #grow(): void {
    const slots = new Int32Array(4 * this.#slots.length).fill(-1);
    const mask = slots.length - 1;
    this.#hashes.forEach((hash, index) => {
      let slot = (hash ^ (hash >>> 15)) & mask;
      while (slots[slot] !== -1) slot = (slot + 1) & mask;
      slots[slot] = index;
    });
    this.#slots = slots;
  }
}

/** Memory that two threads share: a few slots, each with room for a batch, filled by one and emptied by the other in turn. */
import { firstOf, type BatchArrays } from "./gather.ts";
import type { RowLayout } from "./row-layout.ts";

export interface RingShape {
  readonly slots: number;
  /** of the largest batch */
  readonly batchSize: number;
  /** inputs of one record */
  readonly width: number;
  /** numbers of one label */
  readonly labelWidth: number;
  /** of the packed rows */
  readonly layout: Pick<RowLayout, "kind" | "labels">;
}

const EMPTY = 0;
const FULL = 1;

type Sizes = Omit<RingShape, "layout">;

const slotBytes = ({ batchSize, width, labelWidth }: Omit<Sizes, "slots">): number =>
  4 * batchSize * (width + labelWidth + 1);

export function ringBytes(shape: Sizes): number {
  return shape.slots * (4 + slotBytes(shape));
}

/** Each side has one of its own over the same memory, and goes through the slots from the first on. */
export class BatchRing {
  readonly #states: Int32Array;
  readonly #slots: readonly BatchArrays[];
  readonly #shape: RingShape;
  #next = 0;
  #taken: number | undefined;

  /** @param memory of ringBytes, zeros at first */
  constructor(memory: SharedArrayBuffer, shape: RingShape) {
    const { slots, batchSize, width, labelWidth, layout } = shape;
    this.#shape = shape;
    this.#states = new Int32Array(memory, 0, slots);
    this.#slots = Array.from({ length: slots }, (_, i) => {
      const at = 4 * slots + i * slotBytes(shape);
      const [inputs, labels] = [batchSize * width, batchSize * labelWidth];
      const yAt = at + 4 * inputs;
      return {
        x: layout.kind === "token" ? new Int32Array(memory, at, inputs) : new Float32Array(memory, at, inputs),
        y: layout.labels === "class" ? new Int32Array(memory, yAt, labels) : new Float32Array(memory, yAt, labels),
        weights: new Float32Array(memory, yAt + 4 * labels, batchSize),
      };
    });
  }

  /** Fills the next slot, once it is empty. Blocks the thread. */
  put(fill: (arrays: BatchArrays) => void): void {
    const slot = this.#turn();
    // they are emptied in turn: a thread that woke for each would cost the other one a system call for each
    if (Atomics.load(this.#states, slot) === FULL) Atomics.wait(this.#states, this.#halfWayFrom(slot), FULL);
    fill(this.#slots[slot]!);
    this.#set(slot, FULL);
  }

  /** @returns undefined: the next slot is full; else settles once it may be */
  filled(): Promise<unknown> | undefined {
    if (Atomics.load(this.#states, this.#next) === FULL) return undefined;
    const waiting = Atomics.waitAsync(this.#states, this.#next, EMPTY);
    return waiting.async ? waiting.value : undefined;
  }

  /** The next slot, which is full. It stays so until `release`. */
  take(size: number): BatchArrays {
    const slot = this.#turn();
    this.#taken = slot;
    return firstOf(this.#slots[slot]!, size, this.#shape);
  }

  /** Whoever took the last slot is done with it: another batch comes into it. */
  release(): void {
    if (this.#taken !== undefined) this.#set(this.#taken, EMPTY);
    this.#taken = undefined;
  }

  #halfWayFrom(slot: number): number {
    const { slots } = this.#shape;
    return (slot + Math.max(1, slots >> 1) - 1) % slots;
  }

  #turn(): number {
    const slot = this.#next;
    this.#next = (slot + 1) % this.#slots.length;
    return slot;
  }

  #set(slot: number, state: number): void {
    Atomics.store(this.#states, slot, state);
    Atomics.notify(this.#states, slot);
  }
}

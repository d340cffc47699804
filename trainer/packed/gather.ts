/** Puts a batch together: rows by the epoch's order, as floats, normalised or changed by chance. In whichever thread asks for it. */
import type { Batch } from "../step.ts";
import { normaliseInto, type Normalisation } from "../scale.ts";
import { changeInto, drawChange, type Augmentation } from "./augment.ts";
import type { PackedRecords } from "./records.ts";
import { inputArray, labelArray } from "./row-layout.ts";
import { Rows } from "./rows.ts";

/** All that a batch depends on, but for its place. Fits into a message to a worker. */
export interface Gathering {
  readonly records: PackedRecords;
  readonly normalisation: Normalisation | null;
  readonly augmentation: Augmentation | null;
  readonly seed: number;
  readonly batchSize: number;
}

/** A batch's place in the round. */
export interface BatchAt {
  readonly epochIndex: number;
  readonly batchIndex: number;
}

/** Where a batch's values go. */
export interface BatchArrays {
  readonly x: Float32Array | Int32Array;
  readonly y: Int32Array | Float32Array;
  /** one for each record, whatever a label is */
  readonly weights: Float32Array;
}

/** For batches of this size, and smaller ones. */
export function batchArrays({ file, width, labelWidth }: PackedRecords, size: number): BatchArrays {
  const { kind, labels } = file.layout;
  return {
    x: inputArray(kind, size * width),
    y: labelArray(labels, size * labelWidth),
    weights: new Float32Array(size),
  };
}

/** What is of the first records: views. */
export function firstOf(
  arrays: BatchArrays,
  size: number,
  { width, labelWidth }: Pick<PackedRecords, "width" | "labelWidth">,
): BatchArrays {
  const { x, y, weights } = arrays;
  if (size === weights.length) return arrays;
  return { x: x.subarray(0, size * width), y: y.subarray(0, size * labelWidth), weights: weights.subarray(0, size) };
}

/** Of arrays of the batch's size: it has the same memory. */
export function batchOf({ x, y, weights }: BatchArrays, { file, labelWidth }: PackedRecords): Batch {
  const batch = { size: weights.length, x, y };
  if (!file.weighted) return batch;
  return { ...batch, weights: labelWidth === 1 ? weights : spread(weights, labelWidth) };
}

/** A record's weight for each number of its label. */
function spread(weights: Float32Array, labelWidth: number): Float32Array {
  const each = new Float32Array(weights.length * labelWidth);
  for (let i = 0; i < weights.length; i++) each.fill(weights[i]!, i * labelWidth, (i + 1) * labelWidth);
  return each;
}

export class Gatherer implements Disposable {
  readonly #gathering: Gathering;
  readonly #rows: Rows;
  readonly #image: Float32Array;

  /** @param memory what loadRows gave; null: rows are read from the file */
  constructor(gathering: Gathering, memory: SharedArrayBuffer | null) {
    this.#gathering = gathering;
    this.#rows = new Rows(gathering.records.file, memory);
    this.#image = new Float32Array(gathering.augmentation === null ? 0 : gathering.records.width);
  }

  /** The last one of an epoch may be smaller. */
  sizeOf({ batchIndex }: BatchAt): number {
    const { records, batchSize } = this.#gathering;
    return Math.min(batchSize, records.train.length - batchIndex * batchSize);
  }

  /** @param order of the epoch @param into of at least the batch's size */
  gather(order: Uint32Array, at: BatchAt, into: BatchArrays): void {
    const { records, batchSize } = this.#gathering;
    const { train, labelWidth } = records;
    const begin = at.batchIndex * batchSize;
    const size = this.sizeOf(at);
    for (let i = 0; i < size; i++) {
      this.#rows.seek(train[order[begin + i]!]!);
      this.#inputsInto(into.x, i, at.epochIndex * train.length + begin + i);
      this.#rows.labelInto(into.y, i * labelWidth, records);
      into.weights[i] = this.#rows.weight;
    }
  }

  /** The same as a batch. @param into whose memory it has; @default its own */
  batch(order: Uint32Array, at: BatchAt, into?: BatchArrays): Batch {
    const { records } = this.#gathering;
    const size = this.sizeOf(at);
    const arrays = firstOf(into ?? batchArrays(records, size), size, records);
    this.gather(order, at, arrays);
    return batchOf(arrays, records);
  }

  #inputsInto(x: Float32Array | Int32Array, i: number, index: number): void {
    const { records, normalisation, augmentation, seed } = this.#gathering;
    const { width } = records;
    if (x instanceof Int32Array) {
      this.#rows.featuresInto(x, i * width);
      return;
    }
    if (augmentation !== null) {
      this.#rows.floatsInto(this.#image, 0);
      changeInto(augmentation, drawChange(augmentation, { seed, index }), this.#image, x, i * width);
      return;
    }
    this.#rows.floatsInto(x, i * width);
    if (normalisation !== null) normaliseInto(normalisation, x, width, i, x, i);
  }

  [Symbol.dispose](): void {
    this.#rows[Symbol.dispose]();
  }
}

/** Packed records, read row by row: from the file, or from memory that holds all of it. */
import { closeSync, openSync, readSync } from "node:fs";
import { featuresOf, floatsInto, rowViews, type Features, type RowLayout, type RowViews } from "./row-layout.ts";

/** Fits into a message to a worker. */
export interface PackedFile {
  readonly path: string;
  readonly layout: RowLayout;
  /** of rows */
  readonly count: number;
  /** some records came with a weight; those without count 1 */
  readonly weighted: boolean;
}

export const packedBytes = ({ layout, count }: PackedFile): number => layout.stride * count;

/** Below what one read may ask for. */
const READ_BYTES_MAX = 67_108_864;

/** The whole file, for threads to share. */
export function loadRows(file: PackedFile): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(packedBytes(file));
  const bytes = new Uint8Array(buffer);
  const fd = openSync(file.path, "r");
  try {
    for (let at = 0; at < bytes.length;) at += readAt(fd, bytes, at, Math.min(READ_BYTES_MAX, bytes.length - at), at);
  } finally {
    closeSync(fd);
  }
  return buffer;
}

function readAt(fd: number, into: Uint8Array, offset: number, length: number, position: number): number {
  const read = readSync(fd, into, offset, length, position);
  if (read === 0)
    throw new Error("the packed records have become shorter: somebody else writes into the scratch folder");
  return read;
}

/** Stands on one row at a time. */
export class Rows implements Disposable {
  readonly file: PackedFile;
  /** undefined: all is in memory */
  readonly #fd: number | undefined;
  readonly #views: RowViews;
  readonly #features: Features;
  /** in bytes, of the row that it stands on */
  #at = 0;

  /** @param memory what loadRows gave; null: each row is read from the file */
  constructor(file: PackedFile, memory: SharedArrayBuffer | null = null) {
    this.file = file;
    this.#fd = memory === null ? openSync(file.path, "r") : undefined;
    this.#views = rowViews(memory ?? new ArrayBuffer(file.layout.stride));
    this.#features = featuresOf(this.#views, file.layout.kind);
  }

  /** @param row 0..count-1 */
  seek(row: number): void {
    const { stride } = this.file.layout;
    if (this.#fd === undefined) {
      this.#at = row * stride;
      return;
    }
    const begin = row * stride;
    for (let at = 0; at < stride;) at += readAt(this.#fd, this.#views.bytes, at, stride - at, begin + at);
  }

  /** The inputs as floats, before they are normalised. */
  floatsInto(target: Float32Array, targetFrom: number): void {
    floatsInto(this.#features, this.#at / this.#features.BYTES_PER_ELEMENT, this.file.layout.width, target, targetFrom);
  }

  /** As they are packed. @param target of the packed type */
  featuresInto(target: Features, targetFrom: number): void {
    const from = this.#at / this.#features.BYTES_PER_ELEMENT;
    target.set(this.#features.subarray(from, from + this.file.layout.width), targetFrom);
  }

  /**
   * The label as a batch has it: the class, the value, or for each class 0 or 1.
   * @param target as labelArray makes it @param as.classOf the schema's class of each packed one; null: labels are values
   */
  labelInto(
    target: Float32Array | Int32Array,
    targetFrom: number,
    { classOf, labelWidth }: { readonly classOf: Int32Array | null; readonly labelWidth: number },
  ): void {
    const { ints, floats } = this.#views;
    const at = (this.#at + this.file.layout.labelAt) / 4;
    if (classOf === null) target[targetFrom] = floats[at]!;
    else if (this.file.layout.labels === "class") target[targetFrom] = classOf[ints[at]!]!;
    else {
      target.fill(0, targetFrom, targetFrom + labelWidth);
      for (let word = 0; word < this.file.layout.labelWords; word++)
        for (let bits = ints[at + word]!; bits !== 0; bits &= bits - 1)
          target[targetFrom + classOf[32 * word + 31 - Math.clz32(bits & -bits)]!] = 1;
    }
  }

  get weight(): number {
    return this.#views.floats[(this.#at + this.file.layout.weightAt) / 4]!;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

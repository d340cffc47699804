/**
 * How a record lies in the packed file: a row of fixed width, so that any record is one read away. Its features come first, in their own
 * type and filled up to 4 bytes; then its label, 4 bytes or for several classes as many as have a bit for each; then its weight, 4 bytes.
 * Numbers lie as in this machine's memory: the file is the run's own.
 */
import type { LabelKind, RecordsOfItem } from "../item-records.ts";

/** number: 32-bit floats; byte: parts of 255; token: 32-bit integers. */
export type FeatureKind = "number" | "byte" | "token";
export type Features = RecordsOfItem["features"];

export interface RowLayout {
  readonly kind: FeatureKind;
  /** inputs of one record */
  readonly width: number;
  readonly labels: LabelKind;
  /** 32-bit words of a label: classes: with a bit for each class that is known; else 1 */
  readonly labelWords: number;
  /** where the label begins, in bytes */
  readonly labelAt: number;
  /** where the weight is, in bytes */
  readonly weightAt: number;
  /** bytes of a row, a multiple of 4 */
  readonly stride: number;
}

export function kindOf(features: Features): FeatureKind {
  if (features instanceof Float32Array) return "number";
  return features instanceof Uint8Array ? "byte" : "token";
}

export function rowLayout(kind: FeatureKind, width: number, labels: LabelKind, labelWords = 1): RowLayout {
  const labelAt = kind === "byte" ? 4 * Math.ceil(width / 4) : 4 * width;
  const weightAt = labelAt + 4 * labelWords;
  return { kind, width, labels, labelWords, labelAt, weightAt, stride: weightAt + 4 };
}

/** For a batch's inputs: token ids stay integers. */
export function inputArray(kind: FeatureKind, length: number): Float32Array | Int32Array {
  return kind === "token" ? new Int32Array(length) : new Float32Array(length);
}

/** For labels as in Batch.y. */
export function labelArray(labels: LabelKind, length: number): Float32Array | Int32Array {
  return labels === "class" ? new Int32Array(length) : new Float32Array(length);
}

/** What a byte stands for. */
const OF_BYTE = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Fewer are copied sooner one by one than a view of them is made. */
const SET_FROM = 64;

/** Copies values as 32-bit floats: bytes as parts of 255, anything else as it is. */
export function floatsInto(
  source: Features,
  from: number,
  length: number,
  target: Float32Array,
  targetFrom: number,
): void {
  if (source instanceof Uint8Array)
    for (let i = 0; i < length; i++) target[targetFrom + i] = OF_BYTE[source[from + i]!]!;
  else if (length < SET_FROM) for (let i = 0; i < length; i++) target[targetFrom + i] = source[from + i]!;
  else target.set(source.subarray(from, from + length), targetFrom);
}

/** One stretch of memory, seen as each type that a row has. */
export interface RowViews {
  readonly bytes: Uint8Array;
  readonly floats: Float32Array;
  readonly ints: Int32Array;
}

export function rowViews(buffer: ArrayBuffer | SharedArrayBuffer): RowViews {
  return { bytes: new Uint8Array(buffer), floats: new Float32Array(buffer), ints: new Int32Array(buffer) };
}

export function featuresOf({ bytes, floats, ints }: RowViews, kind: FeatureKind): Features {
  return kind === "number" ? floats : kind === "byte" ? bytes : ints;
}

/** The records that were never trained on, of all rounds: state in the checkpoint, raw, so that later models can be measured on them. */
import type { Task } from "../protocol/data-config.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Records } from "./records.ts";
import type { NamedTensor } from "./safetensors.ts";

export interface Holdout {
  readonly count: number;
  readonly width: number;
  /** int32: token ids */
  readonly features: Float32Array | Int32Array;
  /** as in Records */
  readonly labels: Int32Array | Float32Array;
  /** the round that each came with */
  readonly rounds: Int32Array;
}

export function emptyHoldout(width: number, task: Task): Holdout {
  const labels = task === "classification" ? new Int32Array(0) : new Float32Array(0);
  return { count: 0, width, features: new Float32Array(0), labels, rounds: new Int32Array(0) };
}

function labelsPerRecord({ count, labels }: { count: number; labels: Int32Array | Float32Array }): number {
  return count === 0 ? 1 : labels.length / count;
}

/** The holdout with a round's own records behind the earlier ones. */
export function extendHoldout(before: Holdout, records: Records, round: number): Holdout {
  const added = indexesOf(records, 1);
  const count = before.count + added.length;
  const { width } = before;
  const features =
    records.features instanceof Int32Array ? new Int32Array(count * width) : new Float32Array(count * width);
  features.set(before.features);
  const perRecord = labelsPerRecord(records.count > 0 ? records : before);
  const size = count * perRecord;
  const labels = before.labels instanceof Float32Array ? new Float32Array(size) : new Int32Array(size);
  labels.set(before.labels);
  const rounds = new Int32Array(count).fill(round);
  rounds.set(before.rounds);
  added.forEach((row, i) => {
    const at = before.count + i;
    features.set(records.features.subarray(row * width, (row + 1) * width), at * width);
    labels.set(records.labels.subarray(row * perRecord, (row + 1) * perRecord), at * perRecord);
  });
  return { count, width, features, labels, rounds };
}

/** Rows that are (1) or are not (0) in the holdout. */
export function indexesOf(records: Records, holdout: 0 | 1): Uint32Array {
  const rows: number[] = [];
  for (let row = 0; row < records.count; row++) if (records.holdout[row] === holdout) rows.push(row);
  return Uint32Array.from(rows);
}

export function holdoutTensors(holdout: Holdout): NamedTensor[] {
  const { count, width, features, labels, rounds } = holdout;
  return [
    { name: "features", dtype: dtypeOf(features), shape: [count, width], data: features },
    { name: "labels", dtype: dtypeOf(labels), shape: labelsShape(count, labels), data: labels },
    { name: "rounds", dtype: "I32", shape: [count], data: rounds },
  ];
}

const dtypeOf = (values: Float32Array | Int32Array): "F32" | "I32" => (values instanceof Float32Array ? "F32" : "I32");
const labelsShape = (count: number, { length }: { length: number }): number[] =>
  length === count || count === 0 ? [length] : [count, length / count];

/** @throws {AccreteError} STORED_NOT_READABLE */
export function holdoutOf(tensors: ReadonlyMap<string, NamedTensor>, what: string): Holdout {
  const [features, labels, rounds] = [tensors.get("features"), tensors.get("labels"), tensors.get("rounds")];
  const isLabels = labels?.data instanceof Float32Array || labels?.data instanceof Int32Array;
  const [count, width] = features?.shape ?? [];
  const fits =
    count !== undefined &&
    width !== undefined &&
    features?.shape.length === 2 &&
    (labels?.shape[0] ?? 0) === count &&
    rounds?.data.length === count;
  const isFeatures = features?.data instanceof Float32Array || features?.data instanceof Int32Array;
  if (!isFeatures || !isLabels || !(rounds?.data instanceof Int32Array) || !fits)
    throw new AccreteError("STORED_NOT_READABLE", `${what}: not a holdout`);
  return {
    count,
    width,
    features: features.data as Float32Array | Int32Array,
    labels: labels.data as Int32Array | Float32Array,
    rounds: rounds.data,
  };
}

/** The records that were never trained on, of all rounds: state in the checkpoint, raw, so that later models can be measured on them. */
import type { Task } from "../protocol/data-config.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Records } from "./records.ts";
import { parseSafetensors, type NamedTensor } from "./safetensors.ts";

export interface Holdout {
  readonly count: number;
  readonly width: number;
  readonly features: Float32Array;
  /** as in Records */
  readonly labels: Int32Array | Float32Array;
  /** the round that each came with */
  readonly rounds: Int32Array;
}

export function emptyHoldout(width: number, task: Task): Holdout {
  const labels = task === "classification" ? new Int32Array(0) : new Float32Array(0);
  return { count: 0, width, features: new Float32Array(0), labels, rounds: new Int32Array(0) };
}

/** The holdout with a round's own records behind the earlier ones. */
export function extendHoldout(before: Holdout, records: Records, round: number): Holdout {
  const added = indexesOf(records, 1);
  const count = before.count + added.length;
  const features = new Float32Array(count * before.width);
  features.set(before.features);
  const width = added.length === 0 ? labelWidth(before) : records.labels.length / records.count;
  const labels = new (before.labels instanceof Float32Array ? Float32Array : Int32Array)(count * width);
  labels.set(before.labels);
  const rounds = new Int32Array(count).fill(round);
  rounds.set(before.rounds);
  added.forEach((row, i) => {
    const at = before.count + i;
    features.set(records.features.subarray(row * before.width, (row + 1) * before.width), at * before.width);
    labels.set(records.labels.subarray(row * width, (row + 1) * width), at * width);
  });
  return { count, width: before.width, features, labels, rounds };
}

/** Rows that are (1) or are not (0) in the holdout. */
export function indexesOf(records: Records, holdout: 0 | 1): Uint32Array {
  const rows: number[] = [];
  for (let row = 0; row < records.count; row++) if (records.holdout[row] === holdout) rows.push(row);
  return Uint32Array.from(rows);
}

/** How many numbers a record's label is. */
function labelWidth({ count, labels }: Holdout): number {
  return count === 0 ? 1 : labels.length / count;
}

export function holdoutTensors(holdout: Holdout): NamedTensor[] {
  const { count, width, features, labels, rounds } = holdout;
  const shape = labelWidth(holdout) === 1 ? [count] : [count, labelWidth(holdout)];
  return [
    { name: "features", dtype: "F32", shape: [count, width], data: features },
    { name: "labels", dtype: labels instanceof Float32Array ? "F32" : "I32", shape, data: labels },
    { name: "rounds", dtype: "I32", shape: [count], data: rounds },
  ];
}

/** @throws {AccreteError} STORED_NOT_READABLE */
export function parseHoldout(bytes: Uint8Array, what: string): Holdout {
  const tensors = parseSafetensors(bytes, what);
  const [features, labels, rounds] = [tensors.get("features"), tensors.get("labels"), tensors.get("rounds")];
  const isLabels = labels?.data instanceof Float32Array || labels?.data instanceof Int32Array;
  const [count, width] = features?.shape ?? [];
  const fits =
    count !== undefined &&
    width !== undefined &&
    features?.shape.length === 2 &&
    labels?.shape[0] === count &&
    rounds?.data.length === count;
  if (!(features?.data instanceof Float32Array) || !isLabels || !(rounds?.data instanceof Int32Array) || !fits)
    throw new AccreteError("STORED_NOT_READABLE", `${what}: not a holdout`);
  return {
    count,
    width,
    features: features.data,
    labels: labels.data as Int32Array | Float32Array,
    rounds: rounds.data,
  };
}

/** The records that were never trained on, of all rounds: state in the checkpoint, raw, so that later models can be measured on them. */
import type { Task } from "../protocol/data-config.ts";
import { AccreteError } from "../protocol/errors.ts";
import { contentOf, namesText } from "./holdout.ts";
import { floatsInto, kindOf, labelArray, type FeatureKind, type Features } from "./packed/row-layout.ts";
import type { PackedRecords } from "./packed/records.ts";
import { Rows } from "./packed/rows.ts";
import { dtypeOf, type NamedTensor } from "./safetensors.ts";
import type { Schema } from "./schema.ts";

export interface Holdout {
  readonly count: number;
  readonly width: number;
  /** count * width, as the records were packed; floats where rounds differ in that */
  readonly features: Features;
  /** as in Batch.y */
  readonly labels: Int32Array | Float32Array;
  /** the round that each came with */
  readonly rounds: Int32Array;
}

export function emptyHoldout(width: number, task: Task): Holdout {
  const labels = task === "classification" ? new Int32Array(0) : new Float32Array(0);
  return { count: 0, width, features: new Float32Array(0), labels, rounds: new Int32Array(0) };
}

const ARRAYS = { number: Float32Array, byte: Uint8Array, token: Int32Array } as const;

/** The holdout with a round's own records behind the earlier ones. */
export function extendHoldout(before: Holdout, records: PackedRecords, round: number): Holdout {
  const { width } = before;
  const added = records.holdout;
  const count = before.count + added.length;
  const array = ARRAYS[kindOfBoth(before, records)];
  const features = new array(count * width);
  if (features instanceof Float32Array) floatsInto(before.features, 0, before.features.length, features, 0);
  else features.set(before.features);
  const { labelWidth } = records;
  const labels = labelArray(records.file.layout.labels, count * labelWidth);
  labels.set(before.labels);
  const rounds = new Int32Array(count).fill(round);
  rounds.set(before.rounds);
  if (added.length === 0) return { count, width, features, labels, rounds };
  using rows = new Rows(records.file);
  for (const [i, row] of added.entries()) {
    const at = before.count + i;
    rows.seek(row);
    if (features instanceof Float32Array) rows.floatsInto(features, at * width);
    else rows.featuresInto(features, at * width);
    rows.labelInto(labels, at * labelWidth, records);
  }
  return { count, width, features, labels, rounds };
}

function kindOfBoth(before: Holdout, { file, holdout }: PackedRecords): FeatureKind {
  if (before.count === 0) return file.layout.kind;
  const kind = kindOf(before.features);
  return holdout.length === 0 || kind === file.layout.kind ? kind : "number";
}

type Labelled = Pick<Schema, "task" | "classes">;

/** By which records of rounds before this one are known again. @param schema of the checkpoint that has the holdout */
export function knownContents(holdout: Holdout | null, round: number, schema: Labelled | null): ReadonlySet<number> {
  const ids = new Set<number>();
  if (holdout === null || schema === null) return ids;
  const { width, features } = holdout;
  const floats = new Float32Array(width);
  for (let i = 0; i < holdout.count; i++) {
    if (holdout.rounds[i] === round) continue; // so that a resume chooses as the beginning did
    const tokens = features instanceof Int32Array ? features.subarray(i * width, (i + 1) * width) : null;
    if (tokens === null) floatsInto(features, i * width, width, floats, 0);
    ids.add(contentOf(tokens ?? floats, labelText(holdout, i, schema)).id);
  }
  return ids;
}

function labelText({ labels, count }: Holdout, i: number, { task, classes }: Labelled): string | number {
  if (task === "regression") return labels[i]!;
  if (task === "classification") return classes[labels[i]!]!;
  const width = labels.length / count;
  return namesText(classes.filter((_, c) => labels[i * width + c] === 1));
}

export function holdoutTensors({ count, width, features, labels, rounds }: Holdout): NamedTensor[] {
  return [
    { name: "features", dtype: dtypeOf(features), shape: [count, width], data: features },
    { name: "labels", dtype: dtypeOf(labels), shape: labelsShape(count, labels), data: labels },
    { name: "rounds", dtype: "I32", shape: [count], data: rounds },
  ];
}

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
  const data = features?.data;
  const isFeatures = data instanceof Float32Array || data instanceof Uint8Array || data instanceof Int32Array;
  if (!isFeatures || !isLabels || !(rounds?.data instanceof Int32Array) || !fits)
    throw new AccreteError("STORED_NOT_READABLE", `${what}: not a holdout`);
  return {
    count,
    width,
    features: data,
    labels: labels.data as Int32Array | Float32Array,
    rounds: rounds.data,
  };
}

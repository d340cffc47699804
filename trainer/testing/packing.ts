/** Packed records for the tests: made of arrays, and made into arrays again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { LabelKind, RecordsOfItem } from "../item-records.ts";
import { packedRecords, type PackedRecords } from "../packed/records.ts";
import { inputArray, labelArray } from "../packed/row-layout.ts";
import { Rows } from "../packed/rows.ts";
import { PackedWriter } from "../packed/writer.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-packed-"));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

export const packedPath = (): string => join(folder, String(files++));

/** @param options.classes in the schema's order @param options.holdout rows that are never trained on */
export function packed(
  records: RecordsOfItem | readonly RecordsOfItem[],
  options: { classes?: readonly string[]; holdout?: readonly number[] } = {},
): PackedRecords {
  const items = [records].flat();
  const writer = new PackedWriter(packedPath(), kindOfLabels(items[0]!));
  for (const item of items) writer.add(item);
  const count = items.reduce((sum, item) => sum + item.count, 0);
  const holdout = Uint8Array.from({ length: count }, (_, row) => (options.holdout?.includes(row) === true ? 1 : 0));
  return packedRecords(writer, { width: 0, classes: options.classes, holdout });
}

function kindOfLabels({ labels, offsets }: RecordsOfItem): LabelKind {
  if (offsets !== undefined) return "classes";
  return labels instanceof Int32Array ? "class" : "value";
}

export interface Unpacked {
  readonly count: number;
  readonly width: number;
  readonly features: Float32Array | Int32Array;
  readonly labels: Int32Array | Float32Array;
  readonly weights: Float32Array;
  /** 1: never trained on */
  readonly holdout: Uint8Array;
}

export function unpacked(records: PackedRecords): Unpacked {
  const { file, count, width, labelWidth, holdout } = records;
  using rows = new Rows(file);
  const features = inputArray(file.layout.kind, count * width);
  const labels = labelArray(file.layout.labels, count * labelWidth);
  const weights = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    rows.seek(row);
    if (features instanceof Int32Array) rows.featuresInto(features, row * width);
    else rows.floatsInto(features, row * width);
    rows.labelInto(labels, row * labelWidth, records);
    weights[row] = rows.weight;
  }
  const flags = new Uint8Array(count);
  for (const row of holdout) flags[row] = 1;
  return { count, width, features, labels, weights, holdout: flags };
}

/** A round's records on disk: what is in memory is which of them are trained on. */
import { labelArray } from "./row-layout.ts";
import { Rows, type PackedFile } from "./rows.ts";
import type { PackedWriter } from "./writer.ts";

export interface PackedRecords {
  readonly file: PackedFile;
  readonly count: number;
  /** inputs of one record */
  readonly width: number;
  /** the schema's class of each packed one; null: labels are values */
  readonly classOf: Int32Array | null;
  /** numbers that a label is in a batch: as many as there are classes where a record may have several, else 1 */
  readonly labelWidth: number;
  /** rows to train on, in order; shared with the worker that reads ahead */
  readonly train: Uint32Array;
  /** rows that are never trained on, in order */
  readonly holdout: Uint32Array;
}

/** @param options.classes of the schema; undefined: labels are values @param options.holdout for each record 1: never trained on */
export function packedRecords(
  writer: PackedWriter,
  options: { width: number; classes: readonly string[] | undefined; holdout: Uint8Array },
): PackedRecords {
  const { classes, holdout } = options;
  const file = writer.finish(options.width);
  const indices = new Map(classes?.map((name, i) => [name, i]));
  let held = 0;
  for (let row = 0; row < holdout.length; row++) held += holdout[row]!;
  const shared = new SharedArrayBuffer(4 * (file.count - held));
  const rows = { train: new Uint32Array(shared), holdout: new Uint32Array(held) };
  for (let row = 0, [train, out] = [0, 0]; row < file.count; row++) {
    if (holdout[row] === 1) rows.holdout[out++] = row;
    else rows.train[train++] = row;
  }
  const classOf = classes === undefined ? null : Int32Array.from(writer.names, (name) => indices.get(name)!);
  const labelWidth = file.layout.labels === "classes" ? classes!.length : 1;
  return { file, count: file.count, width: file.layout.width, classOf, labelWidth, ...rows };
}

/** How many of the records that are trained on have each class. @param classes how many there are */
export function countClasses(records: PackedRecords, classes: number): Float64Array {
  const counts = new Float64Array(classes);
  if (records.train.length === 0) return counts;
  const { labels } = records.file.layout;
  const label = labelArray(labels, records.labelWidth);
  using source = new Rows(records.file);
  for (const row of records.train) {
    source.seek(row);
    source.labelInto(label, 0, records);
    if (labels === "class") counts[label[0]!]!++;
    else for (let c = 0; c < label.length; c++) counts[c]! += label[c]!;
  }
  return counts;
}

/** Each of these rows as floats, one after the other in the same array. */
export function* floatsOf({ file, width }: PackedRecords, rows: Uint32Array): Generator<Float32Array> {
  if (rows.length === 0) return;
  using source = new Rows(file);
  const floats = new Float32Array(width);
  for (const row of rows) {
    source.seek(row);
    source.floatsInto(floats, 0);
    yield floats;
  }
}

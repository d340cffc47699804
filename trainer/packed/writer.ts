/** Packs a round's records into one file as they are read, so that none of them stays in memory. */
import { closeSync, ftruncateSync, openSync, readSync, renameSync, statfsSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { AccreteError, messageOf } from "../../protocol/errors.ts";
import { sizeText } from "../../protocol/units.ts";
import type { LabelKind, RecordsOfItem } from "../item-records.ts";
import { featuresOf, floatsInto, kindOf, rowLayout, rowViews, type RowLayout, type RowViews } from "./row-layout.ts";
import type { PackedFile } from "./rows.ts";

/** Written at once. */
const CHUNK_BYTES = 1_048_576;

/**
 * All methods throw AccreteError OUT_OF_DISK. The features have the type of the first records; where later ones have another, all become
 * 32-bit floats, which changes no value.
 */
export class PackedWriter {
  readonly #path: string;
  readonly #labels: LabelKind;
  #fd: number;
  #layout: RowLayout | undefined;
  #chunk = rowViews(new ArrayBuffer(0));
  #inChunk = 0;
  #count = 0;
  #weighted = false;
  readonly #names = new Map<string, number>();

  /** @param path of the file, which is written anew */
  constructor(path: string, labels: LabelKind) {
    this.#path = path;
    this.#labels = labels;
    this.#fd = openSync(path, "w+");
  }

  /** Names of the classes in the order in which they came first. */
  get names(): readonly string[] {
    return [...this.#names.keys()];
  }

  add(records: RecordsOfItem): void {
    if (records.count === 0) return;
    const { features, weights, count } = records;
    const width = features.length / count;
    checkSpace(this.#path, count * this.#fit(features, width).stride);
    if (weights !== undefined) this.#weighted = true;
    const classes = records.names.map(({ name }) => this.#indexOf(name));
    const { kind, labelAt, weightAt } = this.#fitClasses();
    for (let i = 0; i < count; i++) {
      const at = this.#nextRow();
      const target = featuresOf(this.#chunk, kind);
      const to = at / target.BYTES_PER_ELEMENT;
      if (kind === "number") floatsInto(features, i * width, width, this.#chunk.floats, to);
      else target.set(features.subarray(i * width, (i + 1) * width), to);
      this.#putLabel((at + labelAt) / 4, records, i, classes);
      this.#chunk.floats[(at + weightAt) / 4] = weights?.[i] ?? 1;
    }
  }

  /** @param at in the chunk, in words @param classes of the item's names */
  #putLabel(at: number, { labels, offsets }: RecordsOfItem, i: number, classes: readonly number[]): void {
    const { ints, floats } = this.#chunk;
    if (this.#labels === "value") floats[at] = labels[i]!;
    else if (this.#labels === "class") ints[at] = classes[labels[i]!]!;
    else {
      ints.fill(0, at, at + this.#layout!.labelWords);
      for (let j = offsets![i]!; j < offsets![i + 1]!; j++) {
        const own = classes[labels[j]!]!;
        ints[at + (own >> 5)]! |= 1 << (own & 31);
      }
    }
  }

  /** Forgets all that was added. */
  reset(): void {
    ftruncateSync(this.#fd, 0);
    this.#layout = undefined;
    this.#inChunk = 0;
    this.#count = 0;
    this.#weighted = false;
    this.#names.clear();
  }

  /** @param width of a record, where there is none to see it by */
  finish(width: number): PackedFile {
    this.#flush();
    this.close();
    const layout = this.#layout ?? rowLayout("number", width, this.#labels);
    return { path: this.#path, layout, count: this.#count, weighted: this.#weighted };
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #indexOf(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    this.#names.set(name, this.#names.size);
    return this.#names.size - 1;
  }

  #fit(features: RecordsOfItem["features"], width: number): RowLayout {
    const kind = kindOf(features);
    if (this.#layout === undefined) this.#begin(rowLayout(kind, width, this.#labels));
    else if (this.#layout.kind !== "number" && this.#layout.kind !== kind) {
      const { labels, labelWords } = this.#layout;
      this.#widen(this.#layout, rowLayout("number", this.#layout.width, labels, labelWords));
    }
    return this.#layout!;
  }

  /** Makes room for a bit of each class that is known: twice as much, so that rows are not often written again. */
  #fitClasses(): RowLayout {
    const { kind, width, labels, labelWords } = this.#layout!;
    let words = labelWords;
    while (labels === "classes" && 32 * words < this.#names.size) words *= 2;
    if (words > labelWords) this.#widen(this.#layout!, rowLayout(kind, width, labels, words));
    return this.#layout!;
  }

  #begin(layout: RowLayout): void {
    this.#layout = layout;
    const rows = Math.max(1, Math.floor(CHUNK_BYTES / layout.stride));
    this.#chunk = rowViews(new ArrayBuffer(rows * layout.stride));
    this.#inChunk = 0;
  }

  /** @returns where it begins in the chunk, in bytes */
  #nextRow(): number {
    const { stride } = this.#layout!;
    if ((this.#inChunk + 1) * stride > this.#chunk.bytes.length) this.#flush();
    this.#count++;
    return this.#inChunk++ * stride;
  }

  #flush(): void {
    if (this.#inChunk === 0) return;
    const { stride } = this.#layout!;
    const position = (this.#count - this.#inChunk) * stride;
    writeWhole(this.#fd, this.#chunk.bytes.subarray(0, this.#inChunk * stride), position);
    this.#inChunk = 0;
  }

  /** Writes all rows again. */
  #widen(narrow: RowLayout, wide: RowLayout): void {
    this.#flush();
    checkSpace(this.#path, this.#count * wide.stride);
    const path = `${this.#path}.wide`;
    const [from, to, count] = [this.#fd, openSync(path, "w+"), this.#count];
    this.#fd = to;
    this.#count = 0;
    this.#begin(wide);
    const row = rowViews(new ArrayBuffer(narrow.stride));
    for (let i = 0; i < count; i++) {
      readSync(from, row.bytes, 0, narrow.stride, i * narrow.stride);
      const at = this.#nextRow();
      copyWide(row, narrow, { views: this.#chunk, layout: wide }, at);
    }
    this.#flush();
    closeSync(from);
    renameSync(path, this.#path);
  }
}

/** @param at where the row begins among the wide ones, in bytes; they are zeros where the label becomes wider */
function copyWide(row: RowViews, narrow: RowLayout, wide: { views: RowViews; layout: RowLayout }, at: number): void {
  const { views, layout } = wide;
  if (layout.kind === narrow.kind) views.bytes.set(row.bytes.subarray(0, narrow.labelAt), at);
  else floatsInto(featuresOf(row, narrow.kind), 0, narrow.width, views.floats, at / 4);
  views.bytes.set(row.bytes.subarray(narrow.labelAt, narrow.weightAt), at + layout.labelAt);
  views.bytes.set(row.bytes.subarray(narrow.weightAt, narrow.stride), at + layout.weightAt);
}

function writeWhole(fd: number, bytes: Uint8Array, position: number): void {
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
  } catch (cause) {
    const full = cause instanceof Error && "code" in cause && (cause.code === "ENOSPC" || cause.code === "EDQUOT");
    if (full) throw new AccreteError("OUT_OF_DISK", `packing the round's records: ${messageOf(cause)}`, { cause });
    throw cause;
  }
}

/** Before an hour of writing ends in it. */
function checkSpace(path: string, bytes: number): void {
  if (bytes < CHUNK_BYTES) return; // it costs more than it saves
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize >= bytes) return;
  throw new AccreteError(
    "OUT_OF_DISK",
    `packing the round's records: ${sizeText(bytes)} are needed, ${sizeText(bavail * bsize)} are free (in ${dirname(path)})`,
  );
}

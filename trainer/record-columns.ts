/** What is made of a record's columns that are no features: labels, weights, and what data.holdout chooses by. */
import { createHash } from "node:crypto";
import type { DataConfig } from "../protocol/data-config.ts";
import { BadItem, LABEL_LENGTH_MAX, shown, type LabelKind, type RecordsOfItem } from "./item-records.ts";
import { CLASSES_MAX } from "./schema.ts";
import { AS_LIST, AS_NUMBER, AS_STRING, AS_TEXT, NONE, type Cells, type TableScan, type Wanted } from "./table-scan.ts";
import { OVERFLOW } from "./text-interner.ts";

/** One column of a table while its records are read, from the first to the last. */
export interface ColumnSink {
  readonly wanted: Wanted;
  /** @throws {BadItem} with the place of a cell that is at fault */
  add(cells: Cells, record: number): void;
  /** @param count of records */
  done(count: number): Partial<RecordsOfItem>;
}

type OfColumn = Pick<DataConfig, "labelSeparator">;

/** @param column in the scan's names */
export function labelSink(scan: TableScan, column: number, kind: LabelKind, data: OfColumn): ColumnSink {
  if (kind === "value") return valueSink(scan, column);
  return kind === "class" ? classSink(scan, column) : classesSink(scan, column, data.labelSeparator);
}

function fault(scan: TableScan, column: number, reason: string): BadItem {
  return new BadItem(`${scan.place()}, column ${shown(scan.names[column])}: ${reason}`);
}

/** Of the numbers that the column gave, as they come. */
class Numbers<T extends Int32Array | Float32Array | Float64Array> {
  values: T;
  readonly #make: (length: number) => T;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.values = make(1_024);
  }

  set(at: number, value: number): void {
    if (at >= this.values.length) {
      const larger = this.#make(2 * at);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[at] = value;
  }
}
const int32 = (length: number): Int32Array => new Int32Array(length);
const float32 = (length: number): Float32Array => new Float32Array(length);
const float64 = (length: number): Float64Array => new Float64Array(length);

function valueSink(scan: TableScan, column: number): ColumnSink {
  const labels = new Numbers(float32);
  return {
    wanted: { column, as: AS_NUMBER },
    add({ numbers }, record) {
      const value = Math.fround(numbers[column]!);
      if (!Number.isFinite(value)) {
        const cell = scan.cell(column);
        throw fault(
          scan,
          column,
          cell === null ? "the label is empty" : `the label ${shown(cell)} is not a finite number`,
        );
      }
      labels.set(record, value);
    },
    done: (count) => ({ labels: labels.values.subarray(0, count), names: [] }),
  };
}

/** Names in the order in which they came first. */
class Names {
  readonly names: { name: string; record: number }[] = [];

  add(scan: TableScan, name: string, record: number): void {
    if (name.length > LABEL_LENGTH_MAX)
      throw new BadItem(`${scan.place()}: the label ${shown(name)} has more than ${LABEL_LENGTH_MAX} characters`);
    this.names.push({ name, record });
  }

  tooMany(scan: TableScan): BadItem {
    return new BadItem(
      `${scan.place()}: more than ${CLASSES_MAX} classes: are the labels values? Then set data.task to "regression"`,
    );
  }
}

function classSink(scan: TableScan, column: number): ColumnSink {
  const labels = new Numbers(int32);
  const found = new Names();
  return {
    wanted: { column, as: AS_TEXT, textsMax: CLASSES_MAX },
    add({ indexes, texts }, record) {
      const index = indexes[column]!;
      if (index === NONE) throw fault(scan, column, "the label is empty");
      if (index === OVERFLOW) throw found.tooMany(scan);
      while (found.names.length <= index) found.add(scan, texts[column]!.texts[found.names.length]!, record);
      labels.set(record, index);
    },
    done: (count) => ({ labels: labels.values.subarray(0, count), names: found.names }),
  };
}

/** A record may have none. */
function classesSink(scan: TableScan, column: number, separator: string): ColumnSink {
  const labels = new Numbers(int32);
  const offsets = new Numbers(int32);
  const found = new Names();
  const known = new Map<string, number>();
  let total = 0;
  const namesOf = (cells: Cells): string[] => {
    const text = cells.strings[column]!;
    if (text !== null) return text.split(separator).map((name) => name.trim());
    const cell = scan.cell(column);
    if (cell === null) return [];
    if (Array.isArray(cell) && cell.every((name) => typeof name === "string" || typeof name === "number"))
      return cell.map(String);
    throw fault(scan, column, `the labels are ${shown(JSON.stringify(cell))}: expected a list of texts`);
  };
  return {
    wanted: { column, as: AS_STRING | AS_LIST },
    add(cells, record) {
      const own = new Set<number>();
      for (const name of namesOf(cells)) {
        if (name === "") throw fault(scan, column, "a label is empty");
        let index = known.get(name);
        if (index === undefined) {
          index = known.size;
          if (index === CLASSES_MAX) throw found.tooMany(scan);
          found.add(scan, name, record);
          known.set(name, index);
        }
        own.add(index);
      }
      for (const index of [...own].sort((a, b) => a - b)) labels.set(total++, index);
      offsets.set(record + 1, total);
    },
    done: (count) => ({
      labels: labels.values.subarray(0, total),
      offsets: offsets.values.subarray(0, count + 1),
      names: found.names,
    }),
  };
}

export function weightSink(scan: TableScan, column: number): ColumnSink {
  const weights = new Numbers(float32);
  return {
    wanted: { column, as: AS_NUMBER },
    add({ numbers }, record) {
      const weight = Math.fround(numbers[column]!);
      if (!(weight >= 0 && weight < Infinity))
        throw fault(scan, column, `${shown(scan.cell(column))} is no weight: expected a finite number, 0 or more`);
      weights.set(record, weight);
    },
    done: (count) => ({ weights: weights.values.subarray(0, count) }),
  };
}

export function markSink(scan: TableScan, column: number, by: "group" | "time"): ColumnSink {
  const marks = new Numbers(float64);
  const mark = by === "group" ? groupMark : timeMark;
  return {
    wanted: { column, as: AS_STRING },
    add({ strings }, record) {
      const text = strings[column]!;
      const value = text === null ? undefined : mark(text);
      if (value === undefined) {
        const found = text === null ? "it is empty" : `${shown(text)} is no time`;
        throw fault(
          scan,
          column,
          by === "group"
            ? `${found}: data.holdout needs the record's group`
            : `${found}: data.holdout needs such as "2026-01-31T08:00:00Z", or seconds or milliseconds since 1970`,
        );
      }
      marks.set(record, value);
    },
    done: (count) => ({ marks: marks.values.subarray(0, count) }),
  };
}

/** The first 48 bits of the sha256 of its text. */
export function groupMark(text: string): number {
  return createHash("sha256").update(text).digest().readUIntBE(0, 6);
}

const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?\s*(Z|[+-]\d\d(?::?\d\d)?)?$/i;
/** Seconds up to the year 5138; as milliseconds that is early in 1973. */
const SECONDS_MAX = 1e11;

/** In ms since 1970: of a date (UTC where it has no zone), of seconds, or of milliseconds. */
export function timeMark(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^[+-]?\d+(\.\d+)?$/.test(trimmed)) {
    const value = Number(trimmed);
    if (Math.abs(value) > 8.64e15) return undefined;
    return Math.abs(value) < SECONDS_MAX ? value * 1_000 : value;
  }
  const [, date, time = "00:00", zone = "Z"] = ISO.exec(trimmed) ?? [];
  if (date === undefined) return undefined;
  const offset = /^[+-]\d\d$/.test(zone) ? `${zone}:00` : zone.replace(/^([+-]\d\d)(\d\d)$/, "$1:$2");
  const ms = Date.parse(`${date}T${time.replace(/(\.\d{3})\d+$/, "$1")}${offset.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : ms;
}

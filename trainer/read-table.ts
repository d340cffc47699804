/** Tables: a record a row. Numbers are one input each, text columns one input for each category of round 1. */
import type { DataConfig } from "../protocol/data-config.ts";
import { BadItem, shown, type LabelKind, type RecordsOfItem } from "./item-records.ts";
import { labelSink, markSink, weightSink, type ColumnSink } from "./record-columns.ts";
import { CATEGORIES_MAX, compareNames, inputsOf, type Column } from "./schema.ts";
import { AS_NUMBER, AS_TEXT, Cells, NONE, type TableScan, type Wanted } from "./table-scan.ts";

/** Memory that is used again for the features of the next table: memory that is new takes the kernel longer than filling it. */
export interface FeatureRoom {
  features: Float32Array;
}

/** What of the config says how a table is read. */
export type TableConfig = Pick<DataConfig, "label" | "features" | "weight" | "holdout" | "labelSeparator">;

/**
 * @param columns those of the schema; null: this file defines them @param room of which the features are a part
 * @throws {BadItem} with line and column
 */
export async function readTable(
  scan: TableScan,
  options: {
    readonly data: TableConfig;
    readonly columns: readonly Column[] | null;
    readonly kind: LabelKind;
    readonly room: FeatureRoom;
  },
): Promise<RecordsOfItem & { readonly columns: readonly Column[] }> {
  const { data } = options;
  const beside = columnsBeside(data);
  const features =
    options.columns?.map(({ name }) => name) ??
    data.features ??
    scan.names.filter((name) => name !== data.label && !beside.includes(name));
  checkNames(scan.names, features, data);
  const read = async (
    columns: readonly Column[],
  ): Promise<RecordsOfItem & { readonly columns: readonly Column[] }> => ({
    ...(await convert(scan, columns, options)),
    columns,
    shape: [columns.reduce((sum, column) => sum + inputsOf(column), 0)],
  });
  if (options.columns !== null) return read(options.columns);
  const guessed = await inferColumns(scan, features, GUESS_RECORDS);
  if (guessed.whole) return read(guessed.columns());
  // most tables are numbers throughout: those are read once, not twice
  if (guessed.areNumbers) {
    try {
      return await read(guessed.columns());
    } catch (error) {
      if (!(error instanceof BadItem)) throw error;
    }
  }
  return read((await inferColumns(scan, features, Infinity)).columns());
}

/** The columns of round 1 with the categories of one more file, as far as there is room for them: those beyond are all zeros. */
export async function addCategories(scan: TableScan, columns: readonly Column[]): Promise<readonly Column[]> {
  const at = columns.map(({ name }) => scan.names.indexOf(name));
  const cells = new Cells(
    scan.names.length,
    columns.flatMap(({ kind, categories }, i) =>
      kind === "number" ? [] : [{ column: at[i]!, as: AS_TEXT, texts: categories, textsMax: CATEGORIES_MAX }],
    ),
  );
  await scan.read(cells, () => true);
  return columns.map((column, i) =>
    column.kind === "number" ? column : { ...column, categories: [...cells.texts[at[i]!]!.texts].sort(compareNames) },
  );
}

/** Columns that are there for something else than to be learned from. */
function columnsBeside({ weight, holdout }: TableConfig): string[] {
  const marks = typeof holdout !== "number" && "column" in holdout ? [holdout.column] : [];
  return weight === null ? marks : [weight, ...marks];
}

function checkNames(names: readonly string[], features: readonly string[], data: TableConfig): void {
  const list = (some: readonly string[]): string =>
    some.slice(0, 10).map(shown).join(", ") + (some.length > 10 ? ` and ${some.length - 10} more` : "");
  const seen = new Set<string>();
  const twice = names.filter((name) => seen.has(name) || !seen.add(name));
  if (twice.length > 0) throw new BadItem(`two columns have the name ${list(twice)}`);
  const known = new Set(names);
  if (!known.has(data.label))
    throw new BadItem(
      `there is no label column ${shown(data.label)}; its columns are ${list(names)}${delimiterHint(names) || "; data.label names it"}`,
    );
  const beside = columnsBeside(data);
  const gone = beside.find((name) => !known.has(name));
  if (gone !== undefined) {
    const what = gone === data.weight ? "data.weight" : "data.holdout";
    throw new BadItem(`there is no column ${shown(gone)}, which ${what} names; its columns are ${list(names)}`);
  }
  if (features.includes(data.label)) throw new BadItem(`the label column ${shown(data.label)} is among data.features`);
  if (data.weight !== null && features.includes(data.weight))
    throw new BadItem(`the weight column ${shown(data.weight)} is among data.features`);
  if (features.length === 0) throw new BadItem(`there is no column but the label ${shown(data.label)}`);
  const missing = features.filter((name) => !known.has(name));
  if (missing.length > 0) throw new BadItem(`columns are missing: ${list(missing)}; its columns are ${list(names)}`);
  if (data.features !== null) return;
  const expected = new Set([...features, data.label, ...beside]);
  const extra = names.filter((name) => !expected.has(name));
  if (extra.length > 0) throw new BadItem(`columns that round 1 did not have: ${list(extra)}`);
}

/** A header that is one name with another character than ours between its parts. */
function delimiterHint(names: readonly string[]): string {
  const between =
    names.length === 1 ? [";", "\t", "|", ","].find((delimiter) => names[0]!.includes(delimiter)) : undefined;
  return between === undefined
    ? ""
    : `: is ${shown(between)} what is between its columns? Then set data.delimiter (or data.format: "tsv")`;
}

/** So many records tell what the columns are, unless a later one is otherwise. */
const GUESS_RECORDS = 1_000;

/** A column is a number if all that is written in it are numbers, else a category. */
async function inferColumns(
  scan: TableScan,
  features: readonly string[],
  recordsMax: number,
): Promise<{ whole: boolean; areNumbers: boolean; columns: () => Column[] }> {
  const found = features.map((name) => ({ name, at: scan.names.indexOf(name), numbers: false, text: false }));
  const textsMax = CATEGORIES_MAX + 1; // enough to say that there are too many, whatever the number of rows
  const cells = new Cells(
    scan.names.length,
    found.map(({ at }): Wanted => ({ column: at, as: AS_NUMBER | AS_TEXT, textsMax })),
  );
  const { numbers, indexes } = cells;
  let records = 0;
  let whole = true;
  await scan.read(cells, () => {
    if (records === recordsMax) {
      whole = false;
      return false;
    }
    records++;
    for (const column of found) {
      if (indexes[column.at] === NONE) continue;
      if (Number.isNaN(numbers[column.at])) column.text = true;
      else column.numbers = true;
      if (scan.typed && column.text && column.numbers) throw bothKinds(scan, column);
    }
    return true;
  });
  if (records === 0) throw new BadItem("it has no records");
  const columns = (): Column[] =>
    found.map(({ name, at, text, numbers: hasNumbers }) => {
      const { texts } = cells.texts[at]!;
      if (!text && hasNumbers) return { name, kind: "number", categories: [] };
      if (!text) throw new BadItem(`column ${shown(name)} has no values`);
      if (texts.length > CATEGORIES_MAX)
        throw new BadItem(
          `column ${shown(name)} has more than ${CATEGORIES_MAX} categories: name the columns to learn from in data.features`,
        );
      return { name, kind: "category", categories: [...texts].sort(compareNames) };
    });
  return { whole, columns, areNumbers: found.every(({ text, numbers: has }) => !text && has) };
}

function bothKinds(scan: TableScan, column: { name: string; at: number }): BadItem {
  const cell = scan.cell(column.at);
  const kind = typeof cell === "number" ? "a number" : "none";
  return new BadItem(
    `${scan.place()}, column ${shown(column.name)}: ${shown(cell)} is ${kind}: the column has both numbers and others`,
  );
}

async function convert(
  scan: TableScan,
  columns: readonly Column[],
  { data, kind, room }: { readonly data: TableConfig; readonly kind: LabelKind; readonly room: FeatureRoom },
): Promise<Omit<RecordsOfItem, "shape">> {
  const writer = new FeatureWriter(scan, columns, room);
  const sinks: ColumnSink[] = [labelSink(scan, scan.names.indexOf(data.label), kind, data)];
  if (data.weight !== null) sinks.push(weightSink(scan, scan.names.indexOf(data.weight)));
  if (typeof data.holdout !== "number" && "column" in data.holdout)
    sinks.push(markSink(scan, scan.names.indexOf(data.holdout.column), data.holdout.by));
  const cells = new Cells(scan.names.length, [...writer.wanted, ...sinks.map(({ wanted }) => wanted)]);
  let count = 0;
  await scan.read(cells, () => {
    writer.add(cells, count);
    for (const sink of sinks) sink.add(cells, count);
    count++;
    return true;
  });
  if (count === 0) throw new BadItem("it has no records");
  const done: Partial<RecordsOfItem> = Object.assign({}, ...sinks.map((sink) => sink.done(count)));
  return {
    labels: new Int32Array(0),
    names: [],
    ...done,
    count,
    features: room.features.subarray(0, count * writer.width),
  };
}

/** Room for so many values, until it is known how many records there may be. */
const FIRST_VALUES = 16_384;

/** One row of inputs after the other. */
class FeatureWriter {
  readonly wanted: readonly Wanted[];
  readonly width: number;
  readonly #room: FeatureRoom;
  readonly #scan: TableScan;
  // of the columns that are numbers and of those that are categories: where they are in the scan, and their first inputs
  readonly #numbers: Places;
  readonly #categories: Places;

  constructor(scan: TableScan, columns: readonly Column[], room: FeatureRoom) {
    this.#scan = scan;
    this.#room = room;
    const places = columns.map((column) => ({ column, from: scan.names.indexOf(column.name), to: 0 }));
    let width = 0;
    for (const place of places) {
      place.to = width;
      width += inputsOf(place.column);
    }
    this.width = width;
    this.#numbers = placesOf(places.filter(({ column }) => column.kind === "number"));
    this.#categories = placesOf(places.filter(({ column }) => column.kind === "category"));
    this.wanted = places.map(({ column: { kind, categories }, from }) => ({
      column: from,
      as: kind === "number" ? AS_NUMBER : AS_TEXT,
      texts: categories,
      textsMax: categories.length,
    }));
  }

  /** A category that round 1 did not have, and none, is all zeros. */
  add({ numbers, indexes }: Cells, record: number): void {
    const at = record * this.width;
    if (at + this.width > this.#room.features.length) this.#grow(record);
    const { features } = this.#room;
    const categories = this.#categories;
    if (categories.from.length > 0) features.fill(0, at, at + this.width);
    const { from, to } = this.#numbers;
    let wrong = 0; // a number less itself is 0, but for what is not finite
    for (let i = 0; i < from.length; i++) {
      const value = Math.fround(numbers[from[i]!]!);
      features[at + to[i]!] = value;
      wrong += value - value;
    }
    if (wrong !== 0) throw this.#faultIn(numbers);
    for (let i = 0; i < categories.from.length; i++) {
      const index = indexes[categories.from[i]!]!;
      if (index >= 0) features[at + categories.to[i]! + index] = 1;
    }
  }

  #grow(record: number): void {
    const expected =
      record === 0
        ? Math.ceil(FIRST_VALUES / this.width)
        : Math.max(this.#scan.expected(record), Math.ceil(1.5 * record));
    const larger = new Float32Array(expected * this.width);
    larger.set(this.#room.features.subarray(0, record * this.width));
    this.#room.features = larger;
  }

  #faultIn(numbers: Float64Array): BadItem {
    const from = this.#numbers.from.find((column) => !Number.isFinite(Math.fround(numbers[column]!)))!;
    const value = numbers[from]!;
    const cell = this.#scan.cell(from);
    const reason =
      cell === null
        ? "it is empty, expected a number"
        : Number.isNaN(value)
          ? `${shown(cell)} is not a number`
          : `${shown(cell)} is not finite as a 32-bit float`;
    return new BadItem(`${this.#scan.place()}, column ${shown(this.#scan.names[from])}: ${reason}`);
  }
}

interface Places {
  readonly from: Int32Array;
  readonly to: Int32Array;
}

const placesOf = (places: readonly { from: number; to: number }[]): Places => ({
  from: Int32Array.from(places, ({ from }) => from),
  to: Int32Array.from(places, ({ to }) => to),
});

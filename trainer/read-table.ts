/** CSV and JSONL: a record a row. Numbers are one input each, text columns one input for each category of round 1. */
import type { DataConfig } from "../protocol/data-config.ts";
import { BadItem, labelBuilder, shown, type LabelKind, type RecordsOfItem } from "./item-records.ts";
import { CATEGORIES_MAX, compareNames, inputsOf, type Column } from "./schema.ts";
import type { Cell, TableSource } from "./table-source.ts";

/** What of the config says how a table is read. */
export type TableConfig = Pick<DataConfig, "label" | "features">;

/**
 * @param columns those of the schema; null: this file defines them
 * @throws {BadItem} with line and column
 */
export async function readTable(
  source: TableSource,
  options: { readonly data: TableConfig; readonly columns: readonly Column[] | null; readonly kind: LabelKind },
): Promise<RecordsOfItem & { readonly columns: readonly Column[] }> {
  const { data, kind } = options;
  const features =
    options.columns?.map(({ name }) => name) ?? data.features ?? source.names.filter((name) => name !== data.label);
  checkNames(source.names, features, data);
  const columns = options.columns ?? (await inferColumns(source, features));
  const values = await convert(source, columns, data.label, kind);
  return {
    ...values,
    columns,
    shape: [columns.reduce((sum, column) => sum + inputsOf(column), 0)],
  };
}

/** The columns of round 1 with the categories of one more file, as far as there is room for them: those beyond are all zeros. */
export async function addCategories(source: TableSource, columns: readonly Column[]): Promise<readonly Column[]> {
  const categories = columns.map((column) => new Set(column.categories));
  for await (const batch of source.batches()) {
    columns.forEach((column, i) => {
      if (column.kind === "number") return;
      for (const cell of batch[source.names.indexOf(column.name)]!) {
        if (cell !== null && categories[i]!.size < CATEGORIES_MAX) categories[i]!.add(String(cell));
      }
    });
  }
  return columns.map((column, i) => ({ ...column, categories: [...categories[i]!].sort(compareNames) }));
}

function checkNames(names: readonly string[], features: readonly string[], data: TableConfig): void {
  const list = (some: readonly string[]): string =>
    some.slice(0, 10).map(shown).join(", ") + (some.length > 10 ? ` and ${some.length - 10} more` : "");
  const seen = new Set<string>();
  const twice = names.filter((name) => seen.has(name) || !seen.add(name));
  if (twice.length > 0) throw new BadItem(`two columns have the name ${list(twice)}`);
  const known = new Set(names);
  if (!known.has(data.label))
    throw new BadItem(`there is no label column ${shown(data.label)}; its columns are ${list(names)}`);
  if (features.includes(data.label)) throw new BadItem(`the label column ${shown(data.label)} is among data.features`);
  if (features.length === 0) throw new BadItem(`there is no column but the label ${shown(data.label)}`);
  const missing = features.filter((name) => !known.has(name));
  if (missing.length > 0) throw new BadItem(`columns are missing: ${list(missing)}; its columns are ${list(names)}`);
  if (data.features !== null) return;
  const expected = new Set([...features, data.label]);
  const extra = names.filter((name) => !expected.has(name));
  if (extra.length > 0) throw new BadItem(`columns that round 1 did not have: ${list(extra)}`);
}

/** A column is a number if all that is written in it are numbers, else a category. */
async function inferColumns(source: TableSource, features: readonly string[]): Promise<Column[]> {
  const found = features.map((name) => ({
    name,
    at: source.names.indexOf(name),
    numbers: false,
    texts: new Set<string>(),
    text: false,
  }));
  let row = 0;
  for await (const batch of source.batches()) {
    for (const column of found) {
      const cells = batch[column.at]!;
      for (let i = 0; i < cells.length; i++) {
        const cell = cells[i]!;
        if (cell === null) continue;
        if (source.number(cell) === undefined) column.text = true;
        else column.numbers = true;
        if (source.typed && column.text && column.numbers) {
          throw await badCell(
            source,
            row + i,
            column.name,
            `${shown(cell)} is ${typeof cell === "number" ? "a number" : "none"}: the column has both numbers and others`,
          );
        }
        // enough to say that there are too many, whatever the number of rows
        if (column.texts.size <= CATEGORIES_MAX) column.texts.add(String(cell));
      }
    }
    row += batch[0]?.length ?? 0;
  }
  if (row === 0) throw new BadItem("it has no records");
  return found.map(({ name, text, numbers, texts }) => {
    if (!text && numbers) return { name, kind: "number", categories: [] };
    if (!text) throw new BadItem(`column ${shown(name)} has no values`);
    if (texts.size > CATEGORIES_MAX)
      throw new BadItem(
        `column ${shown(name)} has more than ${CATEGORIES_MAX} categories: name the columns to learn from in data.features`,
      );
    return { name, kind: "category", categories: [...texts].sort(compareNames) };
  });
}

async function badCell(source: TableSource, record: number, column: string, reason: string): Promise<BadItem> {
  return new BadItem(`line ${await source.lineOf(record)}, column ${shown(column)}: ${reason}`);
}

interface Place {
  readonly column: Column;
  /** in the source's names */
  readonly at: number;
  /** its first input */
  readonly to: number;
  readonly inputs: ReadonlyMap<string, number>;
}

async function convert(
  source: TableSource,
  columns: readonly Column[],
  label: string,
  kind: LabelKind,
): Promise<Pick<RecordsOfItem, "count" | "features" | "labels" | "names">> {
  let width = 0;
  const places: Place[] = columns.map((column) => {
    const place = {
      column,
      at: source.names.indexOf(column.name),
      to: width,
      inputs: new Map(column.categories.map((name, i) => [name, i])),
    };
    width += inputsOf(column);
    return place;
  });
  const labelAt = source.names.indexOf(label);
  const builder = labelBuilder(kind, source.records ?? 0);
  let features = new Float32Array((source.records ?? 0) * width);
  let count = 0;
  for await (const batch of source.batches()) {
    const rows = batch[labelAt]!.length;
    if ((count + rows) * width > features.length) {
      const larger = new Float32Array(Math.max(2 * features.length, (count + rows) * width));
      larger.set(features);
      features = larger;
    }
    for (const place of places) {
      const fault = writeColumn(source, place, batch[place.at]!, features.subarray(count * width), width);
      if (fault !== undefined) throw await badCell(source, count + fault.row, place.column.name, fault.reason);
    }
    for (const [row, cell] of batch[labelAt]!.entries()) {
      const value = cell === null ? undefined : kind === "class" ? String(cell) : source.number(cell);
      if (value !== undefined && (kind === "class" || Number.isFinite(Math.fround(Number(value)))))
        builder.add(count + row, value, `record ${count + row + 1}`);
      else
        throw await badCell(
          source,
          count + row,
          label,
          cell === null ? "the label is empty" : `the label ${shown(cell)} is not a finite number`,
        );
    }
    count += rows;
  }
  if (count === 0) throw new BadItem("it has no records");
  return { count, features: features.subarray(0, count * width), ...builder.done() };
}

/** A category that round 1 did not have, and none, is all zeros. */
function writeColumn(
  source: TableSource,
  { column, to, inputs }: Place,
  cells: readonly Cell[],
  features: Float32Array,
  width: number,
): { row: number; reason: string } | undefined {
  for (let row = 0; row < cells.length; row++) {
    const cell = cells[row]!;
    if (column.kind === "category") {
      const input = cell === null ? undefined : inputs.get(String(cell));
      if (input !== undefined) features[row * width + to + input] = 1;
      continue;
    }
    if (cell === null) return { row, reason: "it is empty, expected a number" };
    const value = source.number(cell);
    if (value === undefined) return { row, reason: `${shown(cell)} is not a number` };
    features[row * width + to] = value;
    if (!Number.isFinite(features[row * width + to]))
      return { row, reason: `${shown(cell)} is not finite as a 32-bit float` };
  }
  return undefined;
}

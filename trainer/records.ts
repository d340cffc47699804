/** A round's files as one array of records: in the plan's order, and in each file's own order. */
import type { DataConfig } from "../protocol/config-parts.ts";
import type { Item, RejectedItem } from "../protocol/types.ts";
import { isHoldout } from "./holdout.ts";
import { BadItem, shown, type ItemRecords, type LabelKind } from "./item-records.ts";
import { readIdx } from "./read-idx.ts";
import { openImages, readImage } from "./read-images.ts";
import { addCategories, readTable } from "./read-table.ts";
import { checkConfigFits, CLASSES_MAX, compareNames, inputsOf, widthOf, type Column, type Schema } from "./schema.ts";
import { rejection } from "./stage.ts";
import { openCsv, openDuckDb, openJsonl } from "./table-source.ts";

export interface Records {
  readonly count: number;
  /** inputs of one record */
  readonly width: number;
  /** count * width; images and IDX bytes are in 0..1 already, tables as they are */
  readonly features: Float32Array;
  /** the class's index in the schema's classes, or the value */
  readonly labels: Int32Array | Float32Array;
  /** 1: never trained on */
  readonly holdout: Uint8Array;
}

export interface ReadItem {
  readonly item: Item;
  readonly path: string;
}

/** What records look like, but for their classes. */
interface Layout {
  readonly shape: readonly number[];
  readonly columns: readonly Column[] | null;
}
type ReadOne = (
  file: ReadItem,
  layout: Layout | null,
) => Promise<ItemRecords & { readonly columns: readonly Column[] | null }>;

interface Reader {
  readonly read: ReadOne;
  /** tables of round 1: the columns, with this file's categories as well */
  readonly survey?: (file: ReadItem, columns: readonly Column[]) => Promise<readonly Column[]>;
  /** files read at once */
  readonly together: number;
  readonly close: () => void;
}

/**
 * Reads a round's files. One bad record rejects its file, and the others are read.
 * @param options.schema of the parent checkpoint; null in round 1: the first file that can be read defines it
 * @param options.scratch a folder for temporary files
 * @throws {AccreteError} CONFIG_INVALID if the config asks for something else than the schema
 */
export async function readRecords(
  files: readonly ReadItem[],
  options: { data: DataConfig; schema: Schema | null; scratch: string },
): Promise<{ schema: Schema | null; records: Records; rejected: RejectedItem[] }> {
  const { data, schema } = options;
  if (schema !== null) checkConfigFits(data, schema);
  const reader = await openReader(files, options);
  try {
    const { read, layout, rejected } = await readWithCategories(files, reader, data, schema);
    if (layout === null) return { schema, records: noRecords(schema, data), rejected };
    const whole = schema ?? schemaOf(data, layout, read);
    return { schema: whole, records: join(read, whole, data.holdout), rejected };
  } finally {
    reader.close();
  }
}

async function openReader(files: readonly ReadItem[], options: { data: DataConfig; scratch: string }): Promise<Reader> {
  const { data } = options;
  const kind: LabelKind = data.task === "classification" ? "class" : "value";
  const nothing = (): void => undefined;
  if (data.format === "idx")
    return {
      together: 1,
      close: nothing,
      read: async ({ path }) => ({ ...(await readIdx(path, kind)), columns: null }),
    };
  if (data.format === "jsonl") {
    return {
      together: 1,
      close: nothing,
      read: async ({ path }, layout) =>
        readTable(await openJsonl(path), { data, kind, columns: layout?.columns ?? null }),
      survey: async ({ path }, columns) => addCategories(await openJsonl(path), columns),
    };
  }
  if (data.format === "csv") {
    const { connection, close } = await openDuckDb(
      options.scratch,
      files.map(({ path }) => path),
    );
    return {
      together: 1,
      close,
      read: async ({ path }, layout) =>
        readTable(await openCsv(connection, path), { data, kind, columns: layout?.columns ?? null }),
      survey: async ({ path }, columns) => addCategories(await openCsv(connection, path), columns),
    };
  }
  const sharp = await openImages();
  const read: ReadOne = async ({ item, path }, layout) => {
    const shape = layout?.shape ?? data.imageShape;
    return {
      ...(await readImage(sharp, { key: item.key, path }, { shape, prefix: data.prefix, kind })),
      columns: null,
    };
  };
  return { together: 4, close: nothing, read };
}

async function readAll(
  files: readonly ReadItem[],
  reader: Reader,
  data: DataConfig,
  schema: Schema | null,
  given: Layout | null,
): Promise<{ read: ItemRecords[]; layout: Layout | null; rejected: RejectedItem[] }> {
  const read: ItemRecords[] = [];
  const rejected: RejectedItem[] = [];
  const givenNames = data.task === "regression" ? [] : (schema?.classes ?? data.labels);
  const known = givenNames === null ? null : new Set(givenNames);
  const classes = new Set<string>();
  let layout: Layout | null = schema === null ? given : { shape: schema.inputShape, columns: schema.columns };
  for (let at = 0; at < files.length;) {
    const group = files.slice(at, at + (layout === null ? 1 : reader.together)); // the first that can be read says how
    at += group.length;
    const outcomes = await Promise.all(group.map((file) => orBad(() => reader.read(file, layout))));
    for (const [i, outcome] of outcomes.entries()) {
      const records =
        outcome instanceof BadItem ? outcome : await orBad(() => checkRecords(outcome, layout, known, classes));
      if (records instanceof BadItem)
        rejected.push({ item: group[i]!.item, code: "bad", message: rejection(group[i]!.item, records.message) });
      else {
        read.push(records);
        layout ??= { shape: records.shape, columns: records.columns };
      }
    }
  }
  return { read, layout, rejected };
}

/**
 * As readAll, and in round 1 with the categories of all files that can be read, not of the first alone: where a later one has
 * more, they are read again.
 */
async function readWithCategories(
  files: readonly ReadItem[],
  reader: Reader,
  data: DataConfig,
  schema: Schema | null,
): Promise<Awaited<ReturnType<typeof readAll>>> {
  const first = await readAll(files, reader, data, schema, null);
  const columns = first.layout?.columns ?? null;
  if (schema !== null || reader.survey === undefined || !columns?.some(({ kind }) => kind === "category")) return first;
  const out = new Set(first.rejected.map(({ item }) => item));
  const good = files.filter(({ item }) => !out.has(item));
  let all = columns;
  for (const file of good) all = await reader.survey(file, all);
  const shape = [all.reduce((sum, column) => sum + inputsOf(column), 0)];
  if (String(shape) === String(first.layout?.shape)) return first;
  first.read.length = 0; // before they are read again: twice the memory would be needed
  const again = await readAll(good, reader, data, schema, { shape, columns: all });
  return { ...again, rejected: [...first.rejected, ...again.rejected] };
}

async function orBad<T>(work: () => Promise<T>): Promise<T | BadItem> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BadItem) return error;
    throw error;
  }
}

/**
 * @param given the classes there are; null: they are found out, in `classes`
 * @throws {BadItem}
 */
async function checkRecords<R extends ItemRecords>(
  records: R,
  layout: Layout | null,
  given: ReadonlySet<string> | null,
  classes: Set<string>,
): Promise<R> {
  if (layout !== null && String(records.shape) !== String(layout.shape)) {
    throw new BadItem(
      `its records have the shape [${records.shape.join(", ")}], the model's have [${layout.shape.join(", ")}]`,
    );
  }
  if (given !== null) {
    const unknown = records.names.find(({ name }) => !given.has(name));
    if (unknown === undefined) return records;
    const known = [...given].slice(0, 10).map(shown).join(", ") + (given.size > 10 ? " ..." : "");
    throw new BadItem(
      `${await records.where(unknown.record)}: the label ${shown(unknown.name)} is none of the ${given.size} classes ${known}`,
    );
  }
  const added = records.names.filter(({ name }) => !classes.has(name));
  if (classes.size + added.length > CLASSES_MAX)
    throw new BadItem(`with its labels there are more than ${CLASSES_MAX} classes`);
  for (const { name } of added) classes.add(name);
  return records;
}

function schemaOf(data: DataConfig, layout: Layout, read: readonly ItemRecords[]): Schema {
  const found = (): string[] =>
    [...new Set(read.flatMap(({ names }) => names.map(({ name }) => name)))].sort(compareNames);
  return {
    format: 1,
    task: data.task,
    inputShape: layout.shape,
    classes: data.task === "regression" ? [] : (data.labels ?? found()),
    columns: layout.columns,
    label: layout.columns === null ? null : data.label,
  };
}

function noRecords(schema: Schema | null, data: DataConfig): Records {
  const labels = data.task === "regression" ? new Float32Array(0) : new Int32Array(0);
  return {
    count: 0,
    width: schema === null ? 0 : widthOf(schema.inputShape),
    features: new Float32Array(0),
    labels,
    holdout: new Uint8Array(0),
  };
}

/** @param read is emptied: each file's memory is freed once it is copied */
function join(read: ItemRecords[], schema: Schema, fraction: number): Records {
  const width = widthOf(schema.inputShape);
  const count = read.reduce((sum, records) => sum + records.count, 0);
  const features = new Float32Array(count * width);
  const labels = schema.task === "regression" ? new Float32Array(count) : new Int32Array(count);
  const holdout = new Uint8Array(count);
  const indices = new Map(schema.classes.map((name, i) => [name, i]));
  let at = 0;
  for (const records of read.splice(0)) {
    features.set(records.features, at * width);
    const classes = records.names.map(({ name }) => indices.get(name)!);
    for (let record = 0; record < records.count; record++, at++) {
      const label = records.labels[record]!;
      labels[at] = schema.task === "regression" ? label : classes[label]!;
      const shown = schema.task === "regression" ? label : schema.classes[labels[at]!]!;
      holdout[at] = isHoldout(features.subarray(at * width, (at + 1) * width), shown, fraction) ? 1 : 0;
    }
  }
  return { count, width, features, labels, holdout };
}

/** A round's files as one array of records: in the plan's order, and in each file's own order. */
import type { DataConfig, HoldoutConfig } from "../protocol/data-config.ts";
import type { RejectedItem } from "../protocol/types.ts";
import { isHoldout } from "./holdout.ts";
import { BadItem, shown, type FileToRead, type Layout, type RecordsOfItem } from "./item-records.ts";
import type { Reader } from "./reader-process.ts";
import { REQUEST_FILES_MAX } from "./reader-protocol.ts";
import { checkConfigFits, CLASSES_MAX, compareNames, inputsOf, widthOf, type Column, type Schema } from "./schema.ts";
import { rejection, type StagedItem } from "./stage.ts";
import { addCount, vocabularyOf } from "./text-tokens.ts";

export interface Records {
  readonly count: number;
  /** inputs of one record */
  readonly width: number;
  /** count * width; images and IDX bytes are in 0..1 already, tables as they are; int32: token ids */
  readonly features: Float32Array | Int32Array;
  /** the class's index in the schema's classes, or the value; multi-label: for each record 0 or 1 for each class, as floats */
  readonly labels: Int32Array | Float32Array;
  /** 1: never trained on */
  readonly holdout: Uint8Array;
  /** what each counts for in the loss; left out: all count 1 */
  readonly weights?: Float32Array | undefined;
  /** what data.holdout chooses by, if it names a column */
  readonly marks?: Float64Array | undefined;
}

/** Bytes of files that are asked for at once: a word to the reader takes longer than it needs for a file that is small. */
const REQUEST_BYTES = 1_048_576;

/**
 * Reads a round's files. One bad record rejects its file, and so does a file that ends its reader; the others are read.
 * @param options.schema of the parent checkpoint; null in round 1: the first file that can be read defines it
 * @throws {AccreteError} CONFIG_INVALID if the config asks for something else than the schema; OUT_OF_DISK
 * @throws {Error} if the reader can't be started, or the machine fails it
 */
export async function readRecords(
  files: readonly StagedItem[],
  options: { data: DataConfig; schema: Schema | null; reader: Reader },
): Promise<{ schema: Schema | null; records: Records; rejected: RejectedItem[] }> {
  const { data, schema, reader } = options;
  if (schema !== null) checkConfigFits(data, schema);
  const { read, layout, rejected } =
    data.format === "text"
      ? await readWithVocabulary(files, reader, data, schema)
      : await readWithCategories(files, reader, data, schema);
  if (layout === null) return { schema, records: noRecords(schema, data), rejected };
  const whole = schema ?? schemaOf(data, layout, read);
  return { schema: whole, records: join(read, whole, partByContent(data.holdout)), rejected };
}

/** The part that is chosen by the records' content. */
function partByContent(holdout: HoldoutConfig): number {
  if (typeof holdout === "number") return holdout;
  return holdout.by === "content" ? holdout.part : 0;
}

/** As many of the next files as are asked for at once, at least one. */
function nextRequest(files: readonly StagedItem[], at: number): readonly StagedItem[] {
  let [end, bytes] = [at + 1, files[at]!.item.size];
  while (end < files.length && end - at < REQUEST_FILES_MAX) {
    bytes += files[end]!.item.size;
    if (bytes > REQUEST_BYTES) break;
    end++;
  }
  return files.slice(at, end);
}

const fileOf = ({ item, path }: StagedItem): FileToRead => ({ key: item.key, path });
const rejectedFor = ({ item }: StagedItem, { message }: BadItem): RejectedItem => ({
  item,
  code: "bad",
  message: rejection(item, message),
});

async function readAll(
  files: readonly StagedItem[],
  reader: Reader,
  data: DataConfig,
  schema: Schema | null,
  given: Layout | null,
): Promise<{ read: RecordsOfItem[]; layout: Layout | null; rejected: RejectedItem[] }> {
  const read: RecordsOfItem[] = [];
  const rejected: RejectedItem[] = [];
  const givenNames = data.task === "regression" ? [] : (schema?.classes ?? data.labels);
  const known = givenNames === null ? null : new Set(givenNames);
  const classes = new Set<string>();
  let layout = schema === null ? given : layoutOf(schema);
  for (let at = 0; at < files.length;) {
    const group = layout === null ? [files[at]!] : nextRequest(files, at); // the first that can be read says how
    at += group.length;
    const outcomes = await reader.read(group.map(fileOf), data, layout);
    for (const [i, outcome] of outcomes.entries()) {
      const file = group[i]!;
      const where = (record: number): Promise<string | BadItem> => reader.where(fileOf(file), data, record);
      const bad =
        outcome instanceof BadItem ? outcome : await faultOf({ records: outcome, where }, layout, known, classes);
      if (bad !== undefined) rejected.push(rejectedFor(file, bad));
      else if (!(outcome instanceof BadItem)) {
        read.push(outcome);
        layout ??= { shape: outcome.shape, columns: outcome.columns };
      }
    }
  }
  return { read, layout, rejected };
}

function layoutOf({ inputShape, columns, vocabulary }: Schema): Layout {
  return { shape: inputShape, columns, vocabulary };
}

/** As readAll, and in round 1 with the most frequent tokens of all files that can be read. */
async function readWithVocabulary(
  files: readonly StagedItem[],
  reader: Reader,
  data: DataConfig,
  schema: Schema | null,
): Promise<Awaited<ReturnType<typeof readAll>>> {
  if (schema !== null) return readAll(files, reader, data, schema, null);
  const counts = new Map<string, number>();
  for (let at = 0; at < files.length;) {
    const group = nextRequest(files, at);
    at += group.length;
    for (const [token, count] of await reader.count(group.map(fileOf), data)) addCount(counts, token, count);
  }
  const vocabulary = vocabularyOf(counts, data.vocabulary);
  const read = await readAll(files, reader, data, null, { shape: [data.tokens], columns: null, vocabulary });
  return read.read.length === 0 ? { ...read, layout: null } : read;
}

/**
 * As readAll, and in round 1 with the categories of all files that can be read, not of the first alone: where a later one has
 * more, they are read again.
 */
async function readWithCategories(
  files: readonly StagedItem[],
  reader: Reader,
  data: DataConfig,
  schema: Schema | null,
): Promise<Awaited<ReturnType<typeof readAll>>> {
  const first = await readAll(files, reader, data, schema, null);
  const columns = first.layout?.columns ?? null;
  if (schema !== null || !columns?.some(({ kind }) => kind === "category")) return first;
  const out = new Set(first.rejected.map(({ item }) => item));
  const readable = files.filter(({ item }) => !out.has(item));
  let all: readonly Column[] = columns;
  const crashed = new Map<StagedItem, BadItem>();
  for (let at = 0; at < readable.length;) {
    const group = nextRequest(readable, at);
    at += group.length;
    const found = await reader.survey(group.map(fileOf), data, all);
    all = found.columns;
    for (const [i, bad] of found.bad.entries()) if (bad !== undefined) crashed.set(group[i]!, bad);
  }
  const good = readable.filter((file) => !crashed.has(file));
  const rejected = [...first.rejected, ...[...crashed].map(([file, bad]) => rejectedFor(file, bad))];
  const shape = [all.reduce((sum, column) => sum + inputsOf(column), 0)];
  if (crashed.size === 0 && String(shape) === String(first.layout?.shape)) return first;
  first.read.length = 0; // before they are read again: twice the memory would be needed
  const again = await readAll(good, reader, data, schema, { shape, columns: all });
  return { ...again, rejected: [...rejected, ...again.rejected] };
}

/**
 * What is wrong with a file's records, if anything.
 * @param given the classes there are; null: they are found out, in `classes`
 */
async function faultOf(
  { records, where }: { records: RecordsOfItem; where: (record: number) => Promise<string | BadItem> },
  layout: Layout | null,
  given: ReadonlySet<string> | null,
  classes: Set<string>,
): Promise<BadItem | undefined> {
  const { names, shape } = records;
  if (layout !== null && String(shape) !== String(layout.shape))
    return new BadItem(
      `its records have the shape [${shape.join(", ")}], the model's have [${layout.shape.join(", ")}]`,
    );
  if (given !== null) {
    const unknown = names.find(({ name }) => !given.has(name));
    if (unknown === undefined) return undefined;
    const known = [...given].slice(0, 10).map(shown).join(", ") + (given.size > 10 ? " ..." : "");
    const place = await where(unknown.record);
    if (place instanceof BadItem) return place;
    return new BadItem(`${place}: the label ${shown(unknown.name)} is none of the ${given.size} classes ${known}`);
  }
  const added = names.filter(({ name }) => !classes.has(name));
  if (classes.size + added.length > CLASSES_MAX)
    return new BadItem(`with its labels there are more than ${CLASSES_MAX} classes`);
  for (const { name } of added) classes.add(name);
  return undefined;
}

function schemaOf(data: DataConfig, layout: Layout, read: readonly RecordsOfItem[]): Schema {
  const found = (): string[] =>
    [...new Set(read.flatMap(({ names }) => names.map(({ name }) => name)))].sort(compareNames);
  return {
    format: 1,
    task: data.task,
    inputShape: layout.shape,
    classes: data.task === "regression" ? [] : (data.labels ?? found()),
    columns: layout.columns,
    label: layout.columns === null ? null : data.label,
    ...(layout.vocabulary === undefined ? {} : { vocabulary: layout.vocabulary }),
  };
}

function noRecords(schema: Schema | null, data: DataConfig): Records {
  const labels = data.task === "classification" ? new Int32Array(0) : new Float32Array(0);
  return {
    count: 0,
    width: schema === null ? 0 : widthOf(schema.inputShape),
    features: data.format === "text" ? new Int32Array(0) : new Float32Array(0),
    labels,
    holdout: new Uint8Array(0),
  };
}

/** @param read is emptied: each file's memory is freed once it is copied */
function join(read: RecordsOfItem[], schema: Schema, fraction: number): Records {
  const width = widthOf(schema.inputShape);
  const count = read.reduce((sum, records) => sum + records.count, 0);
  const features = schema.vocabulary === undefined ? new Float32Array(count * width) : new Int32Array(count * width);
  const perRecord = schema.task === "multi-label" ? schema.classes.length : 1;
  const labels = schema.task === "classification" ? new Int32Array(count) : new Float32Array(count * perRecord);
  const weights = read.some((records) => records.weights !== undefined) ? new Float32Array(count).fill(1) : undefined;
  const marks = read.some((records) => records.marks !== undefined) ? new Float64Array(count) : undefined;
  const holdout = new Uint8Array(count);
  const indices = new Map(schema.classes.map((name, i) => [name, i]));
  let at = 0;
  for (const records of read.splice(0)) {
    setFeatures(features, records.features, at * width);
    if (records.weights !== undefined) weights?.set(records.weights, at);
    if (records.marks !== undefined) marks?.set(records.marks, at);
    const classes = records.names.map(({ name }) => indices.get(name)!);
    for (let record = 0; record < records.count; record++, at++) {
      const shown = setLabel(labels, at, records, record, classes, schema);
      holdout[at] = isHoldout(features.subarray(at * width, (at + 1) * width), shown, fraction) ? 1 : 0;
    }
  }
  return { count, width, features, labels, holdout, weights, marks };
}

function setFeatures(to: Float32Array | Int32Array, from: RecordsOfItem["features"], at: number): void {
  if (from instanceof Uint8Array) for (let i = 0; i < from.length; i++) to[at + i] = from[i]! / 255;
  else to.set(from, at);
}

/** @returns what of the label belongs to the record's content */
function setLabel(
  labels: Float32Array | Int32Array,
  at: number,
  { labels: from, offsets }: RecordsOfItem,
  record: number,
  classes: readonly number[],
  schema: Schema,
): string | number {
  if (schema.task === "regression") return (labels[at] = from[record]!);
  if (offsets === undefined) return schema.classes[(labels[at] = classes[from[record]!]!)]!;
  const own = [...from.subarray(offsets[record]!, offsets[record + 1]!)].map((label) => classes[label]!);
  for (const label of own) labels[at * schema.classes.length + label] = 1;
  return own
    .sort((a, b) => a - b)
    .map((label) => schema.classes[label]!)
    .join("\0");
}

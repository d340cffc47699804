/** A round's files as one array of records: in the plan's order, and in each file's own order. */
import type { DataConfig, HoldoutConfig } from "../protocol/data-config.ts";
import type { RejectedItem } from "../protocol/types.ts";
import { isHoldout } from "./holdout.ts";
import { BadItem, shown, type FileToRead, type Layout, type RecordsOfItem } from "./item-records.ts";
import type { Reader } from "./reader-process.ts";
import { REQUEST_FILES_MAX } from "./reader-protocol.ts";
import { checkConfigFits, CLASSES_MAX, compareNames, inputsOf, widthOf, type Column, type Schema } from "./schema.ts";
import { rejection, type StagedItem } from "./stage.ts";

export interface Records {
  readonly count: number;
  /** inputs of one record */
  readonly width: number;
  /** count * width; images and IDX bytes are in 0..1 already, tables as they are */
  readonly features: Float32Array;
  /** the class's index in the schema's classes, or the value; multi-label: 0 or 1 for each class, count x classes of them */
  readonly labels: Int32Array | Float32Array;
  /** 1: never trained on */
  readonly holdout: Uint8Array;
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
  const { read, layout, rejected } = await readWithCategories(files, reader, data, schema);
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
  let layout: Layout | null = schema === null ? given : { shape: schema.inputShape, columns: schema.columns };
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
function join(read: RecordsOfItem[], schema: Schema, fraction: number): Records {
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

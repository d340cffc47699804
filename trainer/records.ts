/** A round's files as packed records: in the plan's order, and in each file's own order. */
import type { DataConfig } from "../protocol/data-config.ts";
import { holdoutRule } from "../protocol/holdout-part.ts";
import type { RejectedItem } from "../protocol/types.ts";
import { HoldoutChooser } from "./holdout.ts";
import { BadItem, LABEL_KINDS, shown, type FileToRead, type Layout, type RecordsOfItem } from "./item-records.ts";
import { packedRecords, type PackedRecords } from "./packed/records.ts";
import { PackedWriter } from "./packed/writer.ts";
import type { Reader } from "./reader-process.ts";
import { REQUEST_FILES_MAX } from "./reader-protocol.ts";
import { checkConfigFits, CLASSES_MAX, compareNames, inputsOf, widthOf, type Column, type Schema } from "./schema.ts";
import { rejection, type StagedItem } from "./stage.ts";
import { addCount, vocabularyOf } from "./text-tokens.ts";

/** Bytes of files that are asked for at once: a word to the reader takes longer than it needs for a file that is small. */
const REQUEST_BYTES = 1_048_576;

export interface ReadOptions {
  readonly data: DataConfig;
  /** of the parent checkpoint; null in round 1: the first file that can be read defines it */
  readonly schema: Schema | null;
  readonly reader: Reader;
  /** path of the file that the records are packed into; it is written anew */
  readonly packed: string;
  /** ids of what earlier rounds have in the holdout, as knownContents gives them */
  readonly known: ReadonlySet<number>;
}

/** Where what is read goes, file by file. */
interface Sink {
  add(records: RecordsOfItem, key: string): void;
  reset(): void;
}

/**
 * Reads a round's files. One bad record rejects its file, and so does a file that ends its reader; the others are read.
 * @throws {AccreteError} CONFIG_INVALID if the config asks for something else than the schema or the data has; OUT_OF_DISK
 * @throws {Error} if the reader can't be started, or the machine fails it
 */
export async function readRecords(
  files: readonly StagedItem[],
  options: ReadOptions,
): Promise<{ schema: Schema | null; records: PackedRecords; rejected: RejectedItem[] }> {
  const { data, schema, packed, known } = options;
  if (schema !== null) checkConfigFits(data, schema);
  const writer = new PackedWriter(packed, LABEL_KINDS[data.task]);
  try {
    const chooser = new HoldoutChooser(holdoutRule(data.holdout), known);
    const sink: Sink = {
      add: (records, key) => {
        chooser.add(records, key);
        writer.add(records);
      },
      reset: () => {
        chooser.reset();
        writer.reset();
      },
    };
    const readThem = data.format === "text" ? readWithVocabulary : readWithCategories;
    const { layout, rejected } = await readThem(files, options, sink);
    const whole = schema ?? (layout === null ? null : schemaOf(data, layout, writer.names));
    const classes = data.task === "regression" ? undefined : (whole?.classes ?? []);
    const width = whole === null ? 0 : widthOf(whole.inputShape);
    return { schema: whole, records: packedRecords(writer, { width, classes, holdout: chooser.done() }), rejected };
  } finally {
    writer.close();
  }
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

/** @returns read: how many files could be read; layout: the given one, or the first such file's */
async function readAll(
  files: readonly StagedItem[],
  { reader, data, schema }: ReadOptions,
  given: Layout | null,
  sink: Sink,
): Promise<{ layout: Layout | null; read: number; rejected: RejectedItem[] }> {
  let read = 0;
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
        sink.add(outcome, file.item.key);
        read++;
        layout ??= { shape: outcome.shape, columns: outcome.columns };
      }
    }
  }
  return { layout, read, rejected };
}

function layoutOf({ inputShape, columns, vocabulary }: Schema): Layout {
  return { shape: inputShape, columns, vocabulary };
}

/** As readAll, and in round 1 with the most frequent tokens of all files that can be read. */
async function readWithVocabulary(
  files: readonly StagedItem[],
  options: ReadOptions,
  sink: Sink,
): Promise<Awaited<ReturnType<typeof readAll>>> {
  const { data, schema, reader } = options;
  if (schema !== null) return readAll(files, options, null, sink);
  const counts = new Map<string, number>();
  for (let at = 0; at < files.length;) {
    const group = nextRequest(files, at);
    at += group.length;
    for (const [token, count] of await reader.count(group.map(fileOf), data)) addCount(counts, token, count);
  }
  const vocabulary = vocabularyOf(counts, data.vocabulary);
  const found = await readAll(files, options, { shape: [data.tokens], columns: null, vocabulary }, sink);
  return found.read === 0 ? { ...found, layout: null } : found;
}

/**
 * As readAll, and in round 1 with the categories of all files that can be read, not of the first alone: where a later one has
 * more, they are read again.
 */
async function readWithCategories(
  files: readonly StagedItem[],
  options: ReadOptions,
  sink: Sink,
): Promise<Awaited<ReturnType<typeof readAll>>> {
  const { data, schema, reader } = options;
  const first = await readAll(files, options, null, sink);
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
  sink.reset();
  const again = await readAll(good, options, { shape, columns: all }, sink);
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

function schemaOf(data: DataConfig, layout: Layout, names: readonly string[]): Schema {
  return {
    format: 1,
    task: data.task,
    inputShape: layout.shape,
    classes: data.task === "regression" ? [] : (data.labels ?? names.toSorted(compareNames)),
    columns: layout.columns,
    label: layout.columns === null ? null : data.label,
    ...(layout.vocabulary === undefined ? {} : { vocabulary: layout.vocabulary }),
  };
}

/**
 * The trainer's side of the reader: items are read by a process of its own, which lives on from item to item. An item that ends
 * it is told from the others, tried once more in a new process, and rejected.
 */
import { mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { DataConfig } from "../protocol/data-config.ts";
import { AccreteError } from "../protocol/errors.ts";
import { BadItem, type FileToRead, type Layout, type RecordsOfItem } from "./item-records.ts";
import { ReaderChild, ReaderEnded, type Answered } from "./reader-child.ts";
import { programBeside } from "./program-beside.ts";
import { ReaderFile } from "./reader-file.ts";
import { columnMessage, placesOf, sizesOf, type ReadOutcome, type Request } from "./reader-protocol.ts";
import type { Column } from "./schema.ts";
import { addCount, idsOf } from "./text-tokens.ts";

/** For the libraries to be loaded, on a busy machine. */
const START_MS = 120_000;

export interface ReaderOptions {
  /** for the reader's temporary files, and nobody else's; it is made */
  readonly scratch: string;
  /** bytes */
  readonly memory: number;
  /** path of the program; @default the one beside this file */
  readonly program?: string | undefined;
}

export interface ReadFile extends RecordsOfItem {
  /** of a table that was read without a layout */
  readonly columns: readonly Column[] | null;
}

/**
 * Reads items; calls at the same time take turns. All methods throw an Error if the reader can't be started or the machine fails it, and
 * AccreteError OUT_OF_DISK: neither is the fault of an item.
 */
export class Reader implements AsyncDisposable {
  readonly #options: ReaderOptions;
  #child: ReaderChild | undefined;
  #file: ReaderFile | undefined;
  /** the formats whose libraries this child has loaded */
  readonly #opened = new Set<string>();
  /** settles with the request before: one at a time */
  #asked: Promise<unknown> = Promise.resolve();

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /**
   * @param files at most REQUEST_FILES_MAX: all of them have the time of one, and where that ends badly they are read one by one
   * @param layout null: a file defines it
   */
  async read(
    files: readonly FileToRead[],
    data: DataConfig,
    layout: Layout | null,
  ): Promise<readonly (ReadFile | BadItem)[]> {
    const ask = async (some: readonly FileToRead[]): Promise<(ReadFile | BadItem)[]> => {
      const { answer, bytes } = await this.#ask({ op: "read", data, files: some.map(file), layout: message(layout) });
      if (answer.op !== "read" || answer.outcomes.length !== some.length) return this.#nonsense();
      const { begins } = placesOf(answer.outcomes);
      const read = answer.outcomes.map((outcome, i) => recordsOf(outcome, bytes, begins[i]!));
      return read.every((one) => one instanceof BadItem || areSound(one, data, layout)) ? read : this.#nonsense();
    };
    const together = files.length > 1 ? await orEnded(() => ask(files)) : undefined;
    if (together !== undefined && !(together instanceof ReaderEnded)) return together;
    const outcomes: (ReadFile | BadItem)[] = [];
    for (const one of files) {
      const outcome = await orBlamed(() => ask([one]));
      outcomes.push(outcome instanceof BadItem ? outcome : outcome[0]!);
    }
    return outcomes;
  }

  /**
   * The columns of round 1 with the categories of more files.
   * @returns bad: for each file, in their order
   */
  async survey(
    files: readonly FileToRead[],
    data: DataConfig,
    columns: readonly Column[],
  ): Promise<{ columns: readonly Column[]; bad: readonly (BadItem | undefined)[] }> {
    const ask = async (some: readonly FileToRead[], known: readonly Column[]): Promise<readonly Column[]> => {
      const { answer } = await this.#ask({
        op: "survey",
        data,
        files: some.map(file),
        columns: known.map(columnMessage),
      });
      return answer.op === "surveyed" ? answer.columns : this.#nonsense();
    };
    const together = files.length > 1 ? await orEnded(() => ask(files, columns)) : undefined;
    if (together !== undefined && !(together instanceof ReaderEnded))
      return { columns: together, bad: files.map(() => undefined) };
    let all = columns;
    const bad: (BadItem | undefined)[] = [];
    for (const one of files) {
      const found = await orBlamed(() => ask([one], all));
      bad.push(found instanceof BadItem ? found : undefined);
      if (!(found instanceof BadItem)) all = found;
    }
    return { columns: all, bad };
  }

  /** Text: how often each token is in files; of one that can't be read nothing is counted. */
  async count(files: readonly FileToRead[], data: DataConfig): Promise<ReadonlyMap<string, number>> {
    const ask = async (some: readonly FileToRead[]): Promise<ReadonlyMap<string, number>> => {
      const { answer } = await this.#ask({ op: "count", data, files: some.map(file) });
      if (answer.op !== "counted" || answer.tokens.length !== answer.counts.length) return this.#nonsense();
      return new Map(answer.tokens.map((token, i) => [token, answer.counts[i]!]));
    };
    const together = files.length > 1 ? await orEnded(() => ask(files)) : undefined;
    if (together !== undefined && !(together instanceof ReaderEnded)) return together;
    const all = new Map<string, number>();
    for (const one of files) {
      const counts = await orBlamed(() => ask([one]));
      if (!(counts instanceof BadItem)) for (const [token, count] of counts) addCount(all, token, count);
    }
    return all;
  }

  /** Where a record of a file is, for messages: "line 7", "record 3". */
  async where(one: FileToRead, data: DataConfig, record: number): Promise<string | BadItem> {
    return orBlamed(async () => {
      const { answer } = await this.#ask({ op: "where", data, file: file(one), record });
      return answer.op === "where" ? answer.where : this.#nonsense();
    });
  }

  /** Of its process, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get scratch(): string {
    return this.#options.scratch;
  }

  /** Its process is gone once this returns. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    child?.end();
    await child?.exited;
    this.#file?.close();
    this.#file = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @throws {ReaderEnded} */
  #ask(request: Request): Promise<Answered> {
    const asked = this.#asked.then(() => this.#askNow(request));
    this.#asked = asked.catch(() => undefined);
    return asked;
  }

  async #askNow(request: Request): Promise<Answered> {
    const { data } = request;
    const child = await this.#started(data);
    // names of classes are looked at on this side alone, and there may be many
    const answered = await child.request({ ...request, data: { ...data, labels: null } }, data.limits.time);
    const { answer } = answered;
    if (answer.op !== "failed") return answered;
    if (answer.why === "disk") throw new AccreteError("OUT_OF_DISK", `reading the round's items: ${answer.message}`);
    if (answer.why === "system") throw new Error(`reading the round's items: ${answer.message}`);
    // whatever state it is in: the next file gets a new one
    await this.close();
    throw answer.why === "memory" ? child.tooMuchMemory() : new ReaderEnded(`failed: ${answer.message}`);
  }

  async #started(data: DataConfig): Promise<ReaderChild> {
    if (this.#child === undefined || this.#child.isOver) {
      await this.close();
      const { scratch, memory, program = PROGRAM } = this.#options;
      await rm(scratch, { recursive: true, force: true });
      await mkdir(scratch, { recursive: true });
      this.#opened.clear();
      this.#file = new ReaderFile(scratch);
      this.#child = new ReaderChild({ scratch, memory, program, file: this.#file });
    }
    if (this.#opened.has(data.format)) return this.#child;
    const opened = await orEnded(() => this.#child!.request({ op: "open", data: { ...data, labels: null } }, START_MS));
    if (opened instanceof ReaderEnded) throw new Error(`the reader can't be started: it ${opened.message}`);
    if (opened.answer.op !== "opened") throw new Error(`the reader can't be started: ${JSON.stringify(opened.answer)}`);
    this.#opened.add(data.format);
    return this.#child;
  }

  async #nonsense(): Promise<never> {
    await this.close();
    throw new ReaderEnded("made the reader answer something else than it was asked");
  }
}

async function orEnded<T>(work: () => Promise<T>): Promise<T | ReaderEnded> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ReaderEnded) return error;
    throw error;
  }
}

/**
 * For one file: twice, as its end may be the machine's fault; whoever takes too long once would do so again. A machine that has less memory than
 * the limit allows is no fault of an item's: it would be rejected here, and learned elsewhere.
 */
async function orBlamed<T>(work: () => Promise<T>): Promise<T | BadItem> {
  const first = await orEnded(work);
  if (!(first instanceof ReaderEnded)) return first;
  const tooLong = first.how === "took-too-long";
  const last = tooLong ? first : await orEnded(work);
  if (!(last instanceof ReaderEnded)) return last;
  if (last.how === "killed") throw new Error(`reading an item ${last.message}`);
  return new BadItem(`reading it ${last.message}${tooLong ? " (data.limits.time)" : ""}`);
}

function recordsOf(outcome: ReadOutcome, bytes: ArrayBuffer, begin: number): ReadFile | BadItem {
  if (outcome.outcome === "bad") return new BadItem(outcome.message);
  const { count, shape, names, columns } = outcome;
  let at = begin;
  const next = <T>(
    make: new (array: ArrayBuffer, at: number, length: number) => T,
    length: number,
    size: number,
  ): T => {
    const values = new make(bytes, at, length / size);
    at += length;
    return values;
  };
  const sizes = sizesOf(outcome);
  const marks = next(Float64Array, sizes.marks, 8);
  const weights = next(Float32Array, sizes.weights, 4);
  const labels = outcome.labels === "value" ? next(Float32Array, sizes.labels, 4) : next(Int32Array, sizes.labels, 4);
  const offsets = next(Int32Array, sizes.offsets, 4);
  const features =
    outcome.features === "U8"
      ? next(Uint8Array, sizes.features, 1)
      : outcome.features === "I32"
        ? next(Int32Array, sizes.features, 4)
        : next(Float32Array, sizes.features, 4);
  return {
    count,
    shape,
    names,
    columns,
    labels,
    features,
    ...(outcome.labels === "classes" ? { offsets } : {}),
    ...(outcome.weights ? { weights } : {}),
    ...(outcome.marks ? { marks } : {}),
  };
}

/** Whoever writes past its own memory still answers in time: a label of no class would be learned as the first, a NaN would spoil the model. */
function areSound(read: ReadFile, { task }: DataConfig, layout: Layout | null): boolean {
  const { count, names, labels, offsets, features, weights, marks } = read;
  const ids = idsOf(layout?.vocabulary ?? []);
  if (features instanceof Float32Array && !areFinite(features)) return false;
  if (features instanceof Int32Array && !areBelow(features, ids)) return false;
  if (weights !== undefined && !(areFinite(weights) && weights.every((weight) => weight >= 0))) return false;
  if (marks !== undefined && !areFinite(marks)) return false;
  if (!names.every(({ record }) => record < count)) return false;
  if (task === "regression") return labels instanceof Float32Array && areFinite(labels) && labels.length === count;
  if (!(labels instanceof Int32Array && areBelow(labels, names.length))) return false;
  if (task === "classification") return offsets === undefined && labels.length === count;
  return (
    offsets !== undefined &&
    offsets[0] === 0 &&
    offsets[count] === labels.length &&
    offsets.every((offset, i) => i === 0 || offset >= offsets[i - 1]!)
  );
}

function areBelow(values: Int32Array, limit: number): boolean {
  for (let i = 0; i < values.length; i++) if (!(values[i]! >= 0 && values[i]! < limit)) return false;
  return true;
}

/** All of its bits are set in what is not finite, of a 32-bit float. */
const EXPONENT = 0x7f800000;

/** By index: `every` and `of` take 8 times as long, and there may be millions. */
function areFinite(values: Float32Array | Float64Array): boolean {
  if (values instanceof Float32Array) {
    const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < bits.length; i++) if ((bits[i]! & EXPONENT) === EXPONENT) return false;
    return true;
  }
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

const PROGRAM = fileURLToPath(programBeside(import.meta.url, "reader"));

const file = ({ key, path }: FileToRead): FileToRead => ({ key, path });
const message = (layout: Layout | null): (Request & { op: "read" })["layout"] =>
  layout && {
    shape: [...layout.shape],
    columns: layout.columns?.map(columnMessage) ?? null,
    vocabulary: layout.vocabulary === undefined ? null : [...layout.vocabulary],
  };

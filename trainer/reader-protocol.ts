/**
 * What the trainer and its reader say to each other, over one socket: a line of JSON each. The numbers of an answer with records are bytes
 * in a file that both have open: see reader-file. The reader holds what anybody may have written, so its answers are checked as anything
 * from outside is; Node's own channel between processes would trust them.
 */
import * as z from "zod/mini";
import { DataConfig } from "../protocol/data-config.ts";
import { CLASSES_MAX, ColumnDocument, widthOf, type Column } from "./schema.ts";
import { TOKENS_MAX } from "./text-tokens.ts";

/** Of a line of JSON: 10,000 columns with long names fit many times. */
const LINE_BYTES_MAX = 67_108_864;
/** Files of one request. */
export const REQUEST_FILES_MAX = 32;

const Count = z.int().check(z.gte(0));
const Text = z.string();
export type ColumnMessage = z.infer<typeof ColumnDocument>;
const Columns = z.array(ColumnDocument).check(z.maxLength(10_000));
const Shape = z.array(z.int().check(z.gte(1))).check(z.minLength(1), z.maxLength(3));
const File = z.strictObject({ key: Text, path: Text });
const Files = z.array(File).check(z.maxLength(REQUEST_FILES_MAX));

const Tokens = z.array(Text).check(z.maxLength(TOKENS_MAX));

const Request = z.discriminatedUnion("op", [
  /** load what this format needs */
  z.strictObject({ op: z.literal("open"), data: DataConfig }),
  z.strictObject({
    op: z.literal("read"),
    data: DataConfig,
    files: Files,
    layout: z.nullable(z.strictObject({ shape: Shape, columns: z.nullable(Columns), vocabulary: z.nullable(Tokens) })),
  }),
  /** text: how often each token is in the files that can be read */
  z.strictObject({ op: z.literal("count"), data: DataConfig, files: Files }),
  /** the columns, with these files' categories as well */
  z.strictObject({ op: z.literal("survey"), data: DataConfig, files: Files, columns: Columns }),
  /** which line a record of the file is */
  z.strictObject({ op: z.literal("where"), data: DataConfig, file: File, record: Count }),
]);
export type Request = z.infer<typeof Request>;

const ReadOutcome = z.discriminatedUnion("outcome", [
  z.strictObject({ outcome: z.literal("bad"), message: Text }),
  z.strictObject({
    outcome: z.literal("read"),
    count: Count,
    shape: Shape,
    /** numbers, bytes that stand for 0..1, or token ids */
    features: z.enum(["F32", "U8", "I32"]),
    labels: z.enum(["class", "value", "classes"]),
    /** as many as records, but for "classes" */
    labelCount: Count,
    weights: z.boolean(),
    marks: z.boolean(),
    names: z.array(z.strictObject({ name: Text, record: Count })).check(z.maxLength(CLASSES_MAX)),
    /** null: as they were given, or there are none */
    columns: z.nullable(Columns),
  }),
]);
export type ReadOutcome = z.infer<typeof ReadOutcome>;

const Answer = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("opened") }),
  /** one for each file; of those that were read the arrays are in the reader's file: see placesOf and sizesOf */
  z.strictObject({ op: z.literal("read"), outcomes: z.array(ReadOutcome).check(z.maxLength(REQUEST_FILES_MAX)) }),
  z.strictObject({ op: z.literal("surveyed"), columns: Columns }),
  z.strictObject({ op: z.literal("counted"), tokens: Tokens, counts: z.array(Count).check(z.maxLength(TOKENS_MAX)) }),
  z.strictObject({ op: z.literal("where"), where: Text }),
  /** an error that says nothing about the file */
  z.strictObject({ op: z.literal("failed"), message: Text, why: z.enum(["system", "disk", "memory", "unknown"]) }),
]);
export type Answer = z.infer<typeof Answer>;

export function columnMessage({ name, kind, categories }: Column): ColumnMessage {
  return { name, kind, categories: [...categories] };
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** @throws {Error} if it is none */
export function parseRequest(line: Uint8Array): Request {
  return Request.parse(JSON.parse(decoder.decode(line)));
}

/** @throws {Error} if it is none */
export function parseAnswer(line: Uint8Array): Answer {
  return Answer.parse(JSON.parse(decoder.decode(line)));
}

export function lineOf(message: Request | Answer): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(message)}\n`);
}

type Read = ReadOutcome & { outcome: "read" };
type Sizes = Readonly<Record<"marks" | "weights" | "labels" | "offsets" | "features", number>>;

/** Bytes of each array, in the order in which they lie in the file: the largest elements first, so that each is where it may be. */
export function sizesOf(read: Omit<Read, "names" | "columns" | "outcome">): Sizes {
  const { count, shape, features, labels, labelCount, weights, marks } = read;
  return {
    marks: marks ? 8 * count : 0,
    weights: weights ? 4 * count : 0,
    labels: 4 * labelCount,
    offsets: labels === "classes" ? 4 * (count + 1) : 0,
    features: (features === "U8" ? 1 : 4) * count * widthOf(shape),
  };
}

/** Any type of number may begin at a multiple of it. */
const ALIGNMENT = 8;
export const aligned = (at: number): number => ALIGNMENT * Math.ceil(at / ALIGNMENT);

/** Where in the file the arrays of each outcome begin, and where all of them end. */
export function placesOf(outcomes: readonly ReadOutcome[]): {
  readonly begins: readonly number[];
  readonly end: number;
} {
  let end = 0;
  const begins = outcomes.map((outcome) => {
    const begin = aligned(end);
    if (outcome.outcome === "read") end = Object.values(sizesOf(outcome)).reduce((sum, bytes) => sum + bytes, begin);
    return begin;
  });
  return { begins, end };
}

/** Cuts what comes over the socket into messages. */
export class Messages {
  readonly #each: (line: Uint8Array) => void;
  #line: Uint8Array[] = [];
  #lineBytes = 0;

  constructor(each: (line: Uint8Array) => void) {
    this.#each = each;
  }

  /** @throws {Error} what `each` throws, and if a line is too long */
  push(chunk: Uint8Array): void {
    for (let rest = chunk; rest.length > 0;) {
      const end = rest.indexOf(0x0a);
      const part = end === -1 ? rest : rest.subarray(0, end);
      this.#line.push(part);
      this.#lineBytes += part.length;
      if (this.#lineBytes > LINE_BYTES_MAX) throw new Error(`a message of more than ${LINE_BYTES_MAX} bytes`);
      if (end === -1) return;
      const line = Buffer.concat(this.#line);
      this.#line = [];
      this.#lineBytes = 0;
      rest = rest.subarray(end + 1);
      this.#each(line);
    }
  }
}

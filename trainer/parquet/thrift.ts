/**
 * Thrift's compact protocol, in which Parquet has its footer and the headers of its pages. hyparquet reads it; before that, one pass here
 * makes sure that nothing in it claims more than there is: a list's length is room that the reading takes at once.
 */
import { isUtf8 } from "node:buffer";
import { deserializeTCompactProtocol } from "hyparquet/src/thrift.js";
import { damaged } from "./damaged.ts";

/** A struct by its fields' numbers; whoever wrote the file chose what they are. */
export type Struct = Readonly<Record<`field_${number}`, unknown>>;

/** Parquet itself needs fewer than ten. */
const DEPTH_MAX = 32;
const [STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, STRUCT] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12];

class EndReached extends Error {}

/**
 * The struct at the front of the bytes.
 * @param valuesMax of it and all that is in it
 * @returns undefined: it goes on behind them
 * @throws {BadItem}
 */
export function readStruct(bytes: Uint8Array, valuesMax: number): { struct: Struct; length: number } | undefined {
  const walk = new Walk(bytes, valuesMax);
  try {
    walk.struct(0);
  } catch (error) {
    if (error instanceof EndReached) return undefined;
    throw error;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, walk.at);
  const struct: Struct = deserializeTCompactProtocol({ view, offset: 0 });
  return { struct, length: walk.at };
}

/** Goes over a struct and keeps nothing of it. */
class Walk {
  at = 0;
  readonly #bytes: Uint8Array;
  #valuesLeft: number;

  constructor(bytes: Uint8Array, valuesMax: number) {
    this.#bytes = bytes;
    this.#valuesLeft = valuesMax;
  }

  struct(depth: number): void {
    if (depth > DEPTH_MAX) throw damaged("its metadata is nested too deep");
    for (;;) {
      const byte = this.#byte();
      const type = byte & 0x0f;
      if (type === STOP) return;
      if (byte >> 4 === 0) this.#varint();
      this.#value(type, depth);
    }
  }

  #value(type: number, depth: number): void {
    if (--this.#valuesLeft < 0) throw damaged("its metadata has too many parts to be read within data.limits.memory");
    if (type === TRUE || type === FALSE) return;
    if (type === BYTE) this.#skip(1);
    else if (type === I16 || type === I32 || type === I64) this.#varint();
    else if (type === DOUBLE) this.#skip(8);
    else if (type === BINARY) this.#skip(this.#length());
    else if (type === LIST) this.#list(depth + 1);
    else if (type === STRUCT) this.struct(depth + 1);
    else throw damaged("its metadata is damaged");
  }

  #list(depth: number): void {
    if (depth > DEPTH_MAX) throw damaged("its metadata is nested too deep");
    const byte = this.#byte();
    const type = byte & 0x0f;
    const length = byte >> 4 === 15 ? this.#length() : byte >> 4;
    // each of them has a byte at least, so a list that is not all there ends here
    for (let i = 0; i < length; i++) this.#value(type === TRUE || type === FALSE ? BYTE : type, depth);
  }

  #byte(): number {
    if (this.at >= this.#bytes.length) throw new EndReached();
    return this.#bytes[this.at++]!;
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.at) throw new EndReached();
    this.at += length;
  }

  /** Of 64 bits at most: hyparquet would read on, ever slower. */
  #varint(): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) return value;
    }
    throw damaged("its metadata is damaged");
  }

  #length(): number {
    const length = this.#varint();
    if (length > 0x7fff_ffff) throw damaged("its metadata is damaged");
    return length;
  }
}

/** @returns undefined: it is left out @throws {BadItem} unless it is a whole number, 0 or more */
export function optionalCount(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const count = typeof value === "bigint" ? Number(value) : value;
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0)
    throw damaged("its metadata has a number that can't be");
  return count;
}

export function countOf(value: unknown): number {
  const count = optionalCount(value);
  if (count === undefined) throw damaged("its metadata lacks a number");
  return count;
}

const isStruct = (value: unknown): value is Struct =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

export function optionalStruct(value: unknown): Struct | undefined {
  if (value === undefined) return undefined;
  if (!isStruct(value)) throw damaged("its metadata is damaged");
  return value;
}

export function structOf(value: unknown): Struct {
  const struct = optionalStruct(value);
  if (struct === undefined) throw damaged("its metadata lacks a part");
  return struct;
}

export function structsOf(value: unknown): Struct[] {
  if (!Array.isArray(value)) throw damaged("its metadata lacks a list");
  return value.map(structOf);
}

export function textOf(value: unknown): string {
  if (!(value instanceof Uint8Array)) throw damaged("its metadata lacks a name");
  if (!isUtf8(value)) throw damaged("the name of a column is not UTF-8");
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString();
}

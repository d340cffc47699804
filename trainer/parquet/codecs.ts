/**
 * What the pages of a Parquet file are compressed by. Each gives exactly as many bytes as the page's header says, and takes no more room than
 * that. Snappy and LZ4 are written here: hyparquet's Snappy goes round for ever at a literal of a negative length, and its LZ4 leaves zeros
 * where the input ends early.
 */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { damaged } from "./damaged.ts";

type Decompress = (input: Buffer, size: number) => Uint8Array;

/** By the number that a file has for it. */
const CODECS: ReadonlyMap<number, Decompress> = new Map<number, Decompress>([
  [0, (input) => input],
  [1, snappy],
  [2, (input, size) => gunzipSync(input, roomOf(size))],
  [4, (input, size) => brotliDecompressSync(input, roomOf(size))],
  [6, (input, size) => zstdDecompressSync(input, roomOf(size))],
  [7, lz4],
]);
const OTHERS: ReadonlyMap<number, string> = new Map([
  [3, "LZO"],
  [5, "LZ4 (the one of Hadoop)"],
]);

const roomOf = (size: number): { maxOutputLength: number; chunkSize: number } => ({
  maxOutputLength: Math.max(1, size),
  chunkSize: Math.max(64, size),
});

/** @throws {BadItem} for a codec that is none of ours */
export function codecOf(codec: number, where: string): Decompress {
  const found = CODECS.get(codec);
  if (found === undefined)
    throw damaged(
      `${where} is compressed by ${OTHERS.get(codec) ?? `codec ${codec}`}: expected none, snappy, gzip, zstd, brotli or lz4_raw`,
    );
  return (input, size) => {
    // a page of nothing may have no bytes at all
    const output = size === 0 ? input.subarray(0, 0) : found(input, size);
    if (output.length !== size) throw new Error("of another size than its header says");
    return output;
  };
}

/** Above, the engine's own copying is faster than a loop. */
const SHORT = 32;

/** Copies within the output, which may grow into itself. */
function repeat(output: Buffer, at: number, offset: number, length: number): void {
  if (offset === 0 || offset > at || length > output.length - at) throw new Error("a copy from nowhere");
  const from = at - offset;
  if (length > SHORT && offset >= length) output.copyWithin(at, from, from + length);
  else for (let i = 0; i < length; i++) output[at + i] = output[from + i]!;
}

function literal(input: Buffer, from: number, output: Buffer, at: number, length: number): void {
  if (length > input.length - from || length > output.length - at) throw new Error("a literal beyond the end");
  if (length > SHORT) input.copy(output, at, from, from + length);
  else for (let i = 0; i < length; i++) output[at + i] = input[from + i]!;
}

/** https://github.com/google/snappy/blob/main/format_description.txt */
function snappy(input: Buffer, size: number): Buffer {
  let [from, at, claimed] = [0, 0, 0];
  for (let i = 0; i < 5; i++) {
    const byte = input.readUInt8(from++);
    claimed += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) break;
  }
  if (claimed !== size) throw new Error("of another size than its header says");
  const output = Buffer.allocUnsafe(size);
  while (from < input.length) {
    const tag = input[from++]!;
    const kind = tag & 3;
    if (kind === 0) {
      let length = (tag >> 2) + 1;
      if (length > 60) {
        const bytes = length - 60;
        length = input.readUIntLE(from, bytes) + 1;
        from += bytes;
      }
      literal(input, from, output, at, length);
      from += length;
      at += length;
      continue;
    }
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const bytes = kind === 3 ? 4 : kind;
    if (bytes > input.length - from) throw new Error("cut short");
    const offset =
      kind === 1
        ? ((tag >> 5) << 8) | input[from]!
        : kind === 2
          ? input[from]! | (input[from + 1]! << 8)
          : input.readUInt32LE(from);
    from += bytes;
    repeat(output, at, offset, length);
    at += length;
  }
  if (at !== size) throw new Error("cut short");
  return output;
}

/** A block without a frame: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */
function lz4(input: Buffer, size: number): Buffer {
  const output = Buffer.allocUnsafe(size);
  let [from, at] = [0, 0];
  const more = (length: number): number => {
    if (length !== 15) return length;
    let whole = length;
    for (;;) {
      const byte = input.readUInt8(from++);
      whole += byte;
      if (byte !== 255) return whole;
    }
  };
  while (from < input.length) {
    const token = input[from++]!;
    const literals = more(token >> 4);
    literal(input, from, output, at, literals);
    from += literals;
    at += literals;
    if (from === input.length) break; // the last ones have no copy
    const offset = input.readUInt16LE(from);
    from += 2;
    const length = more(token & 15) + 4;
    repeat(output, at, offset, length);
    at += length;
  }
  if (at !== size) throw new Error("cut short");
  return output;
}

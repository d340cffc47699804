/** How the values of a page are written down: each encoding to plain values, one behind the other. */
import { deltaBinaryUnpack } from "hyparquet/src/delta.js";
import { readVarInt } from "hyparquet/src/thrift.js";
import { damaged } from "./damaged.ts";
import type { Leaf } from "./types.ts";

/** Plain values: value i is the bytes from its start up to the next one's, less the gap. */
export interface Values {
  readonly count: number;
  readonly bytes: Buffer;
  /** count + 1; undefined: all are as wide as the leaf says */
  readonly starts: Int32Array | undefined;
  /** bytes of a length before each */
  readonly gap: number;
}

/** Their numbers in a file. */
export const [PLAIN, PLAIN_DICTIONARY, RLE, DELTA, DELTA_LENGTH, DELTA_BYTES, RLE_DICTIONARY, SPLIT] = [
  0, 2, 3, 5, 6, 7, 8, 9,
];

export interface ToDecode {
  readonly count: number;
  readonly encoding: number;
  readonly leaf: Leaf;
  /** that the values may have */
  readonly bytesMax: number;
  /** for messages: "column "x"" */
  readonly where: string;
}

/** @param bytes from the first value to the page's end @throws {Error} where they are damaged */
export function decodeValues(bytes: Buffer, { count, encoding, leaf, bytesMax, where }: ToDecode): Values {
  const { physical, width } = leaf;
  if (count === 0) return fixed(bytes.subarray(0, 0), 0);
  if (physical === "boolean" && encoding === RLE) {
    const flags = Buffer.alloc(count);
    hybrid(bytes.subarray(4, 4 + bytes.readUInt32LE(0)), 1, flags, 2);
    return fixed(flags, count);
  }
  if (encoding === PLAIN) {
    if (physical === "boolean") return fixed(bits(bytes, count), count);
    if (physical === "bytes") return lengthsBefore(bytes, count);
    return fixed(part(bytes, count * width), count);
  }
  if (encoding === SPLIT && width > 1) return fixed(joined(part(bytes, count * width), count, width), count);
  if (encoding === DELTA && (physical === "int32" || physical === "int64")) {
    const numbers = physical === "int32" ? new Int32Array(count) : new BigInt64Array(count);
    unpack({ view: viewOf(bytes), offset: 0 }, numbers);
    return fixed(Buffer.from(numbers.buffer), count);
  }
  if (encoding === DELTA_LENGTH && physical === "bytes") return lengthsFirst(bytes, count);
  if (encoding === DELTA_BYTES && (physical === "bytes" || physical === "fixed"))
    return checkWidth(prefixed(bytes, count, bytesMax, where), width);
  throw damaged(`${where} has values of the type ${leaf.type} in encoding ${encoding}, which is not read`);
}

const fixed = (bytes: Buffer, count: number): Values => ({ count, bytes, starts: undefined, gap: 0 });

function part(bytes: Buffer, length: number): Buffer {
  if (length > bytes.length) throw new Error("cut short");
  return bytes.subarray(0, length);
}

export const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function bits(bytes: Buffer, count: number): Buffer {
  const packed = part(bytes, Math.ceil(count / 8));
  const flags = Buffer.allocUnsafe(count);
  for (let i = 0; i < count; i++) flags[i] = (packed[i >> 3]! >> (i & 7)) & 1;
  return flags;
}

/** BYTE_STREAM_SPLIT: the first byte of all, then the second of all ... */
function joined(bytes: Buffer, count: number, width: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes.length);
  for (let byte = 0; byte < width; byte++)
    for (let i = 0, from = byte * count, to = byte; i < count; i++, to += width) whole[to] = bytes[from + i]!;
  return whole;
}

function lengthsBefore(bytes: Buffer, count: number): Values {
  if (4 * count > bytes.length) throw new Error("cut short");
  const starts = new Int32Array(count + 1);
  const view = viewOf(bytes);
  let at = 0;
  for (let i = 0; i < count; i++) {
    starts[i] = at + 4;
    at += 4 + view.getUint32(at, true);
    if (at > bytes.length) throw new Error("cut short");
  }
  starts[count] = at + 4;
  return { count, bytes, starts, gap: 4 };
}

/** Starts are held in 32 bits. */
const INT32_MAX = 0x7fff_ffff;

type Reader = Parameters<typeof deltaBinaryUnpack>[0];

/**
 * hyparquet believes what stands at the front: with blocks of a negative size it goes back, and never ends. And of a 32-bit column's first
 * value it loses the 33rd bit, which DuckDB writes for an unsigned one; each value after it is then wrong by as much.
 */
function unpack(reader: Reader, into: Int32Array | BigInt64Array): void {
  const { offset, view } = reader;
  const [block, parts, count] = [readVarInt(reader), readVarInt(reader), readVarInt(reader)];
  const isSound = block > 0 && block <= 1_048_576 && parts > 0 && block % parts === 0 && (block / parts) % 8 === 0;
  if (!isSound || count !== into.length) throw new Error("no such blocks");
  const first = reader.offset;
  readVarInt(reader);
  const is33 = reader.offset - first === 5 && (view.getUint8(first + 4) & 0x10) !== 0;
  reader.offset = offset;
  deltaBinaryUnpack(reader, into.length, into);
  if (is33 && into instanceof Int32Array) for (let i = 0; i < into.length; i++) into[i] = into[i]! ^ -0x8000_0000;
}

function lengthsOf(reader: Reader, count: number): Int32Array {
  const lengths = new Int32Array(count);
  unpack(reader, lengths);
  if (lengths.some((length) => length < 0)) throw new Error("a length below 0");
  return lengths;
}

function lengthsFirst(bytes: Buffer, count: number): Values {
  const reader = { view: viewOf(bytes), offset: 0 };
  const lengths = lengthsOf(reader, count);
  const starts = new Int32Array(count + 1);
  let at = reader.offset;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    at += lengths[i]!;
    if (at > bytes.length) throw new Error("cut short");
  }
  starts[count] = at;
  return { count, bytes, starts, gap: 0 };
}

/** DELTA_BYTE_ARRAY: each begins as the one before it does. */
function prefixed(bytes: Buffer, count: number, bytesMax: number, where: string): Values {
  const reader = { view: viewOf(bytes), offset: 0 };
  const same = lengthsOf(reader, count);
  const ends = lengthsFirst(bytes.subarray(reader.offset), count);
  const from = ends.starts!;
  const starts = new Int32Array(count + 1);
  const most = Math.min(bytesMax, INT32_MAX);
  for (let i = 0, at = 0; i < count; i++) {
    if (same[i]! > (i === 0 ? 0 : starts[i]! - starts[i - 1]!)) throw new Error("a prefix of nothing");
    at += same[i]! + from[i + 1]! - from[i]!;
    // few bytes can stand for any number of them
    if (at > most) throw damaged(`the values of ${where} have more bytes than data.limits.memory allows`);
    starts[i + 1] = at;
  }
  const whole = Buffer.allocUnsafe(starts[count]!);
  for (let i = 0; i < count; i++) {
    const at = starts[i]!;
    if (i > 0) whole.copyWithin(at, starts[i - 1]!, starts[i - 1]! + same[i]!);
    ends.bytes.copy(whole, at + same[i]!, from[i], from[i + 1]);
  }
  return { count, bytes: whole, starts, gap: 0 };
}

/** Of one length where the type says so. */
function checkWidth(values: Values, width: number): Values {
  if (width === 0) return values;
  const { starts, count, bytes } = values;
  for (let i = 0; i < count; i++) if (starts![i + 1]! - starts![i]! !== width) throw new Error("of another length");
  return fixed(bytes, count);
}

/**
 * RLE and bit-packed runs in turn: fills the array.
 * @param width bits of a number
 * @param limit that each is below
 * @throws {Error} where they are fewer, or another
 */
export function hybrid(bytes: Buffer, width: number, into: Uint8Array | Int32Array, limit: number): void {
  const count = into.length;
  if (width > 32) throw new Error("too wide");
  let [at, seen] = [0, 0];
  const check = (value: number): number => {
    if (value >= limit) throw new Error("beyond the last one");
    return value;
  };
  if (width === 0) {
    if (count > 0) check(0);
    into.fill(0);
    return;
  }
  while (seen < count) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.readUInt8(at++);
      if (shift > 28) throw new Error("a run without an end");
      header |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    header >>>= 0;
    if ((header & 1) === 0) {
      const size = (width + 7) >> 3;
      const value = check(bytes.readUIntLE(at, size));
      at += size;
      const end = Math.min(count, seen + (header >>> 1));
      into.fill(value, seen, end);
      seen = end;
      continue;
    }
    const values = Math.min(count - seen, (header >>> 1) * 8);
    if (Math.ceil((values * width) / 8) > bytes.length - at) throw new Error("cut short");
    const largest =
      width <= 24 ? unpackBits(bytes, at, width, into, seen, values) : unpackWide(bytes, at, width, into, seen, values);
    check(largest);
    seen += values;
    at += (header >>> 1) * width;
  }
}

type Target = Uint8Array | Int32Array;

/** @returns the largest */
function unpackBits(bytes: Buffer, from: number, width: number, into: Target, first: number, count: number): number {
  const mask = 2 ** width - 1;
  let [at, held, bits, largest] = [from, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    while (bits < width) {
      held |= bytes[at++]! << bits;
      bits += 8;
    }
    const value = held & mask;
    if (value > largest) largest = value;
    into[first + i] = value;
    held >>>= width;
    bits -= width;
  }
  return largest;
}

/** Of numbers that with seven bits more are beyond a 32-bit integer. */
function unpackWide(bytes: Buffer, from: number, width: number, into: Target, first: number, count: number): number {
  let largest = 0;
  for (let i = 0; i < count; i++) {
    let value = 0;
    for (let bit = 0, at = i * width; bit < width; bit++, at++)
      value += ((bytes[from + (at >> 3)]! >> (at & 7)) & 1) * 2 ** bit;
    if (value > largest) largest = value;
    into[first + i] = value;
  }
  return largest;
}

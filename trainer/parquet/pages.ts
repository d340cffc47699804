/** The pages of one column in one row group, one after the other: each is read, checked and decompressed when it is its turn. */
import { readSync } from "node:fs";
import { codecOf } from "./codecs.ts";
import { damaged } from "./damaged.ts";
import type { ColumnChunk, ParquetColumn } from "./footer.ts";
import { countOf, readStruct, structOf, type Struct } from "./thrift.ts";
import type { Leaf } from "./types.ts";
import { decodeValues, hybrid, PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, type Values } from "./values.ts";

/** A file that is open, and what reading it may take. */
export interface Source {
  readonly file: number;
  /** bytes of pages: what is behind is the footer */
  readonly end: number;
  readonly room: Room;
}

/** What the pages that are held take together, and how much came out of all of them. */
export class Room {
  readonly #memory: number;
  readonly #bytesMax: number;
  #held = 0;
  #unpacked = 0;

  constructor(memory: number, bytesMax: number) {
    this.#memory = memory;
    this.#bytesMax = bytesMax;
  }

  get left(): number {
    return this.#memory - this.#held;
  }

  /** @throws {BadItem} before anything of it is there */
  take(bytes: number, where: string): void {
    if (bytes > this.left) throw damaged(`the pages of ${where} need more memory than data.limits.memory allows`);
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  unpack(bytes: number): void {
    this.#unpacked += bytes;
    if (this.#unpacked > this.#bytesMax) throw damaged("its pages have more bytes than data.limits.bytes allows");
  }
}

export interface Page {
  /** of its values and of what is null */
  readonly levels: { readonly values: Uint8Array | undefined; readonly repetitions: Uint8Array | undefined };
  /** with those that are null */
  readonly count: number;
  /** of those that are there: of the dictionary, or of the page itself */
  readonly values: Values;
  /** into the dictionary; undefined: the values are the page's own */
  readonly indexes: Int32Array | undefined;
}

/** What is read to find a page's header in; most have less than a hundred bytes. */
const HEADER_BYTES = 1_024;
const HEADER_BYTES_MAX = 16_777_216;
const HEADER_VALUES_MAX = 10_000;
/** Of a value that is decoded: its place, its level and its number. */
const VALUE_BYTES = 24;
const [DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2] = [0, 2, 3];

export class Pages {
  readonly #source: Source;
  readonly #column: ParquetColumn;
  readonly #leaf: Leaf;
  readonly #decompress: ReturnType<typeof codecOf>;
  readonly #where: string;
  #at: number;
  #dictionary: Values | undefined;
  #dictionaryBytes = 0;
  #pageBytes = 0;

  /** @param where "column "x"" */
  constructor(source: Source, column: ParquetColumn, leaf: Leaf, chunk: ColumnChunk, where: string) {
    this.#source = source;
    this.#column = column;
    this.#leaf = leaf;
    this.#decompress = codecOf(chunk.codec, where);
    this.#where = where;
    this.#at = chunk.start;
  }

  /** @param countMax values that may be left @returns the next one with data; the one before it is no more there @throws {Error} */
  next(countMax: number): Page {
    for (;;) {
      this.#giveBack();
      const header = this.#header();
      const type = countOf(header.field_1);
      const [size, packed] = [countOf(header.field_2), countOf(header.field_3)];
      if (packed > this.#source.end - this.#at) throw damaged(`${this.#where} is cut short`);
      if (type === DICTIONARY_PAGE) this.#readDictionary(structOf(header.field_7), size, packed);
      else if (type === DATA_PAGE) return this.#dataPage(structOf(header.field_5), size, packed, countMax);
      else if (type === DATA_PAGE_V2) return this.#dataPage2(structOf(header.field_8), size, packed, countMax);
      else this.#at += packed; // an index, which nobody needs
    }
  }

  /** Of the page at hand only so many bytes are still there. */
  keep(bytes: number): void {
    this.#giveBack();
    this.#source.room.take(bytes, this.#where);
    this.#pageBytes = bytes;
  }

  close(): void {
    this.#giveBack();
    this.#source.room.give(this.#dictionaryBytes);
    this.#dictionaryBytes = 0;
    this.#dictionary = undefined;
  }

  #giveBack(): void {
    this.#source.room.give(this.#pageBytes);
    this.#pageBytes = 0;
  }

  #header(): Struct {
    const left = this.#source.end - this.#at;
    for (let length = HEADER_BYTES; ; length *= 4) {
      const bytes = this.#bytes(Math.min(left, length));
      const read = bytes.length === 0 ? undefined : readStruct(bytes, HEADER_VALUES_MAX);
      if (read !== undefined) {
        this.#at += read.length;
        return read.struct;
      }
      if (length >= left || length >= HEADER_BYTES_MAX)
        throw damaged(`${this.#where} has fewer rows than its row group`);
    }
  }

  #bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length;) {
      const read = readSync(this.#source.file, bytes, at, length - at, this.#at + at);
      if (read === 0) throw damaged(`${this.#where} is cut short`);
      at += read;
    }
    return bytes;
  }

  /** The page's bytes, of which the first are not packed. */
  #take(packed: number): Buffer {
    const bytes = this.#bytes(packed);
    this.#at += packed;
    return bytes;
  }

  #readDictionary({ field_1: values, field_2: encoding }: Struct, size: number, packed: number): void {
    if (this.#dictionary !== undefined) throw damaged(`${this.#where} has two dictionaries`);
    const count = countOf(values);
    const { width, physical } = this.#leaf;
    const atLeast = physical === "boolean" ? 1 : width || 4;
    const known = encoding === PLAIN || encoding === PLAIN_DICTIONARY;
    if (!known || count * atLeast > size) throw damaged(`the dictionary of ${this.#where} is damaged`);
    this.#dictionaryBytes = this.#claim(size, packed, count);
    const bytes = this.#unpack(this.#take(packed), size);
    this.#dictionary = this.#decode(bytes, count, PLAIN);
  }

  #claim(size: number, packed: number, count: number): number {
    const bytes = size + packed + VALUE_BYTES * count;
    this.#source.room.take(bytes, this.#where);
    return bytes;
  }

  #unpack(bytes: Buffer, size: number): Buffer {
    this.#source.room.unpack(size);
    const unpacked = this.#decompress(bytes, size);
    return Buffer.from(unpacked.buffer, unpacked.byteOffset, unpacked.length);
  }

  #decode(bytes: Buffer, count: number, encoding: number): Values {
    const [leaf, where, bytesMax] = [this.#leaf, this.#where, this.#source.room.left];
    return decodeValues(bytes, { count, encoding, leaf, where, bytesMax });
  }

  #checkCount(values: unknown, countMax: number): number {
    const count = countOf(values);
    if (count > countMax) throw damaged(`${this.#where} has more rows than its row group`);
    return count;
  }

  #dataPage(header: Struct, size: number, packed: number, countMax: number): Page {
    const count = this.#checkCount(header.field_1, countMax);
    this.#pageBytes = this.#claim(size, packed, count);
    let bytes = this.#unpack(this.#take(packed), size);
    const levels = (max: number, encoding: unknown): Uint8Array | undefined => {
      if (max === 0) return undefined;
      if (encoding !== RLE) throw damaged(`${this.#where} has levels in an encoding that is not read`);
      const length = bytes.readUInt32LE(0);
      if (length > bytes.length - 4) throw new Error("cut short");
      const read = levelsOf(bytes.subarray(4, 4 + length), max, count);
      bytes = bytes.subarray(4 + length);
      return read;
    };
    const repetitions = levels(this.#column.levels.element > 0 ? 1 : 0, header.field_4);
    const values = levels(this.#column.levels.value, header.field_3);
    return this.#page(bytes, count, { repetitions, values }, countOf(header.field_2));
  }

  #dataPage2(header: Struct, size: number, packed: number, countMax: number): Page {
    const count = this.#checkCount(header.field_1, countMax);
    const [ofValues, ofRepetitions] = [countOf(header.field_5), countOf(header.field_6)];
    const before = ofValues + ofRepetitions;
    if (before > Math.min(size, packed)) throw new Error("cut short");
    this.#pageBytes = this.#claim(size, packed, count);
    const bytes = this.#take(packed);
    const { levels } = this.#column;
    const repetitions = levels.element > 0 ? levelsOf(bytes.subarray(0, ofRepetitions), 1, count) : undefined;
    const values = levels.value > 0 ? levelsOf(bytes.subarray(ofRepetitions, before), levels.value, count) : undefined;
    const rest = bytes.subarray(before);
    const isPacked = header.field_7 !== false;
    if (!isPacked && rest.length !== size - before) throw new Error("of another size than its header says");
    if (!isPacked) this.#source.room.unpack(rest.length); // many row groups may name the same page
    const data = isPacked ? this.#unpack(rest, size - before) : rest;
    return this.#page(data, count, { repetitions, values }, countOf(header.field_4));
  }

  #page(bytes: Buffer, count: number, levels: Page["levels"], encoding: number): Page {
    const max = this.#column.levels.value;
    let there = count;
    if (levels.values !== undefined) for (const level of levels.values) if (level !== max) there--;
    if (encoding !== RLE_DICTIONARY && encoding !== PLAIN_DICTIONARY) {
      const values = this.#decode(bytes, there, encoding);
      return { levels, count, values, indexes: undefined };
    }
    const indexes = new Int32Array(there);
    // all of them null: there may be no dictionary
    const values = this.#dictionary ?? this.#decode(bytes, 0, PLAIN);
    if (there > 0) hybrid(bytes.subarray(1), bytes.readUInt8(0), indexes, values.count);
    return { levels, count, values, indexes };
  }
}

function levelsOf(bytes: Buffer, max: number, count: number): Uint8Array {
  const levels = new Uint8Array(count);
  hybrid(bytes, 32 - Math.clz32(max), levels, max + 1);
  return levels;
}

/** Parquet: columns have types, so numbers come as numbers, and a column that is no number and no text is named. Page by page. */
import { closeSync, createWriteStream, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sizeText } from "../protocol/units.ts";
import { chunksOf, openBytes, type ByteSource } from "./byte-source.ts";
import { COLUMNS_MAX } from "./csv-scan.ts";
import { BadItem, shown } from "./item-records.ts";
import { Cursor, type Mode } from "./parquet/cursor.ts";
import { asDamaged, damaged } from "./parquet/damaged.ts";
import { encrypted, readFooter, type Footer } from "./parquet/footer.ts";
import { Room, type Source } from "./parquet/pages.ts";
import { AS_LIST, AS_STRING, AS_TEXT, type Cells, type TableScan } from "./table-scan.ts";

export const parquetRecord = (record: number): string => `row ${record + 1}`;

export interface ParquetOptions {
  /** a packed file is unpacked to there: Parquet is not read from its front to its end */
  readonly scratch: string;
  /** bytes: data.limits.bytes */
  readonly bytesMax: number;
  /** bytes that footer and pages may take */
  readonly memory: number;
}

/** @throws {BadItem} */
export async function openParquet(path: string, options: ParquetOptions): Promise<TableScan> {
  const source = openBytes(path, options.bytesMax);
  if (source.packing === null) return new ParquetScan(path, options);
  const to = join(options.scratch, "unpacked");
  await pipeline(Readable.from(copied(source), { objectMode: false }), createWriteStream(to));
  return new ParquetScan(to, options);
}

async function* copied(source: ByteSource): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunksOf(source)) yield Buffer.from(chunk); // a stream may hold several
}

const NUMBERS = /^(U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))$/;
const FLOATS = /^(FLOAT|DOUBLE)$/;
const TEXTS = /^(VARCHAR|BOOLEAN|UUID)$/;
const TIMES = /^(DATE|TIMESTAMP.*)$/;
const LISTS = /^(VARCHAR|U?(TINY|SMALL|BIG)?INT(EGER)?)\[\]$/;

class ParquetScan implements TableScan {
  readonly names: readonly string[];
  readonly typed = true;
  readonly #path: string;
  readonly #options: ParquetOptions;
  readonly #footer: Footer;
  readonly #end: number;
  #row = 0;
  #cursors: readonly Cursor[] = [];

  constructor(path: string, options: ParquetOptions) {
    this.#path = path;
    this.#options = options;
    const file = openSync(path, "r");
    try {
      const { bytes, start } = footerBytes(file, options.memory);
      this.#end = start;
      this.#footer = readFooter(bytes, options.memory);
    } catch (error) {
      throw asDamaged(error, "its footer");
    } finally {
      closeSync(file);
    }
    this.names = this.#footer.columns.map(({ name }) => name);
    this.#checkSize(options.bytesMax);
  }

  async read(cells: Cells, each: () => boolean): Promise<void> {
    const { columns, groups, rows } = this.#footer;
    const cursors = columns.flatMap((_, column) =>
      cells.as[column] === 0 ? [] : [this.#cursor(column, cells.as[column]!)],
    );
    this.#cursors = cursors;
    this.#row = 0;
    const file = openSync(this.#path, "r");
    const room = new Room(this.#options.memory, this.#options.bytesMax);
    const source: Source = { file, end: this.#end, room };
    try {
      for (const group of groups) {
        if (group.rows === 0) continue;
        // only the footer's are counted against the limits
        if (group.rows > rows - this.#row) throw damaged("its row groups have more rows than its footer says");
        for (const cursor of cursors) cursor.start(source, group);
        for (let left = group.rows; left > 0;) {
          const count = nextRows(cursors, left);
          if (!this.#rows(cells, count, each)) return;
          left -= count;
        }
      }
    } finally {
      closeSync(file);
    }
    if (this.#row !== rows) throw new BadItem(`it says that it has ${rows} rows, but ${this.#row} could be read`);
  }

  cell(column: number): unknown {
    return this.#cursors.find((cursor) => cursor.column === column)?.cell() ?? null;
  }

  place(): string {
    return parquetRecord(this.#row);
  }

  expected(): number {
    return this.#footer.rows;
  }

  #checkSize(bytesMax: number): void {
    const { rows, bytes } = this.#footer;
    const columns = this.names.length;
    if (columns > COLUMNS_MAX) throw new BadItem(`${columns} columns are more than ${COLUMNS_MAX}`);
    // a row of a few bits may be any number of them: what comes of it counts
    const expected = Math.max(bytes, 4 * rows * columns);
    if (expected > bytesMax)
      throw new BadItem(
        `its ${rows} rows of ${columns} columns have ${sizeText(expected)}: more than ${sizeText(bytesMax)} (data.limits.bytes)`,
      );
  }

  #rows(cells: Cells, count: number, each: () => boolean): boolean {
    const cursors = this.#cursors;
    for (let i = 0; i < count; i++) {
      for (const cursor of cursors) cursor.store(cells);
      if (!each()) return false;
      for (const cursor of cursors) cursor.at++;
      this.#row++;
    }
    return true;
  }

  /** @throws {BadItem} for a type that can't be what is asked for */
  #cursor(column: number, how: number): Cursor {
    const of = this.#footer.columns[column]!;
    const mode = modeOf(of.type, how);
    if (mode === undefined || of.leaf === undefined)
      throw new BadItem(
        `column ${shown(of.name)} has the type ${shown(of.type).replaceAll('"', "")}: expected numbers, texts or booleans; data.features can leave it out`,
      );
    return new Cursor(column, how, mode, { column: of, leaf: of.leaf, where: `column ${shown(of.name)}` });
  }
}

function modeOf(type: string, how: number): Mode | undefined {
  const isText = how === AS_TEXT || (how & AS_STRING) !== 0;
  if (NUMBERS.test(type) && (FLOATS.test(type) || !isText)) return "number";
  if (NUMBERS.test(type) || TEXTS.test(type)) return "text";
  if ((how & AS_STRING) !== 0 && TIMES.test(type)) return "text";
  return (how & AS_LIST) !== 0 && LISTS.test(type) ? "list" : undefined;
}

/** So many rows are there in the pages at hand. */
function nextRows(cursors: readonly Cursor[], left: number): number {
  let count = left;
  for (const cursor of cursors) {
    cursor.fill();
    count = Math.min(count, cursor.length - cursor.at);
  }
  return count;
}

const MAGIC_BYTES = 4;

/** @param memory bytes that it may take @throws {BadItem} */
function footerBytes(file: number, memory: number): { bytes: Buffer; start: number } {
  const { size } = fstatSync(file);
  const [front, back] = [read(file, 0, MAGIC_BYTES), read(file, Math.max(0, size - 2 * MAGIC_BYTES), 2 * MAGIC_BYTES)];
  const [start, end] = [front.toString("latin1"), back.toString("latin1").slice(-MAGIC_BYTES)];
  if (start === "PARE") throw encrypted();
  if (start !== "PAR1") throw new BadItem("it is no Parquet: such a file begins with PAR1");
  if (end !== "PAR1" || size < 3 * MAGIC_BYTES) throw new BadItem("it is cut short: a Parquet file ends with PAR1");
  const length = back.readUInt32LE(0);
  const at = size - 2 * MAGIC_BYTES - length;
  if (at < MAGIC_BYTES) throw damaged(`its footer of ${sizeText(length)} is larger than the file`);
  if (length > memory / 4)
    throw damaged(`its footer of ${sizeText(length)} needs more memory than data.limits.memory allows`);
  return { bytes: read(file, at, length), start: at };
}

function read(file: number, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let at = 0;
  for (let got = 1; got > 0 && at < length; at += got) got = readSync(file, bytes, at, length - at, from + at);
  return bytes.subarray(0, at);
}

/** JSONL: a flat JSON object a line. A line that is written as the first one is read from its bytes; any other by JSON.parse. */
import type { ByteSource } from "./byte-source.ts";
import { COLUMNS_MAX } from "./csv-scan.ts";
import { messageOf } from "../protocol/errors.ts";
import { BadItem, shown } from "./item-records.ts";
import { checkLine, expectedRecords, LineBuffer, readLines } from "./line-buffer.ts";
import { OTHERWISE, readNumber } from "./read-number.ts";
import { AS_LIST, AS_STRING, AS_TEXT, NONE, type Cells, type TableScan } from "./table-scan.ts";

const [LF, CR, TAB, QUOTE, SPACE, COMMA, COLON, OPEN, CLOSE, BACKSLASH] = [
  0x0a, 0x0d, 0x09, 0x22, 0x20, 0x2c, 0x3a, 0x7b, 0x7d, 0x5c,
];

type Row = Readonly<Record<string, unknown>>;

/** @throws {BadItem} with the line, where the file does not begin with a flat JSON object */
export async function openJsonl(source: ByteSource): Promise<TableScan> {
  const scan = new JsonlScan(source);
  await scan.readNames();
  return scan;
}

class JsonlScan implements TableScan {
  names: readonly string[] = [];
  readonly typed = true;
  readonly #source: ByteSource;
  #buffer: LineBuffer;
  #line = 1;
  #firstLine = 1;
  /** where the line at hand ends */
  #stop = 0;
  #keys: readonly Uint8Array[] = [];
  #known: ReadonlyMap<string, number> = new Map();

  constructor(source: ByteSource) {
    this.#source = source;
    this.#buffer = new LineBuffer(source);
  }

  async readNames(): Promise<void> {
    let found = false;
    await this.#lines(() => {
      found = true;
      this.#firstLine = this.#line;
      this.names = Object.keys(this.#row());
      return false;
    });
    if (!found) throw new BadItem("it is empty: expected a JSON object in each line");
    if (this.names.length > COLUMNS_MAX)
      throw new BadItem(`line ${this.#firstLine}: ${this.names.length} columns are more than ${COLUMNS_MAX}`);
    this.#keys = this.names.map((name) => Buffer.from(JSON.stringify(name)));
    this.#known = new Map(this.names.map((name, i) => [name, i]));
  }

  async read(cells: Cells, each: () => boolean): Promise<void> {
    await this.#lines(() => {
      if (!this.#fast(cells)) this.#slow(cells);
      return each();
    });
  }

  cell(column: number): unknown {
    const row = this.#row();
    const name = this.names[column]!;
    return Object.hasOwn(row, name) ? row[name]! : null;
  }

  place(): string {
    return `line ${this.#line}`;
  }

  expected(recordsSoFar: number): number {
    return expectedRecords(this.#source, this.#buffer, recordsSoFar);
  }

  async #lines(each: () => boolean): Promise<void> {
    const buffer = new LineBuffer(this.#source);
    this.#buffer = buffer;
    this.#line = 1;
    await readLines(
      buffer,
      () => this.#line,
      () => this.#take(buffer, each),
    );
  }

  #take(buffer: LineBuffer, each: () => boolean): boolean {
    while (buffer.at < buffer.end) {
      if (buffer.bytes[buffer.at] === LF) {
        buffer.at++;
        this.#line++;
        continue;
      }
      const { bytes, end } = buffer;
      let stop = bytes.indexOf(LF, buffer.at);
      if (stop === -1 || stop >= end) {
        if (!buffer.ended) return true;
        stop = end;
      }
      checkLine(this.#line, stop - buffer.at);
      this.#stop = stop;
      if (!this.#isBlank(bytes, buffer.at, stop) && !each()) return false;
      this.#line++;
      buffer.at = Math.min(stop + 1, end);
    }
    return true;
  }

  #isBlank(bytes: Uint8Array, from: number, to: number): boolean {
    const at = skipSpace(bytes, from);
    return at >= to || (bytes[at]! !== OPEN && this.#text().trim() === "");
  }

  #text(): string {
    return this.#buffer.bytes.toString("utf8", this.#buffer.at, this.#stop);
  }

  /** @returns false: the line is written in another way than the first, or is at fault */
  #fast({ as, numbers, indexes, texts, strings }: Cells): boolean {
    const { bytes } = this.#buffer;
    const columns = this.#keys.length;
    let at = skipSpace(bytes, this.#buffer.at);
    if (bytes[at] !== OPEN) return false;
    for (let column = 0; column < columns; column++) {
      at = skipSpace(bytes, at + 1);
      const key = this.#keys[column]!;
      for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false;
      at = skipSpace(bytes, at + key.length);
      if (bytes[at] !== COLON) return false;
      at = skipSpace(bytes, at + 1);
      const how = as[column]!;
      if (bytes[at] === QUOTE) {
        const from = ++at;
        for (let byte = bytes[at]!; byte !== QUOTE; byte = bytes[++at]!)
          if (byte < SPACE || byte === BACKSLASH) return false;
        numbers[column] = NaN;
        if ((how & AS_TEXT) !== 0) indexes[column] = texts[column]!.ofBytes(bytes, from, at);
        if ((how & AS_STRING) !== 0) strings[column] = bytes.toString("utf8", from, at);
        at++;
      } else {
        const end = readNumber(bytes, at, numbers, column);
        if (end === OTHERWISE) return false;
        if ((how & AS_TEXT) !== 0) indexes[column] = this.#textOfNumber(texts[column]!, numbers[column]!, at, end);
        if ((how & AS_STRING) !== 0) strings[column] = String(numbers[column]!);
        at = end;
      }
      at = skipSpace(bytes, at);
      if (bytes[at] !== (column === columns - 1 ? CLOSE : COMMA)) return false;
    }
    return columns > 0 && skipSpace(bytes, at + 1) >= this.#stop;
  }

  /** As JavaScript writes it: 7 and "7" are one class. */
  #textOfNumber(texts: Cells["texts"][number], value: number, from: number, to: number): number {
    const { bytes } = this.#buffer;
    let at = from;
    while (bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++;
    return at === to && value < 1e15 ? texts.ofBytes(bytes, from, to) : texts.ofText(String(value));
  }

  #slow(cells: Cells): void {
    const row = this.#row();
    const extra = Object.keys(row).find((name) => !this.#known.has(name));
    if (extra !== undefined) throw new BadItem(`line ${this.#line}: ${shown(extra)} is not in line ${this.#firstLine}`);
    for (const [column, name] of this.names.entries()) {
      const how = cells.as[column]!;
      const cell = Object.hasOwn(row, name) ? row[name]! : null;
      // what nobody asks for may be anything
      if (how !== 0 && isNested(cell) && !(Array.isArray(cell) && (how & AS_LIST) !== 0))
        throw this.#nested(name, cell);
      cells.numbers[column] = typeof cell === "number" ? cell : NaN;
      if ((how & AS_TEXT) !== 0)
        cells.indexes[column] = cell === null ? NONE : cells.texts[column]!.ofText(String(cell));
      if ((how & AS_STRING) !== 0) cells.strings[column] = cell === null || isNested(cell) ? null : String(cell);
    }
  }

  #nested(name: string, cell: unknown): BadItem {
    const what = Array.isArray(cell) ? "a list" : "an object";
    return new BadItem(
      `line ${this.#line}, column ${shown(name)}: expected a number, a text or a boolean, not ${what}`,
    );
  }

  #row(): Row {
    const text = this.#text();
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new BadItem(`line ${this.#line}: ${messageOf(error)}`);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new BadItem(`line ${this.#line}: ${shown(text)} is no JSON object`);
    return { ...value };
  }
}

const isNested = (cell: unknown): boolean => typeof cell === "object" && cell !== null;

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (let byte = bytes[at]; byte === SPACE || byte === TAB || byte === CR;) byte = bytes[++at];
  return at;
}

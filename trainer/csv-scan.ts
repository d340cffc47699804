/**
 * CSV and TSV after RFC 4180, byte by byte: where each record begins, to the line, and of each cell that is asked for the number or the
 * text. One pass over the bytes, so nothing of a file is held but the record at hand.
 */
import type { ByteSource } from "./byte-source.ts";
import { BadItem } from "./item-records.ts";
import { checkLine, expectedRecords, LINE_BYTES_MAX, LineBuffer } from "./line-buffer.ts";
import { numberOf } from "./schema.ts";
import { OTHERWISE, readNumber } from "./read-number.ts";
import { AS_NUMBER, AS_STRING, AS_TEXT, NONE, type Cells, type TableScan } from "./table-scan.ts";

/** Any table of the config has fewer. */
export const COLUMNS_MAX = 10_001;

const [LF, CR, QUOTE, SPACE] = [0x0a, 0x0d, 0x22, 0x20];
/** The record goes on behind the bytes that are at hand. */
const MORE = -1;

/** @throws {BadItem} if there is no header row, or where it is none */
export async function openCsv(source: ByteSource, delimiter: string): Promise<TableScan> {
  const scan = new CsvScan(source, delimiter.charCodeAt(0));
  await scan.readHeader();
  return scan;
}

class CsvScan implements TableScan {
  names: readonly string[] = [];
  readonly typed = false;
  readonly #source: ByteSource;
  readonly #delimiter: number;
  #buffer: LineBuffer;
  /** of the record's first character, from 1 */
  #line = 1;
  // of the field that was read last
  #from = 0;
  #to = 0;
  #doubled = false;
  #fault: "unterminated" | "after-quote" | undefined;
  #inQuote = false;
  /** within the record's quotes */
  #lineEnds = 0;

  constructor(source: ByteSource, delimiter: number) {
    this.#source = source;
    this.#delimiter = delimiter;
    this.#buffer = new LineBuffer(source);
  }

  async readHeader(): Promise<void> {
    try {
      await this.#top();
    } finally {
      await this.#buffer.close();
    }
  }

  async read(cells: Cells, each: () => boolean): Promise<void> {
    const buffer = await this.#top();
    try {
      while (this.#take(buffer, cells, each) && !buffer.ended) {
        this.#checkLength(buffer.end - buffer.at);
        await buffer.more(this.#line);
      }
    } finally {
      await buffer.close();
    }
  }

  cell(column: number): string | null {
    const cells = this.#strings(this.#buffer);
    return cells === undefined || cells[column] === "" ? null : (cells[column] ?? null);
  }

  place(): string {
    return `line ${this.#line}`;
  }

  expected(recordsSoFar: number): number {
    return expectedRecords(this.#source, this.#buffer, recordsSoFar);
  }

  /** To the first record behind the header. */
  async #top(): Promise<LineBuffer> {
    this.#buffer = new LineBuffer(this.#source);
    this.#line = 1;
    this.#fault = undefined; // of the time before
    this.#inQuote = false;
    const buffer = this.#buffer;
    for (;;) {
      await buffer.more(this.#line);
      if (!this.#skipBlank(buffer)) continue;
      if (buffer.at === buffer.end && !buffer.ended) continue;
      if (buffer.at === buffer.end) throw new BadItem("it is empty: expected a header row with the columns' names");
      const names = this.#strings(buffer);
      this.#checkLength((names === undefined ? buffer.end : this.#to) - buffer.at);
      if (names === undefined) continue;
      if (names.length > COLUMNS_MAX)
        throw new BadItem(`line ${this.#line}: ${names.length} columns are more than ${COLUMNS_MAX}`);
      this.names = names;
      this.#leave(buffer, this.#to);
      return buffer;
    }
  }

  /** Takes whole records from the buffer's front. @returns false: no more are wanted */
  #take(buffer: LineBuffer, cells: Cells, each: () => boolean): boolean {
    const { as, numbers } = cells;
    const columns = as.length;
    const delimiter = this.#delimiter;
    while (this.#skipBlank(buffer) && buffer.at < buffer.end) {
      const { bytes } = buffer;
      this.#lineEnds = 0;
      let at = buffer.at;
      let column = 0;
      for (;;) {
        const how = column < columns ? as[column]! : 0;
        let stop = MORE;
        if (how === AS_NUMBER) {
          const end = readNumber(bytes, at, numbers, column);
          const byte = end === OTHERWISE ? 0 : bytes[end];
          if (byte === delimiter) {
            column++; // what most cells are
            at = end + 1;
            continue;
          }
          if (byte === LF || byte === CR) stop = end;
        }
        if (how === AS_TEXT || how === 0) {
          let end = at;
          let byte = bytes[end];
          if (byte !== QUOTE && byte !== SPACE) {
            while (byte !== delimiter && byte !== LF && byte !== CR && end < buffer.end) byte = bytes[++end];
            if (end < buffer.end) stop = end;
            if (how === AS_TEXT && end < buffer.end)
              cells.indexes[column] = end === at ? NONE : cells.texts[column]!.ofBytes(bytes, at, end);
          }
        }
        if (stop === MORE) {
          stop = this.#field(buffer, at);
          if (stop === MORE) return true;
          if (how !== 0) this.#store(cells, column, how, bytes);
        }
        column++;
        at = stop + 1;
        if (bytes[stop] !== delimiter || stop >= buffer.end) break;
      }
      const stop = at - 1;
      if (stop === buffer.end - 1 && bytes[stop] === CR && !buffer.ended) return true; // is it CRLF?
      this.#checkRecord(column, columns, stop - buffer.at);
      if (!each()) return false;
      this.#leave(buffer, stop);
    }
    return true;
  }

  /** Past blank lines. @returns false: more bytes are needed to tell */
  #skipBlank(buffer: LineBuffer): boolean {
    const { bytes, end } = buffer;
    let { at } = buffer;
    while (at < end && (bytes[at] === LF || bytes[at] === CR)) {
      if (bytes[at] === CR && at + 1 === end && !buffer.ended) break;
      at += bytes[at] === CR && bytes[at + 1] === LF && at + 1 < end ? 2 : 1;
      this.#line++;
    }
    buffer.at = at;
    return !(at + 1 === end && bytes[at] === CR && !buffer.ended);
  }

  /** @param stop where the record's line end is, or the end of all */
  #leave(buffer: LineBuffer, stop: number): void {
    const crLf = buffer.bytes[stop] === CR && buffer.bytes[stop + 1] === LF && stop + 1 < buffer.end;
    buffer.at = Math.min(stop + (crLf ? 2 : 1), buffer.end);
    this.#line += 1 + this.#lineEnds;
  }

  /** @returns where it ends: at a delimiter, a line end, or the end of all; MORE */
  #field(buffer: LineBuffer, start: number): number {
    const { bytes, end } = buffer;
    const delimiter = this.#delimiter;
    let at = start;
    this.#doubled = false;
    while (bytes[at] === SPACE) at++;
    if (bytes[at] === QUOTE && at < end) {
      at = this.#quoted(buffer, at);
      if (at === MORE) return MORE;
      while (bytes[at] === SPACE) at++;
      if (at < end && bytes[at] !== delimiter && bytes[at] !== LF && bytes[at] !== CR) this.#fault ??= "after-quote";
      while (at < end && bytes[at] !== delimiter && bytes[at] !== LF && bytes[at] !== CR) at++;
    } else {
      at = start;
      for (let byte = bytes[at]; at < end && byte !== delimiter && byte !== LF && byte !== CR;) byte = bytes[++at];
      this.#from = start;
      this.#to = at;
    }
    return at >= end && !buffer.ended ? MORE : at;
  }

  /** @returns the first byte behind the quote that closes; MORE */
  #quoted({ bytes, end, ended }: LineBuffer, open: number): number {
    this.#from = open + 1;
    for (let at = open + 1; ;) {
      const close = bytes.indexOf(QUOTE, at);
      if (close === -1 || close >= end) {
        this.#inQuote = true;
        if (!ended) return MORE;
        this.#fault = "unterminated";
        this.#to = end;
        return end;
      }
      if (close + 1 >= end && !ended) return MORE;
      if (close + 1 < end && bytes[close + 1] === QUOTE) {
        this.#doubled = true;
        at = close + 2;
        continue;
      }
      this.#to = close;
      for (let lf = bytes.indexOf(LF, this.#from); lf !== -1 && lf < close; lf = bytes.indexOf(LF, lf + 1))
        this.#lineEnds++;
      return close + 1;
    }
  }

  #text(bytes: Buffer): string {
    const text = bytes.toString("utf8", this.#from, this.#to);
    return this.#doubled ? text.replaceAll('""', '"') : text;
  }

  #store(cells: Cells, column: number, how: number, bytes: Buffer): void {
    const [from, to] = [this.#from, this.#to];
    const empty = from === to;
    if ((how & AS_NUMBER) !== 0) {
      const value = empty ? undefined : numberOf(this.#text(bytes));
      cells.numbers[column] = value === undefined ? NaN : Number.isNaN(value) ? Infinity : value;
    }
    if ((how & AS_TEXT) !== 0) {
      const texts = cells.texts[column]!;
      cells.indexes[column] = empty
        ? NONE
        : this.#doubled
          ? texts.ofText(this.#text(bytes))
          : texts.ofBytes(bytes, from, to);
    }
    if ((how & AS_STRING) !== 0) cells.strings[column] = empty ? null : this.#text(bytes);
  }

  /** All cells of the record at the buffer's front; undefined: more is needed. Where it ends is in #to. */
  #strings(buffer: LineBuffer): string[] | undefined {
    const strings: string[] = [];
    this.#lineEnds = 0;
    for (let at = buffer.at; ;) {
      const stop = this.#field(buffer, at);
      if (stop === MORE) return undefined;
      strings.push(this.#text(buffer.bytes));
      at = stop + 1;
      if (buffer.bytes[stop] === this.#delimiter && stop < buffer.end) continue;
      if (stop === buffer.end - 1 && buffer.bytes[stop] === CR && !buffer.ended) return undefined;
      this.#checkFault();
      this.#to = stop;
      return strings;
    }
  }

  #checkRecord(fields: number, columns: number, bytes: number): void {
    this.#checkFault();
    this.#checkLength(bytes);
    if (fields !== columns) throw new BadItem(`line ${this.#line}: ${fields} fields, but the header has ${columns}`);
    this.#inQuote = false;
  }

  #checkFault(): void {
    if (this.#fault === "unterminated") throw new BadItem(`line ${this.#line}: a quote is not closed`);
    if (this.#fault === "after-quote") throw new BadItem(`line ${this.#line}: text follows a closing quote`);
  }

  #checkLength(bytes: number): void {
    if (bytes > LINE_BYTES_MAX && this.#inQuote)
      throw new BadItem(
        `line ${this.#line}: a quote is not closed within ${LINE_BYTES_MAX} bytes, the most that a record may have`,
      );
    checkLine(this.#line, bytes);
  }
}

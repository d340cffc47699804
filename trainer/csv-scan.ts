/**
 * Where the records of a CSV file begin and how many fields they have, after RFC 4180. DuckDB reads the values; this finds
 * the number of columns and, for messages, the exact line: DuckDB counts neither blank lines nor those within quotes.
 */
import { createReadStream } from "node:fs";

/** A record longer than this is hardly one: no file makes a reader hold more of it. */
export const LINE_BYTES_MAX = 16_777_216;

export interface ScannedRecord {
  /** of its first character, from 1 */
  readonly line: number;
  readonly fields: number;
  /** too-long, too-long-quoted: more than LINE_BYTES_MAX; nothing after it is looked at */
  readonly fault: "unterminated" | "after-quote" | "too-long" | "too-long-quoted" | undefined;
}

const [LF, CR, QUOTE, COMMA, SPACE] = [0x0a, 0x0d, 0x22, 0x2c, 0x20];
/** Where in a field the scan is; numbers, as this is done for each byte. */
const [START, BARE, QUOTED, CLOSED] = [0, 1, 2, 3];

/** Cuts a file into records, a chunk at a time. */
class CsvScan {
  #place: number = START;
  #line = 1;
  #from = 1;
  #fields = 1;
  #empty = true;
  #bytes = 0;
  #fault: ScannedRecord["fault"];
  #last = 0;
  #first = true;

  /** @param each told of each record; false: no more @returns whether more is wanted */
  push(chunk: Uint8Array, each: (record: ScannedRecord) => boolean): boolean {
    const skip = this.#first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? 3 : 0;
    this.#first = false;
    let start = skip - this.#bytes; // of the record, in this chunk
    for (let i = skip; i < chunk.length; i++) {
      const byte = chunk[i]!;
      const ends = byte === LF || byte === CR;
      if (byte === CR || (byte === LF && this.#last !== CR)) this.#line++; // CRLF is one
      this.#last = byte;
      if (this.#place === QUOTED) {
        if (byte === QUOTE) this.#place = CLOSED;
      } else if (ends) {
        if (!this.#empty && !each(this.#record())) return false;
        this.#next();
        start = i + 1;
      } else this.#within(byte);
      if (i - start < LINE_BYTES_MAX) continue;
      this.#fault = this.#place === QUOTED ? "too-long-quoted" : "too-long";
      each(this.#record());
      return false;
    }
    this.#bytes = chunk.length - start;
    return true;
  }

  end(each: (record: ScannedRecord) => boolean): void {
    if (this.#place === QUOTED) this.#fault = "unterminated";
    if (!this.#empty) each(this.#record());
  }

  #within(byte: number): void {
    this.#empty = false;
    if (byte === COMMA) {
      this.#place = START;
      this.#fields++;
    } else if (byte === QUOTE && this.#place !== BARE) this.#place = QUOTED; // after CLOSED: a quote within the text
    else if (this.#place === CLOSED && byte !== SPACE) this.#fault ??= "after-quote";
    else if (this.#place === START && byte !== SPACE) this.#place = BARE;
  }

  #next(): void {
    this.#place = START;
    this.#from = this.#line;
    this.#fields = 1;
    this.#empty = true;
    this.#fault = undefined;
  }

  #record(): ScannedRecord {
    return { line: this.#from, fields: this.#fields, fault: this.#fault };
  }
}

/**
 * All records, the header too; blank lines are none.
 * @param each false: no more
 */
export async function scanCsv(path: string, each: (record: ScannedRecord) => boolean): Promise<void> {
  const scan = new CsvScan();
  for await (const chunk of createReadStream(path, { highWaterMark: 262_144 }))
    if (chunk instanceof Uint8Array && !scan.push(chunk, each)) return;
  scan.end(each);
}

/** undefined: the file has no records at all */
export async function headerOf(path: string): Promise<ScannedRecord | undefined> {
  let header: ScannedRecord | undefined;
  await scanCsv(path, (record) => {
    header = record;
    return false;
  });
  return header;
}

/** Line of a record, counted from 0 with the header; 0 if there are fewer. */
export async function lineOfRecord(path: string, index: number): Promise<number> {
  let [at, found] = [0, 0];
  await scanCsv(path, ({ line }) => {
    if (at++ !== index) return true;
    found = line;
    return false;
  });
  return found;
}

/** How many records there are, with the header, and the first that is not as the header, in words. */
export async function checkCsv(
  path: string,
  columns: number,
): Promise<{ readonly records: number; readonly fault?: string }> {
  let records = 0;
  let fault: string | undefined;
  await scanCsv(path, (record) => {
    records++;
    fault = faultOf(record, columns);
    return fault === undefined;
  });
  return fault === undefined ? { records } : { records, fault };
}

/** @param columns undefined: it is the header */
export function faultOf({ line, fields, fault }: ScannedRecord, columns?: number): string | undefined {
  if (fault === "unterminated") return `line ${line}: a quote is not closed`;
  if (fault === "after-quote") return `line ${line}: text follows a closing quote`;
  if (fault === "too-long") return `line ${line}: longer than ${LINE_BYTES_MAX} bytes`;
  if (fault === "too-long-quoted")
    return `line ${line}: a quote is not closed within ${LINE_BYTES_MAX} bytes, the most that a record may have`;
  if (columns !== undefined && fields !== columns)
    return `line ${line}: ${fields} fields, but the header has ${columns}`;
  return undefined;
}

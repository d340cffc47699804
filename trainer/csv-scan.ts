/**
 * Where the records of a CSV file begin and how many fields they have, after RFC 4180. DuckDB reads the values; this finds
 * the number of columns and, for messages, the exact line: DuckDB counts neither blank lines nor those within quotes.
 */
import { createReadStream } from "node:fs";

export interface ScannedRecord {
  /** of its first character, from 1 */
  readonly line: number;
  readonly fields: number;
  readonly fault?: "unterminated" | "after-quote";
}

const [LF, CR, QUOTE, COMMA] = [0x0a, 0x0d, 0x22, 0x2c];

/** All records, the header too; blank lines are none. */
export async function* scanCsv(path: string): AsyncGenerator<ScannedRecord> {
  let place: "start" | "bare" | "quoted" | "closed" = "start";
  let [line, from, fields, empty] = [1, 1, 1, true];
  let fault: ScannedRecord["fault"];
  let [last, first] = [0, true];
  const record = (): ScannedRecord => ({ line: from, fields, ...(fault === undefined ? {} : { fault }) });
  for await (const chunk of createReadStream(path, { highWaterMark: 262_144 })) {
    if (!(chunk instanceof Uint8Array)) continue;
    const skip: number = first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? 3 : 0;
    first = false;
    for (let i = skip; i < chunk.length; i++) {
      const byte: number = chunk[i]!;
      const ends = byte === LF || byte === CR;
      const newLine = byte === CR || (byte === LF && last !== CR); // CRLF is one
      last = byte;
      if (newLine) line++;
      if (place === "quoted") {
        if (byte === QUOTE) place = "closed";
      } else if (ends) {
        if (!empty) yield record();
        [place, from, fields, empty, fault] = ["start", line, 1, true, undefined];
      } else {
        empty = false;
        if (byte === COMMA) [place, fields] = ["start", fields + 1];
        else if (byte === QUOTE && place !== "bare") place = "quoted"; // after "closed": a quote within the text
        else if (place === "closed" && byte !== 0x20) fault ??= "after-quote";
        else if (place === "start" && byte !== 0x20) place = "bare";
      }
    }
  }
  if (place === "quoted") fault = "unterminated";
  if (!empty) yield record();
}

/** Line of a record, counted from 0 with the header; 0 if there are fewer. */
export async function lineOfRecord(path: string, index: number): Promise<number> {
  let at = 0;
  for await (const { line } of scanCsv(path)) if (at++ === index) return line;
  return 0;
}

/** The first record that is not as the header, in words; undefined: none. */
export async function findFault(path: string, columns: number): Promise<string | undefined> {
  for await (const { line, fields, fault } of scanCsv(path)) {
    if (fault === "unterminated") return `line ${line}: a quote is not closed`;
    if (fault === "after-quote") return `line ${line}: text follows a closing quote`;
    if (fields !== columns) return `line ${line}: ${fields} fields, but the header has ${columns}`;
  }
  return undefined;
}

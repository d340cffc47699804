/** Rows of a CSV or JSONL file, a batch at a time, so a file is never whole in memory as text. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join, sep } from "node:path";
import type { DuckDBConnection, DuckDBResult } from "@duckdb/node-api";
import { messageOf } from "../protocol/errors.ts";
import { checkCsv, faultOf, headerOf, LINE_BYTES_MAX, lineOfRecord } from "./csv-scan.ts";
import { BadItem, shown } from "./item-records.ts";
import { numberOf } from "./schema.ts";

/** null: nothing there */
export type Cell = string | number | boolean | null;

export interface TableSource {
  readonly names: readonly string[];
  /** how many there are, where that is known beforehand */
  readonly records: number | undefined;
  /** From the top at each call. Each batch: the cells of each column of `names`. */
  batches(): AsyncGenerator<readonly (readonly Cell[])[]>;
  /** from 1 */
  lineOf(record: number): Promise<number>;
  /** undefined: it is no number */
  number(cell: string | number | boolean): number | undefined;
  /** whether a column may have numbers and text: text files know no types */
  readonly typed: boolean;
}

/** A file up to this is parsed once and held: a round may have 20,000 of them, and DuckDB's start is most of their time. */
const SMALL_BYTES = 131_072;
/** Any table of the config has fewer. */
const COLUMNS_MAX = 10_001;

/**
 * An in-memory DuckDB for CSV files: it reaches the given folders and nothing else, and no file's content changes that.
 * @param options.folder that the files are in
 * @param options.scratch where it may write what does not fit into memory
 * @param options.memory bytes that it may use
 */
export async function openDuckDb(options: {
  readonly folder: string;
  readonly scratch: string;
  readonly memory: number;
}): Promise<{ connection: DuckDBConnection; close: () => void }> {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const instance = await DuckDBInstance.create(":memory:", {
    threads: "1",
    preserve_insertion_order: "true",
    memory_limit: `${options.memory}B`,
    temp_directory: join(options.scratch, "duckdb"),
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  const connection = await instance.connect();
  const folders = [options.scratch, options.folder].map((folder) => literal(folder + sep));
  await connection.run(`SET allowed_directories = [${folders.join(", ")}]`);
  await connection.run("SET enable_external_access = false");
  await connection.run("SET lock_configuration = true");
  const close = (): void => {
    connection.closeSync();
    instance.closeSync();
  };
  return { connection, close };
}

/** Unlike next(), it lets the generator end and close its file. */
async function firstOf<T>(values: AsyncGenerator<T>): Promise<T | undefined> {
  for await (const value of values) return value;
  return undefined;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Those that hold a large file. */
const filled = new WeakSet<DuckDBConnection>();

/**
 * One file at a time for a connection: the next one takes its place.
 * @throws {BadItem} if there is no header row, or where the file is no CSV
 */
export async function openCsv(connection: DuckDBConnection, path: string): Promise<TableSource> {
  const header = await headerOf(path);
  if (header === undefined) throw new BadItem("it is empty: expected a header row with the columns' names");
  const wrong = faultOf(header);
  if (wrong !== undefined) throw new BadItem(wrong);
  const columns = header.fields;
  if (columns > COLUMNS_MAX) throw new BadItem(`line ${header.line}: ${columns} columns are more than ${COLUMNS_MAX}`);
  // the columns get names of ours: none from the file ever is a part of a query
  const struct = Array.from({ length: columns }, (_, i) => `'c${i}': 'VARCHAR'`).join(", ");
  const { size } = await stat(path);
  const small = size <= SMALL_BYTES;
  // what an earlier file left in memory must not decide whether this one fits
  if (filled.delete(connection)) await connection.run("DROP TABLE cells");
  // DuckDB has been seen to leave out a line that is longer than its buffer, without a word: so what it has to find is counted
  const expected = small ? undefined : await checkCsv(path, columns);
  if (expected?.fault !== undefined) throw new BadItem(expected.fault);
  const query = `SELECT * FROM read_csv(${literal(path)}, auto_detect = false, header = false, columns = {${struct}}, delim = ',', quote = '"',
    escape = '"', comment = '', compression = 'none', encoding = 'utf-8', strict_mode = true, null_padding = false, nullstr = '',
    allow_quoted_nulls = true, max_line_size = ${small ? SMALL_BYTES : LINE_BYTES_MAX},
    buffer_size = ${2 * (small ? SMALL_BYTES : LINE_BYTES_MAX)})`;
  // A result that is streamed from the file itself would end early, without a word, at a line that is wrong: so the file is
  // read whole first, by a query that fails as a whole; what does not fit into memory goes to the scratch folder.
  try {
    if (!small) await connection.run(`CREATE TEMP TABLE cells AS ${query}`);
    if (!small) filled.add(connection);
  } catch (error) {
    throw await csvError(error, path, columns);
  }
  const read = small ? () => readSmall() : () => readCells(connection, expected?.records ?? 0);
  async function* readSmall(): AsyncGenerator<Cell[][]> {
    try {
      yield* batchesOf(await connection.run(query));
    } catch (error) {
      throw await csvError(error, path, columns);
    }
  }
  const kept: Cell[][][] | undefined = small ? [] : undefined;
  if (kept !== undefined) for await (const batch of read()) kept.push(batch);
  const first = kept === undefined ? await firstOf(read()) : kept[0];
  return {
    names: first?.map((cells) => String(cells[0] ?? "")) ?? [],
    records: expected && expected.records - 1,
    async *batches() {
      let headed = false;
      for await (const batch of kept ?? read()) {
        if (headed) yield batch;
        else if (batch[0]!.length > 1) yield batch.map((cells) => cells.slice(1));
        headed = true;
      }
    },
    lineOf: (record) => lineOfRecord(path, record + 1),
    number: (cell) => numberOf(String(cell)),
    typed: false,
  };
}

/** @throws {BadItem} if not all records of the file came */
async function* readCells(connection: DuckDBConnection, records: number): AsyncGenerator<Cell[][]> {
  let rows = 0;
  for await (const batch of batchesOf(await connection.stream("SELECT * FROM cells"))) {
    rows += batch[0]!.length;
    yield batch;
  }
  if (rows !== records) throw new BadItem(`it has ${records} records with its header, but ${rows} could be read`);
}

async function* batchesOf(result: DuckDBResult): AsyncGenerator<Cell[][]> {
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield chunk.getColumns().map((cells) => cells.map((cell) => (typeof cell === "string" ? cell : null)));
  }
}

async function csvError(error: unknown, path: string, columns: number): Promise<unknown> {
  const text = messageOf(error);
  if (!text.startsWith("Invalid Input Error") && !text.startsWith("Conversion Error")) return error;
  const line = /CSV Error on Line: (\d+)/.exec(text)?.[1];
  if (text.includes("Invalid unicode")) return new BadItem(`it is not UTF-8 (at about line ${line ?? 1})`);
  const { fault } = await checkCsv(path, columns);
  if (fault !== undefined) return new BadItem(fault);
  if (line === undefined) return new BadItem("it is no valid CSV: is it one kind of line end throughout?");
  const reason = text
    .split("\n")
    .find((part) => part.startsWith("Value") || part.startsWith("Expected") || part.startsWith("Maximum"));
  return new BadItem(`at about line ${line}: ${reason ?? "it is no valid CSV"}`);
}

const BATCH_ROWS = 2_048;

/** @throws {BadItem} with the line, where the file is not one flat JSON object a line */
export async function openJsonl(path: string): Promise<TableSource> {
  const first = await firstOf(jsonLines(path));
  if (first === undefined) throw new BadItem("it is empty: expected a JSON object in each line");
  const names = Object.keys(first.row);
  if (names.length > COLUMNS_MAX)
    throw new BadItem(`line ${first.line}: ${names.length} columns are more than ${COLUMNS_MAX}`);
  const known = new Set(names);
  return {
    names,
    records: undefined,
    async *batches() {
      let batch: Cell[][] = names.map(() => []);
      for await (const { line, row } of jsonLines(path)) {
        const extra = Object.keys(row).find((name) => !known.has(name));
        if (extra !== undefined) throw new BadItem(`line ${line}: ${shown(extra)} is not in line ${first.line}`);
        names.forEach((name, i) => batch[i]!.push(Object.hasOwn(row, name) ? row[name]! : null));
        if (batch[0]?.length !== BATCH_ROWS) continue;
        yield batch;
        batch = names.map(() => []);
      }
      if ((batch[0]?.length ?? 0) > 0) yield batch;
    },
    lineOf: (record) => lineOfJsonRecord(path, record),
    number: (cell) => (typeof cell === "number" ? cell : undefined),
    typed: true,
  };
}

/** Line of a record of a JSONL file, from 0; 0 if there are fewer. */
export async function lineOfJsonRecord(path: string, record: number): Promise<number> {
  let at = 0;
  for await (const { line } of jsonLines(path)) if (at++ === record) return line;
  return 0;
}

interface JsonLine {
  readonly line: number;
  readonly row: Readonly<Record<string, Cell>>;
}

async function* jsonLines(path: string): AsyncGenerator<JsonLine> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for await (const { line, bytes } of linesOf(path)) {
    let text: string;
    try {
      text = decoder.decode(bytes); // a byte order mark at the start is left out
    } catch {
      throw new BadItem(`line ${line}: it is not UTF-8`);
    }
    if (text.trim() !== "") yield { line, row: parseRow(text, line) };
  }
}

function parseRow(text: string, line: number): Record<string, Cell> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadItem(`line ${line}: ${messageOf(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadItem(`line ${line}: ${shown(text)} is no JSON object`);
  const row: Record<string, Cell> = Object.create(null); // a column may have any name
  for (const [name, cell] of Object.entries<unknown>({ ...value })) {
    if (cell !== null && typeof cell !== "string" && typeof cell !== "number" && typeof cell !== "boolean") {
      throw new BadItem(
        `line ${line}, column ${shown(name)}: expected a number, a text or a boolean, not ${Array.isArray(cell) ? "a list" : "an object"}`,
      );
    }
    row[name] = cell;
  }
  return row;
}

async function* linesOf(path: string): AsyncGenerator<{ line: number; bytes: Uint8Array }> {
  let line = 1;
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 262_144 })) {
    if (!(chunk instanceof Uint8Array)) continue;
    const bytes: Buffer<ArrayBuffer> = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, from)) {
      yield { line: line++, bytes: bytes.subarray(from, end) };
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > LINE_BYTES_MAX) throw new BadItem(`line ${line}: longer than ${LINE_BYTES_MAX} bytes`);
  }
  if (rest.length > 0) yield { line, bytes: rest };
}

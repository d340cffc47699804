/** Parquet, through DuckDB: columns have types, so numbers come as numbers, and a column that is no number and no text is named. */
import { closeSync, createWriteStream, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { DuckDBDoubleVector, type DuckDBConnection, type DuckDBVector } from "@duckdb/node-api";
import { messageOf } from "../protocol/errors.ts";
import { sizeText } from "../protocol/units.ts";
import { chunksOf, openBytes, type ByteSource } from "./byte-source.ts";
import { COLUMNS_MAX } from "./csv-scan.ts";
import { identifier, literal } from "./duckdb.ts";
import { BadItem, shown } from "./item-records.ts";
import { AS_LIST, AS_NUMBER, AS_STRING, AS_TEXT, NONE, type Cells, type TableScan } from "./table-scan.ts";

export const parquetRecord = (record: number): string => `row ${record + 1}`;

/**
 * @param scratch a packed file is unpacked to there: Parquet is not read from its front to its end
 * @throws {BadItem}
 */
export async function openParquet(
  connection: DuckDBConnection,
  path: string,
  options: { readonly scratch: string; readonly bytesMax: number },
): Promise<TableScan> {
  const scan = new ParquetScan(connection, await unpacked(path, options), path);
  await scan.open(options.bytesMax);
  return scan;
}

async function unpacked(path: string, { scratch, bytesMax }: { scratch: string; bytesMax: number }): Promise<string> {
  const source = openBytes(path, bytesMax);
  if (source.packing === null) return path;
  const to = join(scratch, "unpacked");
  await pipeline(Readable.from(copied(source), { objectMode: false }), createWriteStream(to));
  return to;
}

async function* copied(source: ByteSource): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunksOf(source)) yield Buffer.from(chunk); // a stream may hold several
}

const NUMBERS = /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))$/;
const FLOATS = /^(FLOAT|DOUBLE)$/;
const TEXTS = /^(VARCHAR|BOOLEAN|UUID|ENUM\(.*\))$/;
const TIMES = /^(DATE|TIMESTAMP.*)$/;
const LISTS = /^(VARCHAR|U?(TINY|SMALL|BIG)?INT(EGER)?)\[\]$/;

class ParquetScan implements TableScan {
  names: readonly string[] = [];
  readonly typed = true;
  readonly #connection: DuckDBConnection;
  readonly #path: string;
  /** as a message must not show it */
  readonly #staged: string;
  #types: readonly string[] = [];
  #rows = 0;
  #row = 0;
  /** of the chunk at hand, by column */
  #vectors: (DuckDBVector | undefined)[] = [];
  #at = 0;

  constructor(connection: DuckDBConnection, path: string, staged: string) {
    this.#connection = connection;
    this.#path = path;
    this.#staged = staged;
  }

  async open(bytesMax: number): Promise<void> {
    checkMagic(this.#path);
    const file = literal(this.#path);
    const described = await this.#rowsOf(`DESCRIBE SELECT * FROM read_parquet(${file})`);
    this.names = described.map(([name]) => String(name));
    this.#types = described.map(([, type]) => String(type));
    if (this.names.length > COLUMNS_MAX) throw new BadItem(`${this.names.length} columns are more than ${COLUMNS_MAX}`);
    const [[rows] = []] = await this.#rowsOf(`SELECT sum(num_rows) FROM parquet_file_metadata(${file})`);
    const [[bytes] = []] = await this.#rowsOf(`SELECT sum(total_uncompressed_size) FROM parquet_metadata(${file})`);
    this.#rows = Number(rows);
    // a row of a few bits may be any number of them: what comes of it counts
    const expected = Math.max(Number(bytes), 4 * this.#rows * this.names.length);
    if (expected > bytesMax)
      throw new BadItem(
        `its ${this.#rows} rows of ${this.names.length} columns have ${sizeText(expected)}: more than ${sizeText(bytesMax)} (data.limits.bytes)`,
      );
  }

  async read(cells: Cells, each: () => boolean): Promise<void> {
    const asked = this.names.flatMap((_, column) => (cells.as[column] === 0 ? [] : [column]));
    const selected = asked.map((column) => this.#select(column, cells.as[column]!));
    this.#row = 0;
    try {
      const result = await this.#connection.stream(
        `SELECT ${selected.join(", ") || "1"} FROM read_parquet(${literal(this.#path)})`,
      );
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) break;
        this.#vectors = this.names.map(() => undefined);
        asked.forEach((column, i) => (this.#vectors[column] = chunk.getColumnVector(i)));
        if (!this.#chunk(cells, asked, chunk.rowCount, each)) return;
      }
    } catch (error) {
      throw this.#asBad(error);
    }
    if (this.#row !== this.#rows)
      throw new BadItem(`it says that it has ${this.#rows} rows, but ${this.#row} could be read`);
  }

  cell(column: number): unknown {
    const vector = this.#vectors[column];
    const item = vector?.getItem(this.#at) ?? null;
    if (LISTS.test(this.#types[column]!) && typeof item === "string") return JSON.parse(item);
    if (typeof item === "number") return Number.isNaN(item) ? null : item;
    return typeof item === "string" ? item : null;
  }

  place(): string {
    return parquetRecord(this.#row);
  }

  expected(): number {
    return this.#rows;
  }

  #chunk(cells: Cells, asked: readonly number[], rows: number, each: () => boolean): boolean {
    for (let at = 0; at < rows; at++) {
      this.#at = at;
      for (const column of asked) this.#store(cells, column, cells.as[column]!, this.#vectors[column]!, at);
      if (!each()) return false;
      this.#row++;
    }
    return true;
  }

  #store(cells: Cells, column: number, how: number, vector: DuckDBVector, at: number): void {
    if (vector instanceof DuckDBDoubleVector) {
      const value = vector.getItem(at) ?? NaN;
      cells.numbers[column] = value;
      if ((how & AS_TEXT) !== 0)
        // with numbers asked for as well it only matters whether there is something
        cells.indexes[column] = Number.isNaN(value)
          ? NONE
          : (how & AS_NUMBER) !== 0
            ? 0
            : cells.texts[column]!.ofText(String(value));
      if ((how & AS_STRING) !== 0) cells.strings[column] = Number.isNaN(value) ? null : String(value);
      return;
    }
    cells.numbers[column] = NaN;
    const item = vector.getItem(at);
    const text = typeof item === "string" ? item : null;
    if ((how & AS_TEXT) !== 0) cells.indexes[column] = text === null ? NONE : cells.texts[column]!.ofText(text);
    if ((how & AS_STRING) !== 0) cells.strings[column] = LISTS.test(this.#types[column]!) ? null : text;
  }

  /** @throws {BadItem} for a type that can't be what is asked for */
  #select(column: number, how: number): string {
    const [name, type] = [identifier(this.names[column]!), this.#types[column]!];
    const isText = how === AS_TEXT || (how & AS_STRING) !== 0;
    if (NUMBERS.test(type) && (FLOATS.test(type) || !isText))
      return `CASE WHEN ${name} IS NULL THEN 'nan'::DOUBLE WHEN isnan(CAST(${name} AS DOUBLE)) THEN 'inf'::DOUBLE ELSE CAST(${name} AS DOUBLE) END`;
    if (NUMBERS.test(type) || TEXTS.test(type)) return `CAST(${name} AS VARCHAR)`;
    if ((how & AS_STRING) !== 0 && TIMES.test(type)) return `CAST(${name} AS VARCHAR)`;
    if ((how & AS_LIST) !== 0 && LISTS.test(type)) return `CAST(to_json(${name}) AS VARCHAR)`;
    throw new BadItem(
      `column ${shown(this.names[column])} has the type ${shown(type).replaceAll('"', "")}: expected numbers, texts or booleans; data.features can leave it out`,
    );
  }

  async #rowsOf(query: string): Promise<readonly (readonly unknown[])[]> {
    try {
      return (await this.#connection.runAndReadAll(query)).getRowsJson();
    } catch (error) {
      throw this.#asBad(error);
    }
  }

  #asBad(error: unknown): unknown {
    const text = messageOf(error);
    if (error instanceof BadItem || /out of memory|no space left|^IO Error/i.test(text)) return error;
    if (/encrypt/i.test(text)) return new BadItem("it is encrypted: expected Parquet that is not");
    const said = text.split("\n")[0]!.replaceAll(this.#path, "file").replaceAll(this.#staged, "file");
    return new BadItem(`it can't be read as Parquet: ${said}`);
  }
}

function checkMagic(path: string): void {
  const file = openSync(path, "r");
  const [start, end] = [Buffer.alloc(4), Buffer.alloc(4)];
  try {
    const { size } = statSync(path);
    readSync(file, start, 0, 4, 0);
    readSync(file, end, 0, 4, Math.max(0, size - 4));
  } finally {
    closeSync(file);
  }
  if (start.toString("latin1") === "PARE") throw new BadItem("it is encrypted: expected Parquet that is not");
  if (start.toString("latin1") !== "PAR1") throw new BadItem("it is no Parquet: such a file begins with PAR1");
  if (end.toString("latin1") !== "PAR1") throw new BadItem("it is cut short: a Parquet file ends with PAR1");
}

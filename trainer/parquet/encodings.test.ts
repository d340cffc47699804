/** Files of another writer, with encodings, codecs and pages that DuckDB does not write (scripts/fixtures/parquet.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { AS_NUMBER } from "../table-scan.ts";
import { AS_STRINGS, cellsOf, parquetFile } from "../testing/parquet.ts";

const Cell = z.union([z.null(), z.number(), z.boolean(), z.string(), z.array(z.nullable(z.string()))]);
const { files } = z
  .object({
    files: z.record(z.string(), z.object({ base64: z.string(), columns: z.record(z.string(), z.array(Cell)) })),
  })
  .parse(JSON.parse(readFileSync(new URL("../../test/fixtures/parquet.json", import.meta.url), "utf8")));

const NUMBERS = ["double", "float", "half", "int", "long", "few", "whole", "decimal"];
const FLOATS = ["double", "float", "half"];

describe("a Parquet file of pyarrow", () => {
  it.each(Object.keys(files))("has the cells that were written: %s", async (name) => {
    const { base64, columns } = files[name]!;
    const path = parquetFile(Buffer.from(base64, "base64"));
    const numbers = Object.keys(columns).filter((column) => NUMBERS.includes(column));
    const others = Object.keys(columns).filter((column) => !FLOATS.includes(column));
    const asNumbers = await cellsOf(path, AS_NUMBER, numbers);
    for (const column of numbers)
      expect(asNumbers[column], column).toEqual(columns[column]!.map((cell) => (cell === null ? NaN : Number(cell))));
    const asTexts = await cellsOf(path, AS_STRINGS, others);
    for (const column of others)
      expect(asTexts[column], column).toEqual(
        columns[column]!.map((cell) => (cell === null || Array.isArray(cell) ? cell : String(cell))),
      );
  });
});

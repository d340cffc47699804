/** Any table that DuckDB writes has the cells that DuckDB reads in it. */
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AS_NUMBER } from "../table-scan.ts";
import { AS_STRINGS, cellsOf, parquetFile } from "../testing/parquet.ts";

let instance: DuckDBInstance;
let duckDb: DuckDBConnection;
beforeAll(async () => {
  instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  duckDb = await instance.connect();
  await duckDb.run("SET TimeZone = 'UTC'");
});
afterAll(() => {
  duckDb.closeSync();
  instance.closeSync();
});

/** By name, what makes a value of a row's number `i` and of 62 bits of chance `h`. */
const NUMBERS = {
  tiny: "(h % 256 - 128)::TINYINT",
  small: "(i % 3)::SMALLINT",
  int: "(h % 4294967296 - 2147483648)::INTEGER",
  long: "h * 2 - 4611686018427387904",
  ubyte: "(h % 256)::UTINYINT",
  uint: "(h % 4294967296)::UINTEGER",
  ulong: "h::UBIGINT * 4",
  huge: "h::HUGEINT * 1000000007",
  decimal2: "(((h % 199) - 99) / 100)::DECIMAL(2,2)",
  decimal4: "((h % 2000000 - 1000000) / 10000)::DECIMAL(9,4)",
  decimal9: "((h % 200000 - 100000) / 100)::DECIMAL(9,2)",
  decimal18: "(h % 1000000000000 - 500000000000)::DECIMAL(18,5)",
  decimal0: "(h % 1000000000000000000)::DECIMAL(18,0)",
} as const;
const FLOATS = {
  double:
    "CASE i % 11 WHEN 0 THEN 'inf' WHEN 1 THEN '-inf' WHEN 2 THEN '-0.0' WHEN 3 THEN 1e300 ELSE (h % 1000003 - 500000) / 7.0 END::DOUBLE",
  float: "((h % 1000003) / 7.0)::FLOAT",
} as const;
const TEXTS = {
  text: "CASE i % 4 WHEN 0 THEN '' WHEN 1 THEN 'ä€😀' ELSE 'a text ' || (i % 50) END",
  hex: "md5(i::VARCHAR)",
  flag: "i % 3 = 0",
  id: "md5(i::VARCHAR)::UUID",
  kind: "(CASE WHEN i % 2 = 0 THEN 'on' ELSE 'off' END)::ENUM('off', 'on')",
  day: "DATE '1970-01-01' + ((h % 1600000)::INTEGER - 800000)",
  edge: "CASE i % 3 WHEN 0 THEN DATE 'infinity' WHEN 1 THEN DATE '0044-03-15 (BC)' ELSE DATE '9999-12-31' END",
  time: "make_timestamp(h % 200000000000000000 - 100000000000000000)",
  ms: "make_timestamp(i * 1000 * 86399999)::TIMESTAMP_MS",
  ns: "make_timestamp_ns(h % 2000000000000000000 - 1000000000000000000)",
  zoned: "make_timestamp(i * 123456789 - 10000000000)::TIMESTAMPTZ",
} as const;
const LISTS = {
  texts: "CASE i % 4 WHEN 0 THEN [] WHEN 1 THEN ['a', NULL] ELSE ['b', 'ü' || (i % 5)] END",
  ints: "[i, -i]",
} as const;
const CODECS = ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"];

const quoted = (path: string): string => `'${path.replaceAll("'", "''")}'`;

async function rowsOf(query: string): Promise<unknown[][]> {
  return (await duckDb.runAndReadAll(query)).getRows().map((row) => [...row]);
}

describe("a table of DuckDB", () => {
  // V2 is how it names its newer encodings; a row group has at least 2,048 rows
  it.each(CODECS.flatMap((codec, i) => (["V1", "V2"] as const).map((version) => [codec, version, i] as const)))(
    "has the same cells: %s, %s",
    async (codec, version, seed) => {
      const all = { ...NUMBERS, ...FLOATS, ...TEXTS, ...LISTS };
      // each third column has no NULL, and each has them elsewhere
      const columns = Object.entries(all).map(([name, sql], at) => {
        const value = sql.replaceAll("$seed", String(seed));
        return at % 3 === 0
          ? `(${value}) AS ${name}`
          : `CASE WHEN hash(i, ${at}) % 5 = 0 THEN NULL ELSE (${value}) END AS ${name}`;
      });
      const rows = [1, 2_047, 5_000][seed % 3]!;
      const path = parquetFile();
      await duckDb.run(
        `COPY (SELECT ${columns.join(", ")} FROM (SELECT i, (hash(i, ${seed}) >> 2)::BIGINT AS h FROM range(${rows}) t(i))) TO ${quoted(path)} (FORMAT parquet, COMPRESSION ${codec}, PARQUET_VERSION ${version}, ROW_GROUP_SIZE 2048)`,
      );
      const from = `FROM read_parquet(${quoted(path)})`;
      const numbers = [...Object.keys(NUMBERS), ...Object.keys(FLOATS)];
      const ours = await cellsOf(path, AS_NUMBER, numbers);
      const theirs = await rowsOf(`SELECT ${numbers.map((name) => `${name}::DOUBLE`).join(", ")} ${from}`);
      for (const [at, name] of numbers.entries()) expect(ours[name], name).toEqual(theirs.map((row) => row[at] ?? NaN)); // toEqual tells 0 from -0
      const texts = [...Object.keys(NUMBERS), ...Object.keys(TEXTS)].filter((name) => name !== "huge");
      const ourTexts = await cellsOf(path, AS_STRINGS, texts);
      const theirTexts = await rowsOf(`SELECT ${texts.map((name) => `${name}::VARCHAR`).join(", ")} ${from}`);
      for (const [at, name] of texts.entries()) expect(ourTexts[name], name).toEqual(theirTexts.map((row) => row[at]));
      const lists = Object.keys(LISTS);
      const ourLists = await cellsOf(path, AS_STRINGS, lists);
      const theirLists = await rowsOf(`SELECT ${lists.map((name) => `to_json(${name})::VARCHAR`).join(", ")} ${from}`);
      for (const [at, name] of lists.entries())
        expect(ourLists[name], name).toEqual(theirLists.map((row) => JSON.parse(String(row[at] ?? null))));
    },
  );
});

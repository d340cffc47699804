import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, describe, expect, it } from "vitest";
import { groupMark } from "./record-columns.ts";
import { file, marksOf, read, rows, whyBad, type DataInput } from "./testing/reading.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-parquet-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
/** A file of what a query gives. */
async function parquet(query: string): Promise<Buffer> {
  const path = join(root, `made-${made++}.parquet`);
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  await connection.run(`COPY (${query}) TO '${path}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  return readFileSync(path);
}

const input = { format: "parquet" } as const;
const FLOWERS =
  "FROM (VALUES (1.5::DOUBLE, 'red', 'b'), (-20, 'blue', 'a'), (0.25, 'red', 'b')) t(length, colour, label)";

describe("a Parquet file", () => {
  it.each<[string, (bytes: Buffer) => Buffer]>([
    ["as it is", (bytes) => bytes],
    ["as gzip", gzipSync],
    ["as zstd", zstdCompressSync],
  ])("gives what a CSV of the same gives: %s", async (_, pack) => {
    const { schema, records, rejected } = await read([file("a", pack(await parquet(FLOWERS)))], input);
    const csv = await read([file("b", "length,colour,label\n1.5,red,b\n-20,blue,a\n.25,red,b\n")], { format: "csv" });
    expect(rejected).toEqual([]);
    expect([schema, rows(records), records.labels]).toEqual([csv.schema, rows(csv.records), csv.records.labels]);
  });

  it("has numbers of any type, booleans as categories, and classes by their exact names", async () => {
    const body = await parquet(
      `SELECT 1::TINYINT a, 1.25::DECIMAL(5,2) b, 3::UBIGINT c, 0.5::FLOAT d, true e, 9007199254740993::BIGINT AS label
       UNION ALL SELECT -1, -1.25, 4, 1.5, false, 9007199254740992`,
    );
    const { schema, records } = await read([file("a", body)], input);
    expect(rows(records)).toEqual([
      [1, 1.25, 3, 0.5, 0, 1],
      [-1, -1.25, 4, 1.5, 1, 0],
    ]);
    expect(schema?.classes).toEqual(["9007199254740992", "9007199254740993"]);
    const floats = await parquet("FROM (VALUES (1, 2.0::DOUBLE), (2, 0.5)) t(x, label)");
    expect((await read([file("b", floats)], input)).schema?.classes).toEqual(["0.5", "2"]);
  });

  it("has weights, times, groups, values and lists of labels", async () => {
    const body = await parquet(
      `FROM (VALUES (1, 0.5, TIMESTAMP '2026-01-31 08:00:00', 'ann', ['b', 'a']), (2, 2, TIMESTAMP '1969-12-31 00:00:00', 'bob', [])) t(x, w, day, g, label)`,
    );
    const byTime: DataInput = {
      ...input,
      features: ["x"],
      weight: "w",
      task: "multi-label",
      holdout: { by: "time", column: "day", part: 0.1 },
    };
    const item = file("a", body);
    const { records, rejected } = await read([item], byTime);
    expect(rejected).toEqual([]);
    expect([[...records.labels], [...records.weights!], await marksOf(item, byTime)]).toEqual([
      [1, 1, 0, 0],
      [0.5, 2],
      [Date.UTC(2026, 0, 31, 8), -86_400_000],
    ]);
    const byGroup: DataInput = {
      ...input,
      features: ["x"],
      label: "w",
      task: "regression",
      holdout: { by: "group", column: "g", part: 0.1 },
    };
    const values = await read([item], byGroup);
    expect([[...values.records.labels], await marksOf(item, byGroup)]).toEqual([
      [0.5, 2],
      [groupMark("ann"), groupMark("bob")],
    ]);
  });

  it("of many rows is read to its last one, in their order", async () => {
    const body = await parquet("SELECT range AS x, range % 3 AS label FROM range(20000)");
    const { records } = await read([file("a", body)], input);
    expect([...records.features]).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
  });

  it.each([
    [
      'column "x" has the type STRUCT(a INTEGER): expected numbers, texts or booleans; data.features can leave it out',
      "{'a': 1}",
    ],
    ['column "x" has the type INTEGER[]', "[1, 2]"],
    ['column "x" has the type MAP(VARCHAR, INTEGER)', "MAP {'a': 1}"],
    ['column "x" has the type TIMESTAMP', "TIMESTAMP '2026-01-31'"],
    ['column "x" has the type BLOB', "'a'::BLOB"],
    ['row 1, column "x": Infinity is not finite as a 32-bit float', "'nan'::DOUBLE"],
    ['row 1, column "x": 1e+300 is not finite as a 32-bit float', "1e300"],
    ['column "x" has no values', "NULL::DOUBLE"],
  ])("is bad: %s", async (reason, value) => {
    const body = await parquet(`SELECT ${value} AS x, 'a' AS label`);
    expect(await whyBad(body, input)).toContain(reason);
    // and is no matter where nobody asks for it
    const other = await parquet(`SELECT ${value} AS x, 1 AS y, 'a' AS label UNION ALL SELECT ${value}, 2, 'b'`);
    expect((await read([file("b", other)], { ...input, features: ["y"] })).records.count).toBe(2);
  });

  it("names the row of what is missing, of another type, or of no class", async () => {
    const { schema } = await read([file("a", await parquet(FLOWERS))], input);
    const flowers = (third: string): Promise<Buffer> =>
      parquet(`FROM (VALUES (1.5::DOUBLE, 'red', 'b'), (2, 'red', 'a'), ${third}) t(length, colour, label)`);
    expect(await whyBad(await flowers("(NULL, 'red', 'b')"), input, schema)).toContain(
      'row 3, column "length": it is empty, expected a number',
    );
    expect(await whyBad(await flowers("(1, 'red', NULL)"), input, schema)).toContain(
      'row 3, column "label": the label is empty',
    );
    expect(await whyBad(await flowers("(1, 'red', 'c')"), input, schema)).toContain(
      'row 3: the label "c" is none of the 2 classes',
    );
    const text = await parquet("SELECT '1' AS length, 'red' AS colour, 'a' AS label");
    expect(await whyBad(text, input, schema)).toContain('row 1, column "length": "1" is not a number');
  });

  it("that is damaged, cut short, encrypted or something else is rejected in so many words", async () => {
    const good = await parquet(FLOWERS);
    const changed = (change: (bytes: Buffer) => void): Buffer => {
      const bytes = Buffer.from(good);
      change(bytes);
      return bytes;
    };
    expect(await whyBad(good.subarray(0, good.length - 20), input)).toContain(
      "it is cut short: a Parquet file ends with PAR1",
    );
    expect(await whyBad("length,label\n1,a\n", input)).toContain("it is no Parquet: such a file begins with PAR1");
    expect(
      await whyBad(
        changed((bytes) => void bytes.fill("PARE", 0, 4).fill("PARE", bytes.length - 4)),
        input,
      ),
    ).toContain("it is encrypted");
    for (const bytes of [
      changed((some) => some.fill(0x5a, some.length - 100, some.length - 10)),
      changed((some) => some.writeUInt32LE(0x7fff_ffff, some.length - 8)),
      changed((some) => some.fill(0x5a, 4, 60)),
    ])
      expect(await whyBad(bytes, input)).toMatch(/^bad some\/file: it can't be read as Parquet: (?!.*accrete-read)/);
  });

  it("of few bytes and more rows than data.limits.bytes allows is rejected before they are read", async () => {
    const bomb = await parquet("SELECT 1 AS x, 'a' AS label FROM range(3000000)");
    expect(bomb.length).toBeLessThan(100_000);
    const limits = { memory: 2 ** 30, time: 600_000, bytes: 10_000_000 };
    expect(await whyBad(bomb, { ...input, limits })).toContain(
      "its 3000000 rows of 2 columns have 22.9 MiB: more than 9.5 MiB (data.limits.bytes)",
    );
  });
});

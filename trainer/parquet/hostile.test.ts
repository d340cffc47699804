/** Parquet that was made to do harm: what it claims is checked before room is made for it, and nothing goes round for ever. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { BadItem } from "../item-records.ts";
import { AS_NUMBER } from "../table-scan.ts";
import {
  AS_STRINGS,
  cellsOf,
  dataPage,
  dictionaryPage,
  oneColumn,
  parquetFile,
  thrift,
  withFooter,
} from "../testing/parquet.ts";

const MB = 1_000_000;
const [INT32, INT64, BYTE_ARRAY] = [1, 2, 6];
const [SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW] = [1, 2, 3, 4, 5, 6, 7];
const [DELTA, DELTA_BYTES, RLE_DICTIONARY] = [5, 7, 8];

async function whyBad(bytes: Uint8Array, limits: { memory?: number; bytesMax?: number } = {}): Promise<string> {
  const before = process.memoryUsage();
  try {
    const path = parquetFile(bytes);
    await cellsOf(path, AS_STRINGS, undefined, limits);
    return "not rejected";
  } catch (error) {
    const { rss } = process.memoryUsage();
    if (!(error instanceof BadItem)) throw error;
    expect(rss - before.rss).toBeLessThan(200 * MB);
    return error.message;
  }
}

const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);

describe("a footer", () => {
  it("of a column that is sound is read", async () => {
    const path = parquetFile(oneColumn({ pages: [dataPage(int(7), { values: 1 })], rows: 1n }));
    expect(await cellsOf(path, AS_NUMBER)).toEqual({ x: [7] });
  });

  const lists = Buffer.from([
    0x19,
    0xf9,
    ...varint(50 * MB),
    ...Array.from({ length: 20 }, () => [0xf9, ...varint(50 * MB)]).flat(),
  ]);
  it.each<[string, string, Buffer]>([
    ["with lists of 50,000,000 that are not there", "its footer is cut short", lists],
    ["with a text of 2 GB", "its footer is cut short", Buffer.from([0x18, ...varint(2_000 * MB)])],
    ["with structs in structs", "nested too deep", Buffer.alloc(MB, 0x1c)],
    ["with lists in lists", "nested too deep", Buffer.concat([Buffer.from([0x19]), Buffer.alloc(MB, 0x19)])],
    [
      "with a number that has no end",
      "its metadata is damaged",
      Buffer.concat([Buffer.from([0x16]), Buffer.alloc(MB, 0x80)]),
    ],
    ["of nothing", "its metadata lacks a list", Buffer.alloc(1)],
    ["without a schema", "its schema is empty", thrift({ 2: [], 3: 0n, 4: [] })],
    [
      "of more columns than it has",
      "its schema is cut short",
      thrift({ 2: [{ 4: "s", 5: 2_000 * MB }], 3: 0n, 4: [] }),
    ],
    [
      "of columns in columns",
      "its schema is damaged, or nested too deep",
      thrift({ 2: Array.from({ length: 100_000 }, () => ({ 4: "s", 5: 1 })), 3: 0n, 4: [] }),
    ],
    [
      "of fewer than no rows",
      "a number that can't be",
      thrift({
        2: [
          { 4: "s", 5: 1 },
          { 1: 1, 4: "x" },
        ],
        3: -1n,
        4: [],
      }),
    ],
    [
      "whose rows are no number",
      "a number that can't be",
      thrift({
        2: [
          { 4: "s", 5: 1 },
          { 1: 1, 4: "x" },
        ],
        3: "9",
        4: [],
      }),
    ],
    [
      "of a column without a name",
      "lacks a name",
      thrift({
        2: [
          { 4: "s", 5: 1 },
          { 1: 1, 4: 5 },
        ],
        3: 0n,
        4: [],
      }),
    ],
    ["that is encrypted", "it is encrypted: expected Parquet that is not", thrift({ 2: [], 3: 0n, 4: [], 8: {} })],
    [
      "with a row group that lacks its column",
      "has 0 columns instead of 1",
      thrift({
        2: [
          { 4: "s", 5: 1 },
          { 1: 1, 4: "x" },
        ],
        3: 1n,
        4: [{ 1: [], 3: 1n }],
      }),
    ],
  ])("%s is rejected", async (_, reason, footer) => {
    expect(await whyBad(withFooter(new Uint8Array(0), footer))).toContain(reason);
  });

  it("of more parts than memory is there for is rejected", async () => {
    const many = thrift({ 2: Array.from({ length: 200_000 }, () => ({ 4: "s" })), 3: 0n, 4: [] });
    expect(await whyBad(withFooter(new Uint8Array(0), many), { memory: 64 * MB })).toContain("too many parts");
    expect(await whyBad(withFooter(new Uint8Array(0), many), { memory: MB })).toContain(
      "more memory than data.limits.memory",
    );
  });

  it("that names a file of 2^31 rows is rejected, or ends where its pages do", async () => {
    const pages = [
      dictionaryPage(int(7), 1),
      dataPage(Buffer.from([1, ...varint(2 ** 21), 0]), { values: 2 ** 20, encoding: RLE_DICTIONARY }),
    ];
    expect(await whyBad(oneColumn({ pages, rows: 2n ** 31n }))).toContain(
      "its 2147483648 rows of 1 columns have 8 GiB",
    );
    expect(await whyBad(oneColumn({ pages, rows: 2n ** 25n }))).toContain(
      'column "x" has fewer rows than its row group',
    );
    const more = oneColumn({ pages, rows: 2n ** 20n, footer: { 3: 2n ** 21n } });
    expect(await whyBad(more)).toContain("it says that it has 2097152 rows, but 1048576 could be read");
    const fewer = oneColumn({ pages, rows: 2n ** 20n, footer: { 3: 2n ** 19n } });
    expect(await whyBad(fewer)).toContain("its row groups have more rows than its footer says");
  });

  it("whose row groups name the same page counts it each time: it needs no packing to be many", async () => {
    const values = int(7);
    const header = { 1: 3, 2: values.length, 3: values.length, 8: { 1: 1, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0, 7: false } };
    const page = Buffer.concat([thrift(header), values]);
    const meta = { 1: INT32, 4: 0, 5: 1n, 6: 4n, 7: 4n, 9: 4n };
    const footer = {
      3: 8n,
      4: Array.from({ length: 8 }, () => ({ 1: [{ 2: 0n, 3: { ...meta, 6: 0n } }], 2: 4n, 3: 1n })),
    };
    const file = oneColumn({ pages: [page], rows: 1n, footer });
    expect((await cellsOf(parquetFile(file), AS_NUMBER))["x"]).toEqual(Array(8).fill(7));
    const wide = Buffer.concat([int(7), Buffer.alloc(96)]); // a page may have more than its values
    const long = Buffer.concat([thrift({ ...header, 2: 100, 3: 100 }), wide]);
    expect(await whyBad(oneColumn({ pages: [long], rows: 1n, footer }), { bytesMax: 700 })).toContain(
      "its pages have more bytes than data.limits.bytes allows",
    );
  });

  it.each([
    ["another file", { 1: "other.parquet" }, 'column "x" is in another file'],
    ["a key of its own", { 8: {} }, "it is encrypted"],
  ])("of a column in %s is rejected", async (_, chunk, reason) => {
    const meta = { 1: INT32, 4: 0, 5: 1n, 6: 4n, 7: 4n, 9: 4n };
    const footer = { 4: [{ 1: [{ ...chunk, 3: meta, ...("8" in chunk ? { 8: {} } : {}) }], 2: 4n, 3: 1n }] };
    expect(await whyBad(oneColumn({ pages: [], rows: 1n, footer }))).toContain(reason);
  });
});

describe("a page", () => {
  const page = Buffer.from([4, 12, 7, 0, 0, 0]);
  it.each<[string, string, Parameters<typeof oneColumn>[0]]>([
    [
      "of 2 GB by its header",
      "need more memory than data.limits.memory allows",
      { codec: SNAPPY, rows: 1n, pages: [dataPage(page, { values: 1, size: 2 ** 31 - 1 })] },
    ],
    [
      "of another size than its header says",
      'column "x" is damaged',
      { codec: SNAPPY, rows: 1n, pages: [dataPage(page, { values: 1, size: 5 })] },
    ],
    [
      "of more values than rows",
      'column "x" has more rows than its row group',
      { rows: 1n, pages: [dataPage(int(1), { values: 2 ** 31 - 1 })] },
    ],
    ["of more values than bytes", 'column "x" is damaged', { rows: 100n, pages: [dataPage(int(1), { values: 100 })] }],
    [
      "of fewer rows than its row group",
      'column "x" has fewer rows than its row group',
      { rows: 2n, pages: [dataPage(int(1), { values: 1 })] },
    ],
    [
      "of Snappy that goes backwards",
      'column "x" is damaged',
      {
        codec: SNAPPY,
        rows: 1n,
        pages: [dataPage(Buffer.from([4, 0xfc, 0xfa, 0xff, 0xff, 0xff, 0]), { values: 1, size: 4 })],
      },
    ],
    [
      "of Snappy from before its start",
      'column "x" is damaged',
      { codec: SNAPPY, rows: 1n, pages: [dataPage(Buffer.from([4, 0x0e, 1, 0]), { values: 1, size: 4 })] },
    ],
    [
      "of Snappy that ends early",
      'column "x" is damaged',
      { codec: SNAPPY, rows: 1n, pages: [dataPage(Buffer.from([4, 4, 1, 2]), { values: 1, size: 4 })] },
    ],
    [
      "of LZ4 that ends early",
      'column "x" is damaged',
      { codec: LZ4_RAW, rows: 1n, pages: [dataPage(Buffer.from([0x10, 7]), { values: 1, size: 4 })] },
    ],
    [
      "of a block size below 0",
      'column "x" is damaged',
      {
        rows: 300n,
        pages: [
          dataPage(Buffer.from([0xf8, 0xff, 0xff, 0xff, 0x0f, 1, ...varint(300), 0, 0, 2, ...Buffer.alloc(64)]), {
            values: 300,
            encoding: DELTA,
          }),
        ],
      },
    ],
    [
      "of blocks of no parts",
      'column "x" is damaged',
      {
        physical: INT64,
        rows: 300n,
        pages: [
          dataPage(Buffer.from([0x80, 1, 0, ...varint(300), 0, ...Buffer.alloc(64)]), { values: 300, encoding: DELTA }),
        ],
      },
    ],
    [
      "of another number of deltas",
      'column "x" is damaged',
      { rows: 2n, pages: [dataPage(Buffer.from([0x80, 1, 4, 1, 0]), { values: 2, encoding: DELTA })] },
    ],
    [
      "with an index beyond its dictionary",
      'column "x" is damaged',
      {
        rows: 1n,
        pages: [dictionaryPage(int(1), 1), dataPage(Buffer.from([1, 2, 1]), { values: 1, encoding: RLE_DICTIONARY })],
      },
    ],
    [
      "with an index and no dictionary",
      'column "x" is damaged',
      { rows: 1n, pages: [dataPage(Buffer.from([1, 2, 0]), { values: 1, encoding: RLE_DICTIONARY })] },
    ],
    [
      "with indexes that are not all there",
      'column "x" is damaged',
      {
        rows: 9n,
        pages: [dictionaryPage(int(1), 1), dataPage(Buffer.from([1, 2, 0]), { values: 9, encoding: RLE_DICTIONARY })],
      },
    ],
    [
      "with two dictionaries",
      'column "x" has two dictionaries',
      { rows: 1n, pages: [dictionaryPage(int(1), 1), dictionaryPage(int(1), 1)] },
    ],
    [
      "with a dictionary of more than it has bytes",
      'the dictionary of column "x" is damaged',
      { rows: 1n, pages: [dictionaryPage(int(1), 2 ** 30)] },
    ],
    [
      "with a text beyond its end",
      'column "x" is damaged',
      { physical: BYTE_ARRAY, rows: 1n, pages: [dataPage(Buffer.concat([int(-1), int(0)]), { values: 1 })] },
    ],
    [
      "with a text that is not UTF-8",
      "a text is not UTF-8",
      {
        physical: BYTE_ARRAY,
        rows: 1n,
        pages: [dataPage(Buffer.concat([int(1), Buffer.from([0xff])]), { values: 1 })],
      },
    ],
    [
      "in an encoding of no such type",
      'column "x" has values of the type INTEGER in encoding 7, which is not read',
      { rows: 1n, pages: [dataPage(int(1), { values: 1, encoding: DELTA_BYTES })] },
    ],
    [
      "packed by LZO",
      'column "x" is compressed by LZO: expected none, snappy, gzip, zstd, brotli or lz4_raw',
      { codec: LZO, rows: 1n, pages: [] },
    ],
    ["packed by Hadoop's LZ4", "is compressed by LZ4 (the one of Hadoop)", { codec: LZ4, rows: 1n, pages: [] }],
    ["packed by what there is not", "is compressed by codec 99", { codec: 99, rows: 1n, pages: [] }],
    ...[GZIP, BROTLI, ZSTD].map((codec): [string, string, Parameters<typeof oneColumn>[0]] => [
      `that is not what codec ${codec} makes`,
      'column "x" is damaged',
      { codec, rows: 1n, pages: [dataPage(int(1), { values: 1, size: 4 })] },
    ]),
  ])("%s is rejected", async (_, reason, options) => {
    expect(await whyBad(oneColumn(options))).toContain(reason);
  });

  it("of texts that each begin as the one before it is rejected before they are made", async () => {
    // lengths in blocks of eight: the first one, its change in the first block, and no change in all others
    const count = 10_001;
    const lengths = (first: number, second: number): Buffer => {
      const least = Math.min(0, second - first);
      const changes = Array.from({ length: 8 }, (_, i) => int((i === 0 ? second - first : 0) - least));
      const head = [8, 1, ...varint(count), ...varint(2 * first), ...varint(least < 0 ? -2 * least - 1 : 0), 32];
      const others = Array.from({ length: Math.ceil((count - 9) / 8) }, () => [0, 0]);
      return Buffer.concat([Buffer.from(head), ...changes, Buffer.from(others.flat())]);
    };
    const page = (text: Buffer): Buffer =>
      dataPage(Buffer.concat([lengths(0, text.length), lengths(text.length, 0), text]), {
        values: count,
        encoding: DELTA_BYTES,
      });
    const file = (text: Buffer): Buffer =>
      oneColumn({ physical: BYTE_ARRAY, rows: BigInt(count), pages: [page(text)] });
    expect((await cellsOf(parquetFile(file(Buffer.from("abc"))), AS_STRINGS))["x"]).toEqual(
      Array.from({ length: count }, () => "abc"),
    );
    expect(await whyBad(file(Buffer.alloc(MB, "a")))).toContain(
      'the values of column "x" have more bytes than data.limits.memory allows',
    );
  });
});

const { files } = z
  .object({ files: z.record(z.string(), z.object({ base64: z.string() })) })
  .parse(JSON.parse(readFileSync(new URL("../../test/fixtures/parquet.json", import.meta.url), "utf8")));

describe("a file of which some bytes are others", () => {
  it.each(Object.keys(files))("has a message, or as many rows as it says: %s", async (name) => {
    let seed = 1;
    const below = (end: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * end);
    };
    const sound = Buffer.from(files[name]!.base64, "base64");
    let bad = 0;
    for (let i = 0; i < 60; i++) {
      const bytes = Buffer.from(sound);
      // half of them in the footer, where the claims are
      const from = i % 2 === 0 ? 0 : bytes.length - bytes.readUInt32LE(bytes.length - 8) - 8;
      for (let change = 0; change <= below(3); change++)
        bytes[from + below(bytes.length - from)] = [below(256), 255, 0][below(3)]!;
      const cut =
        i % 5 === 0
          ? Buffer.concat([bytes.subarray(0, below(bytes.length)), bytes.subarray(below(bytes.length))])
          : bytes;
      const why = await whyBad(cut, { memory: 64 * MB, bytesMax: 64 * MB });
      if (why !== "not rejected") bad++;
      expect(why).toMatch(/^[^\p{Cc}]*$/u);
      expect(why).not.toContain("accrete-parquet");
    }
    expect(bad).toBeGreaterThan(10);
  });
});

/** Items of a gigabyte: with ACCRETE_SLOW=1. */
import { readdirSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { file, largeFile, newReader, read, type DataInput } from "./testing/reading.ts";

const csv = { format: "csv" } as const;
const GB = 1_000_000_000;
const small = newReader({ memory: 2 ** 28 });

describe("an item of 1 GB", () => {
  it.each<[string, DataInput, string, string]>([
    ["a CSV that is one line", csv, "", "line 1: longer than 16777216 bytes"],
    ["a CSV whose last line it is", csv, "x,label\n1,a\n2,", "line 3: longer than 16777216 bytes"],
    [
      "a CSV with a quote that is never closed",
      csv,
      'x,label\n1,a\n"',
      "line 3: a quote is not closed within 16777216 bytes",
    ],
    ["a JSONL that is one line", { format: "jsonl" }, '{"x":', "line 1: longer than 16777216 bytes"],
    ["no image", { format: "images" }, "", "it can't be read as a JPEG, PNG or WebP image"],
    ["no IDX", { format: "idx" }, "", "the array of records at byte 0 starts with 0x00000000"],
  ])("that is %s is rejected within seconds, in 256 MiB", async (_, input, start, reason) => {
    const item = largeFile("a/x", start, GB);
    const started = performance.now();
    const { rejected } = await read([item], input, null, small);
    const seconds = (performance.now() - started) / 1_000;
    expect(rejected[0]?.message).toContain(reason);
    expect(seconds).toBeLessThan(30);
  });
});

describe("a bomb of a few MB", () => {
  /** 5 GB of line ends behind a table, in members of 100 MB. */
  const packed = (pack: (bytes: Buffer) => Buffer, start: string): Buffer => {
    const member = pack(Buffer.alloc(100_000_000, "\n"));
    return Buffer.concat([pack(Buffer.from(start)), ...Array.from({ length: 50 }, () => member)]);
  };

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ])(
    "of 5 GB after %s is rejected at 4 GiB, in 256 MiB of memory, and takes no disk",
    async (_, pack) => {
      for (const [format, start] of [
        ["csv", "x,label\n1,a\n"],
        ["jsonl", '{"x":1,"label":"a"}\n'],
      ] as const) {
        const bomb = packed(pack, start);
        expect(bomb.length).toBeLessThan(6_000_000);
        const reader = newReader({ memory: 2 ** 28 });
        const { rejected } = await read([file("a/x", bomb)], { format }, null, reader);
        expect(rejected[0]?.message).toContain("it has more than 4 GiB after it is decompressed (data.limits.bytes)");
        expect(readdirSync(reader.scratch)).toEqual([]);
      }
    },
    600_000,
  );
});

it("a CSV of 320 MB is read to its last line", async () => {
  const rows = 20_000_000;
  const body = Buffer.concat([
    Buffer.from("x,label\n"),
    Buffer.alloc(16 * rows, "1234567.25,2   \n"),
    Buffer.from("2.5,3\n"),
  ]);
  const { records, rejected } = await read([file("a", body)], { ...csv, task: "regression" });
  expect(rejected).toEqual([]);
  expect([records.count, records.features.at(-1), records.labels.at(-1)]).toEqual([rows + 1, 2.5, 3]);
}, 600_000);

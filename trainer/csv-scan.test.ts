/** Wherever the chunks of a file end, the same records come out of it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSource } from "./byte-source.ts";
import { openCsv } from "./csv-scan.ts";
import { openJsonl } from "./jsonl-scan.ts";
import { AS_NUMBER, AS_STRING, AS_TEXT, Cells, NONE, type TableScan } from "./table-scan.ts";

function sourceOf(text: string, chunkBytes: number): ByteSource {
  const bytes = Buffer.from(text);
  return {
    packing: null,
    size: bytes.length,
    chunkBytes,
    open: () => {
      let at = 0;
      return {
        read: (into) => {
          const part = bytes.subarray(at, at + chunkBytes);
          into.set(part);
          at += part.length;
          return part.length;
        },
        close: () => undefined,
      };
    },
  };
}

async function recordsOf(scan: TableScan): Promise<unknown[]> {
  const columns = scan.names.map((_, column) => column);
  const cells = new Cells(
    columns.length,
    columns.map((column) => ({ column, as: [AS_STRING, AS_TEXT, AS_NUMBER][column % 3]!, textsMax: 1_000 })),
  );
  const records: unknown[] = [];
  await scan.read(cells, () => {
    const values = columns.map((column) => {
      if (column % 3 === 0) return cells.strings[column];
      if (column % 3 === 2) return cells.numbers[column];
      return cells.indexes[column] === NONE ? null : cells.texts[column]!.texts[cells.indexes[column]!];
    });
    records.push([scan.place(), ...values]);
    return true;
  });
  return records;
}

const quoted = (cell: string): string =>
  /[",\r\n]/.test(cell) || cell.startsWith(" ") || cell === "" ? `"${cell.replaceAll('"', '""')}"` : cell;
const text = fc.string({ unit: fc.constantFrom("a", "ä", "😀", '"', ",", "\n", "\r\n", " ", "7"), maxLength: 6 });
const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }));
const row = fc.tuple(text, text, number);

describe("a table that comes in chunks", () => {
  it("of CSV is the table that was written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 8 }),
        fc.constantFrom("\n", "\r\n", "\r", "\n\n", "\r\n\r\n"),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (rows, lineEnd, chunkBytes, ended) => {
          const lines = rows.map(([a, b, n]) => [quoted(a), quoted(b), String(n)].join(","));
          const body = `a,b,n${lineEnd}${lines.join(lineEnd)}${ended ? lineEnd : ""}`;
          const records = await recordsOf(await openCsv(sourceOf(body, chunkBytes), ","));
          const expected = rows.map(([a, b, n]) => [a === "" ? null : a, b === "" ? null : b, Number(String(n))]);
          expect(records.map((record) => (record as unknown[]).slice(1))).toEqual(expected);
          expect(records).toEqual(await recordsOf(await openCsv(sourceOf(body, 1_000_000), ",")));
        },
      ),
    );
  });

  it("of JSONL is the table that was written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 8 }),
        fc.constantFrom("\n", "\r\n", "\n\n"),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom<(row: object) => string>(JSON.stringify, (value) =>
          JSON.stringify(value, null, 1).replaceAll("\n", " "),
        ),
        async (rows, lineEnd, chunkBytes, written) => {
          const body = rows.map(([a, b, n]) => written({ a, b, n })).join(lineEnd);
          const records = await recordsOf(await openJsonl(sourceOf(body, chunkBytes)));
          const expected = rows.map(([a, b, n]) => [a, b, Number(String(n))]);
          expect(records.map((record) => (record as unknown[]).slice(1))).toEqual(expected);
        },
      ),
    );
  });

  it("has no byte order mark in its first name, wherever that is cut", async () => {
    for (const size of [1, 2, 3, 4]) {
      expect((await openCsv(sourceOf("\ufeffa,b\n1,2\n", size), ",")).names).toEqual(["a", "b"]);
      expect((await openJsonl(sourceOf('\ufeff{"a":1}', size))).names).toEqual(["a"]);
    }
    await expect(openCsv(sourceOf("\ufeff", 1), ",")).rejects.toThrow("it is empty");
  });

  it("names the line of each record, whatever ends the lines and is within quotes", async () => {
    const body = 'a,b,n\r\n1,"x\n\ny",2\r\n\r\n3,4,5\n\n6,"z\r\n",7\r8,9,10';
    for (const size of [1, 2, 3, 7, 1_000]) {
      const records = await recordsOf(await openCsv(sourceOf(body, size), ","));
      expect(records.map((record) => (record as unknown[])[0])).toEqual(["line 2", "line 6", "line 8", "line 10"]);
    }
  });
});

/** What a file may be packed in, what is between its columns, and what its columns may be there for. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { groupMark, timeMark } from "./record-columns.ts";
import { file, marksOf, read, rows, whyBad, type DataInput } from "./testing/reading.ts";

const csv = { format: "csv" } as const;
const jsonl = { format: "jsonl" } as const;
const table = "x,label\n1,a\n2,b\n";
const expected = [[1], [2]];

describe("a packed file", () => {
  const many = (pack: (bytes: Buffer) => Buffer): Buffer =>
    Buffer.concat([table.slice(0, 11), table.slice(11)].map((part) => pack(Buffer.from(part))));

  it.each<[string, Buffer]>([
    ["gzip", gzipSync(table)],
    ["zstd", zstdCompressSync(table)],
    ["gzip of several members", many(gzipSync)],
    ["gzip of several members, the last of them empty", Buffer.concat([many(gzipSync), gzipSync("")])],
    ["zstd of several frames", many(zstdCompressSync)],
    [
      "zstd behind a frame that is to be skipped",
      Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]), zstdCompressSync(table)]),
    ],
    ["gzip that is filled up with zeros", Buffer.concat([gzipSync(table), Buffer.alloc(500)])],
  ])("is read as what is in it: %s", async (_, body) => {
    const { records, rejected } = await read([file("no-such-ending", body)], csv);
    expect([rejected, rows(records)]).toEqual([[], expected]);
  });

  const long = Buffer.from(`x,label\n${Array.from({ length: 50_000 }, (_, i) => `${i},${i % 7}`).join("\n")}`);
  it.each<[string, Buffer, RegExp]>([
    [
      "gzip cut short",
      gzipSync(long).subarray(0, 60_000),
      /its gzip data is cut short: it ends after \d+ bytes were decompressed, at byte 60000$/,
    ],
    [
      "zstd cut short",
      zstdCompressSync(long).subarray(0, 30_000),
      /its zstd data is cut short: it ends after \d+ bytes were decompressed, at byte 30000$/,
    ],
    [
      "gzip whose second member is cut short",
      Buffer.concat([gzipSync(table), gzipSync(table).subarray(0, 15)]),
      /cut short/,
    ],
    [
      "gzip that is changed",
      Buffer.from(gzipSync(long)).fill(0x55, 5_000, 5_010),
      /its gzip data is damaged after \d+ bytes/,
    ],
    [
      "zstd that is changed",
      Buffer.from(zstdCompressSync(long)).fill(0xff, 6, 60),
      /its zstd data is damaged after \d+ bytes/,
    ],
    [
      "zstd and something behind it",
      Buffer.concat([zstdCompressSync(table), Buffer.from("rest")]),
      /4 bytes that are no zstd data follow at byte \d+$/,
    ],
  ])("is rejected with its place: %s", async (_, body, reason) => {
    expect(await whyBad(body, csv)).toMatch(reason);
  });

  it.each([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ])("is rejected if it becomes more than data.limits.bytes: %s", async (_, pack) => {
    const limits = { memory: 2 ** 28, time: 600_000, bytes: 5_000_000 };
    const starts = { csv: table, jsonl: '{"x":1,"label":"a"}\n', parquet: "PAR1", text: "a\tb\n" };
    for (const format of ["csv", "jsonl", "parquet", "text"] as const) {
      const bomb = pack(Buffer.concat([Buffer.from(starts[format]), Buffer.alloc(20_000_000, "\n")]));
      expect(bomb.length).toBeLessThan(100_000);
      expect(await whyBad(bomb, { format, limits }), format).toContain(
        "it has more than 4.8 MiB after it is decompressed (data.limits.bytes)",
      );
    }
    const bomb = pack(Buffer.concat([Buffer.from(table), Buffer.alloc(20_000_000, "\n")]));
    expect((await read([file("a", bomb)], csv)).records.count).toBe(2);
  });
});

describe("what is between columns", () => {
  it("is a tab in TSV, and what data.delimiter says in CSV", async () => {
    const tsv = await read([file("a", 'x\tlabel\n1\t"a\tb"\n2\tb, c\n')], { format: "tsv" });
    expect([rows(tsv.records), tsv.schema?.classes]).toEqual([expected, ["a\tb", "b, c"]]);
    const other = await read([file("a", table.replaceAll(",", ";"))], { ...csv, delimiter: ";" });
    expect(rows(other.records)).toEqual(expected);
  });

  it.each([";", "|"])("is not guessed: %s is named in the message", async (delimiter) => {
    const message = await whyBad(table.replaceAll(",", delimiter), csv);
    expect(message).toContain(`there is no label column "label"; its columns are "x${delimiter}label"`);
    expect(message).toContain(`is "${delimiter}" what is between its columns? Then set data.delimiter`);
  });
});

describe("a text file", () => {
  it.each<[string, Buffer]>([
    ["little-endian", Buffer.from(`\ufeff${table}`, "utf16le")],
    ["big-endian", Buffer.from(`\ufeff${table}`, "utf16le").swap16()],
    ["little-endian", Buffer.from(table, "utf16le")],
    ["big-endian", Buffer.from(table, "utf16le").swap16()],
  ])("in UTF-16 is rejected in so many words: %s", async (which, body) => {
    for (const format of ["csv", "tsv", "jsonl", "text"] as const)
      expect(await whyBad(body, { format })).toBe(`bad some/file: it is UTF-16 (${which}): expected UTF-8`);
  });

  it("may end its lines in several ways, and have line ends within quotes", async () => {
    const { records, schema, rejected } = await read([file("a", 'x,label\r\n1,"a\r\nb"\n2,c\r3,"d"\n')], csv);
    expect([rejected, rows(records), schema?.classes]).toEqual([[], [[1], [2], [3]], ["a\r\nb", "c", "d"]]);
  });

  it.each([
    ["line 3002: text follows a closing quote", '1,"a"b'],
    ["line 3002: a quote is not closed", '1,"a'],
    ["line 3002: 3 fields, but the header has 2", "1,2,3"],
    ['line 3002, column "x": it is empty, expected a number', ",a"],
    ['line 3002, column "label": the label is empty', "1,"],
    ["line 3002: it is not UTF-8", "1,\xff"],
  ])("of many numbers names the line of its only fault: %s", async (reason, line) => {
    const numbers = Array.from({ length: 3_000 }, (_, i) => `${i},a`).join("\n");
    const ends = line.startsWith('1,"a') && !line.endsWith("b") ? "" : "\n5,a\n";
    expect(await whyBad(Buffer.from(`x,label\n${numbers}\n${line}${ends}`, "latin1"), csv)).toBe(
      `bad some/file: ${reason}`,
    );
  });

  it("whose type of a column changes later is rejected with line and column", async () => {
    const numbers = Array.from({ length: 3_000 }, (_, i) => `${i},a`);
    const { schema } = await read([file("a", `x,label\n${numbers.join("\n")}\n1,b\n`)], csv);
    expect(await whyBad(`x,label\n${numbers.join("\n")}\nred,a\n`, csv, schema)).toContain(
      'line 3002, column "x": "red" is not a number',
    );
    // in round 1 itself the column is text then, as all that is written in it counts
    const few = Array.from({ length: 3_000 }, (_, i) => `${i % 5},a`);
    const { schema: mixed } = await read([file("a", `x,label\n${few.join("\n")}\nred,b\n`)], csv);
    expect(mixed?.columns).toEqual([{ name: "x", kind: "category", categories: ["0", "1", "2", "3", "4", "red"] }]);
  });

  it.each<[string, string]>([
    ["csv", "x,label\n1,a\n2,c\n"],
    ["jsonl", '{"x":1,"label":"a"}\n{"x":2,"label":"c"}\n'],
    ["tsv", "x\tlabel\n1\ta\n2\tc\n"],
  ])("with a class that round 1 did not have is rejected with its line: %s", async (format, body) => {
    const input = { format } as DataInput;
    const { schema } = await read([file("a", body.replace("c", "b"))], input);
    const line = format === "jsonl" ? 2 : 3;
    expect(await whyBad(body, input, schema)).toContain(
      `line ${line}: the label "c" is none of the 2 classes "a", "b"`,
    );
  });
});

describe("multi-label", () => {
  const multi = { task: "multi-label" } as const;

  it("has 0 and 1 for each class of a record, from names with a separator, or a list", async () => {
    const cells = ["b|a", "", "c", "a|a| b"];
    const expectedRows = [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0];
    const text = await read([file("a", `x,label\n${cells.map((cell, i) => `${i},${cell}`).join("\n")}\n`)], {
      ...csv,
      ...multi,
    });
    expect([text.rejected, text.schema?.classes, [...text.records.labels]]).toEqual([
      [],
      ["a", "b", "c"],
      expectedRows,
    ]);
    const lists = [["b", "a"], [], ["c"], ["a", "a", "b"]];
    const json = await read([file("a", lists.map((label, x) => JSON.stringify({ x, label })).join("\n"))], {
      ...jsonl,
      ...multi,
    });
    expect([json.rejected, [...json.records.labels]]).toEqual([[], expectedRows]);
    const other = await read([file("a", "x,label\n1,a b\n2,b\n")], { ...csv, ...multi, labelSeparator: " " });
    expect([...other.records.labels]).toEqual([1, 1, 0, 1]);
  });

  it("keeps each file's records apart", async () => {
    const files = [file("a", "x,label\n1,b\n2,a|b\n"), file("b", "x,label\n3,c|a\n4,\n")];
    const { records } = await read(files, { ...csv, ...multi });
    expect([...records.labels]).toEqual([0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0]);
  });

  it.each<[string, DataInput, string]>([
    ['line 3, column "label": a label is empty', csv, "x,label\n1,a\n2,a||b\n"],
    ['line 1, column "label": the labels are "[[1]]": expected a list of texts', jsonl, '{"x":1,"label":[[1]]}\n'],
    [
      'line 2, column "x": expected a number, a text or a boolean, not a list',
      jsonl,
      '{"x":1,"label":["a"]}\n{"x":[1],"label":["a"]}\n',
    ],
  ])("is bad: %s", async (reason, input, body) => {
    expect(await whyBad(body, { ...input, ...multi })).toContain(reason);
  });
});

describe("a column of weights", () => {
  it("is no feature; each record counts as it says", async () => {
    const files = [file("a", "x,w,label\n1,0.5,a\n2,3,b\n"), file("b", "x,w,label\n3,0,a\n")];
    const { records, schema } = await read(files, { ...csv, weight: "w" });
    expect([rows(records), [...records.weights!], schema?.columns?.length]).toEqual([[[1], [2], [3]], [0.5, 3, 0], 1]);
    expect((await read([file("a", table)], csv)).records.weights).toEqual(Float32Array.of(1, 1));
  });

  it.each(["-1", "nan", "inf", "1e39", "heavy", ""])("is bad with %j", async (weight) => {
    expect(await whyBad(`x,w,label\n1,1,a\n2,${weight},b\n`, { ...csv, weight: "w" })).toMatch(
      /line 3, column "w": .* is no weight: expected a finite number, 0 or more$/,
    );
  });

  it("has to be there, and not among the features", async () => {
    expect(await whyBad(table, { ...csv, weight: "w" })).toContain('there is no column "w", which data.weight names');
    expect(await whyBad("x,w,label\n1,1,a\n", { ...csv, weight: "w", features: ["x", "w"] })).toContain(
      'the weight column "w" is among data.features',
    );
  });
});

describe("a column that the holdout is chosen by", () => {
  it("is a time in ms since 1970", async () => {
    const day = Date.UTC(2026, 0, 31);
    const times = [
      "2026-01-31",
      "2026-01-31 08:00:00",
      "2026-01-31T08:00:00.5Z",
      "2026-01-31T08:00+02:00",
      String(day / 1_000),
      String(day),
    ];
    const body = `t,x,label\n${times.map((time, i) => `${time},${i},a`).join("\n")}\n`;
    const holdout = { by: "time", column: "t", part: 0.1 } as const;
    const item = file("a", body);
    const { records } = await read([item], { ...csv, holdout });
    const marks = await marksOf(item, { ...csv, holdout });
    const hour = 3_600_000;
    expect(marks).toEqual([day, day + 8 * hour, day + 8 * hour + 500, day + 6 * hour, day, day]);
    expect(records.width).toBe(1);
    expect(await whyBad("t,x,label\n2026-13-01,1,a\n", { ...csv, holdout })).toContain(
      'line 2, column "t": "2026-13-01" is no time',
    );
    expect(timeMark("next week")).toBeUndefined();
  });

  it("is a hash of a group, which is no feature unless data.features names it", async () => {
    const body = "g,x,label\nann,1,a\nbob,2,b\nann,3,a\n";
    const holdout = { by: "group", column: "g", part: 0.1 } as const;
    const item = file("a", body);
    const { records } = await read([item], { ...csv, holdout });
    const marks = await marksOf(item, { ...csv, holdout });
    expect(marks).toEqual(["ann", "bob", "ann"].map(groupMark));
    expect(records.width).toBe(1);
    expect((await read([file("a", body)], { ...csv, holdout, features: ["g", "x"] })).records.width).toBe(3);
    expect(await whyBad("g,x,label\n,1,a\n", { ...csv, holdout })).toContain('line 2, column "g": it is empty');
    expect(await whyBad(table, { ...csv, holdout })).toContain('there is no column "g", which data.holdout names');
  });
});

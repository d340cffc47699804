/** Items that were made to do harm, or might as well have been: each is rejected with a message, quickly and in bounded memory. */
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { DataConfig } from "../protocol/data-config.ts";
import { file, idxArray, newReader, read, rows, whyBad, type DataInput } from "./testing/reading.ts";

const csv = { format: "csv" } as const;
const jsonl = { format: "jsonl" } as const;
const MB = 1_000_000;
const line = (start: string, bytes: number): Buffer => Buffer.concat([Buffer.from(start), Buffer.alloc(bytes, "1")]);
const LIMITS = DataConfig.parse(csv).limits;

describe("a CSV file", () => {
  it.each<[string, string, string | Uint8Array]>([
    ["of one line of 40 MB", "line 1: longer than 16777216 bytes", line("", 40 * MB)],
    ["of which one line has 40 MB", "line 3: longer than 16777216 bytes", line("x,label\n1,2\n", 40 * MB)],
    [
      "with a line of 40 MB between others",
      "line 3: longer than 16777216 bytes",
      Buffer.concat([line("x,label\n1,2\n3,", 40 * MB), Buffer.from("\n4,5\n")]),
    ],
    [
      "of 40 MB with a quote that is never closed",
      "line 3: a quote is not closed within 16777216 bytes",
      `x,label\n1,2\n"${"3,4\n".repeat(10 * MB)}`,
    ],
    ["with an open quote in its header", "line 1: a quote is not closed", `"x,label\n${"3,4\n".repeat(100)}`],
    ["of a million columns", "line 1: 1000000 columns are more than 10001", `${"x,".repeat(MB - 1)}label\n`],
    ["of a header alone", "it has no records", "x,label"],
    ["of blank lines", "it is empty: expected a header row", "\n\r\n\n\n"],
    ["with a NUL byte", 'line 2, column "x": "\\u0000" is not a number', "x,label\n\u0000,a\n"],
    ["of NUL bytes", "there is no label column", Buffer.alloc(1_000)],
    [
      "that is not UTF-8, and large",
      "it is not UTF-8",
      Buffer.concat([Buffer.from(`x,label\n${"1,2\n".repeat(50_000)}`), Buffer.from([0xff, 0x2c, 0x31, 0x0a])]),
    ],
    ["with a label that is a book", "has more than 256 characters", `x,label\n1,${"l".repeat(300)}\n`],
  ])("%s is rejected", async (_, reason, body) => {
    const { schema } = await read([file("good", "x,label\n1,2\n2,3\n")], csv);
    const message = await whyBad(body, csv, schema);
    expect(message).toMatch(/^bad some\/file: /);
    expect(message).toContain(reason);
  });

  it("of many blanks is read to its last line", async () => {
    const row = `1.5${" ".repeat(1_000)},2\n`;
    const body = Buffer.from(`x,label\n${row.repeat(40_000)}2.5,3\n`);
    const { records, rejected } = await read([file("a", body)], csv);
    expect(rejected).toEqual([]);
    expect([records.count, records.features.at(-1), records.labels.at(-1)]).toEqual([40_001, 2.5, 1]);
  });

  it("of 10,001 columns is read", async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `c${i}`).join(",");
    const row = Array.from({ length: 10_000 }, (_, i) => i).join(",");
    const { records, rejected } = await read(
      [file("a", `${names},label\n${row},1\n`)],
      csv,
      null,
      newReader({ memory: 2 ** 32 }),
    );
    expect([rejected, records.width, records.features.at(-1)]).toEqual([[], 10_000, 9_999]);
  });
});

describe("a JSONL file", () => {
  it.each<[string, string, string | Uint8Array]>([
    ["of one line of 40 MB", "line 1: longer than 16777216 bytes", line('{"x":1', 40 * MB)],
    ["that is nested a million deep", "line 1: ", "[".repeat(MB)],
    ["of objects a million deep", "line 1: ", '{"x":'.repeat(MB)],
    [
      "of a million columns",
      "line 1: 1000000 columns are more than 10001",
      `{${Array.from({ length: MB }, (_, i) => `"${i}":1`).join(",")}}`,
    ],
    ["with a NUL byte", "line 1: ", "\u0000"],
    [
      "with a column of Object.prototype that is missing",
      'column "toString": it is empty',
      '{"toString":1,"label":1}\n{"label":2}\n',
    ],
    ["with a list as its __proto__", 'line 1, column "__proto__": expected a number', '{"__proto__":[1],"label":1}\n'],
  ])("%s is rejected", async (_, reason, body) => {
    const message = await whyBad(body, jsonl);
    expect(message).toMatch(/^bad some\/file: /);
    expect(message).toContain(reason);
  });
});

describe("an IDX file", () => {
  const bomb = (values: number): Buffer =>
    gzipSync(Buffer.concat([idxArray("u8", [values / 100, 100], []), Buffer.alloc(values)]));

  it("that decompresses to more than data.limits.bytes is rejected by its header", async () => {
    const limits = { ...LIMITS, bytes: 50 * MB };
    expect(await whyBad(bomb(60 * MB), { format: "idx", limits })).toContain(
      "its records have the shape [600000, 100]: more than 47.7 MiB (data.limits.bytes)",
    );
  });

  it("that needs more memory than data.limits.memory is rejected, and the others are read", async () => {
    const small = Buffer.concat([
      idxArray(
        "u8",
        [2, 100],
        Array.from({ length: 200 }, () => 1),
      ),
      idxArray("u8", [2], [0, 1]),
    ]);
    const labels = Buffer.concat([idxArray("u8", [3 * MB], []), Buffer.alloc(3 * MB)]);
    const large = Buffer.concat([bomb(300 * MB), gzipSync(labels)]);
    const files = [file("a", small), file("b", large), file("c", small)];
    const { records, rejected } = await read(files, { format: "idx" }, null, newReader({ memory: 2 ** 28 }));
    expect(rejected.map(({ message }) => message)).toEqual([
      "b: reading it needed more than 256 MiB of memory (data.limits.memory)",
    ]);
    expect(records.count).toBe(4);
  });
});

describe("a picture", () => {
  const images = { format: "images", imageShape: [8, 8, 3] } satisfies DataInput;
  const plain = (size: number): Promise<Buffer> =>
    sharp({ create: { width: size, height: size, channels: 3, background: "#888" } })
      .png({ compressionLevel: 9 })
      .toBuffer();

  it("of few bytes that claims 60,000 x 60,000 pixels is rejected", async () => {
    const bomb = await plain(2);
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    expect(await whyBad(bomb, images, null, "a/x")).toContain(
      "bad a/x: it can't be read as a JPEG, PNG or WebP image: ",
    );
  });

  it("of few bytes that decodes to more than data.limits.bytes is rejected before it is decoded", async () => {
    const bomb = await plain(6_000);
    expect(bomb.length).toBeLessThan(MB);
    expect(await whyBad(bomb, { ...images, limits: { ...LIMITS, bytes: 100 * MB } }, null, "a/x")).toBe(
      "bad a/x: its 6000 x 6000 pixels have 103 MiB: more than 95.4 MiB (data.limits.bytes)",
    );
    // and within the limits it is read in bounded memory
    const { records } = await read(
      [file("a/x", bomb)],
      { ...images, labels: ["a", "b"] },
      null,
      newReader({ memory: 2 ** 29 }),
    );
    expect(rows(records)[0]).toHaveLength(192);
  });

  it.each(["jpeg", "png", "webp"] as const)("that is cut off is rejected: %s", async (format) => {
    const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
    const whole = await sharp({ create: { width: 200, height: 200, channels: 3, background: "#888", noise } })
      .toFormat(format)
      .toBuffer();
    for (const part of [0.1, 0.5, 0.9])
      expect(await whyBad(whole.subarray(0, whole.length * part), images, null, "a/x")).toContain(
        "bad a/x: it can't be read",
      );
  });
});

describe("a key that would write to the terminal", () => {
  it.each(["a\nb/\u001b[2Jx", "\u202egnp.x", "\u009b2J/x"])("is shown as text: %j", async (key) => {
    for (const input of [csv, jsonl, { format: "images" } as const]) {
      const { rejected } = await read([file(key, "\u001b]0;x\u0007,\u001b[2J\n")], input);
      expect(rejected[0]?.message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
    }
  });
});

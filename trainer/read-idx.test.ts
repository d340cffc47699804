import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { file, idxArray, read, rows, whyBad } from "./testing/reading.ts";

const idx = { format: "idx" } as const;
const small = Buffer.concat([
  idxArray("u8", [3, 2, 2], [0, 51, 102, 153, 204, 255, 0, 51, 1, 2, 3, 4]),
  idxArray("u8", [3], [7, 10, 7]),
]);

describe("an IDX file", () => {
  it("gives bytes in 0..1, images with one channel, and classes named by their numbers", async () => {
    const { schema, records, rejected } = await read([file("a", small)], idx);
    expect(rejected).toEqual([]);
    expect(schema).toEqual({
      format: 1,
      task: "classification",
      inputShape: [2, 2, 1],
      classes: ["7", "10"],
      columns: null,
      label: null,
    });
    expect(rows(records).slice(0, 2)).toEqual([
      [0, 0.2, 0.4, 0.6],
      [0.8, 1, 0, 0.2],
    ]);
    expect([...records.labels]).toEqual([0, 1, 0]);
  });

  it.each([
    ["gzipped", gzipSync(small)],
    ["of two gzipped arrays", Buffer.concat([gzipSync(small.subarray(0, 28)), gzipSync(small.subarray(28))])],
  ])("may be %s", async (_, body) => {
    expect(await read([file("a", body)], idx)).toEqual(await read([file("a", small)], idx));
  });

  it.each(["i8", "i16", "i32", "f32", "f64"] as const)("of %s values keeps them as they are", async (type) => {
    const body = Buffer.concat([idxArray(type, [2, 2], [-1, 2, 3, -100]), idxArray("i32", [2], [-5, 70_000])]);
    const { schema, records } = await read([file("a", body)], idx);
    expect(rows(records)).toEqual([
      [-1, 2],
      [3, -100],
    ]);
    expect(schema).toMatchObject({ inputShape: [2], classes: ["-5", "70000"] });
  });

  it("has channels, or values to predict", async () => {
    const body = Buffer.concat([idxArray("u8", [1, 1, 1, 3], [1, 2, 3]), idxArray("f64", [1], [-2.5])]);
    const { schema, records } = await read([file("a", body)], { ...idx, task: "regression" });
    expect(schema).toMatchObject({ inputShape: [1, 1, 3], classes: [], task: "regression" });
    expect([...records.labels]).toEqual([-2.5]);
  });

  const ones = (n: number): number[] => Array.from({ length: n }, () => 1);
  it.each([
    ["it is empty", Buffer.alloc(0)],
    ["starts with 0x68656c6c", Buffer.from("hello, world")],
    ["there is no array of labels: it ends after 28 bytes; records and labels are one file", small.subarray(0, 28)],
    ["it ends after 20 bytes, its records need 28", small.subarray(0, 20)],
    ["it ends after 38 bytes, with its labels it needs 39", small.subarray(0, 38)],
    ["1 bytes follow its labels", Buffer.concat([small, Buffer.from([0])])],
    ["it has more bytes than its header says", Buffer.concat([small, Buffer.alloc(100)])],
    ["it has more bytes than its header says", gzipSync(Buffer.concat([small, Buffer.alloc(50_000_000)]))],
    ["more than 1073741824 values", gzipSync(idxArray("u8", [60_000, 60_000, 60_000], []))],
    [
      "its gzip data is cut short: it ends after 25 bytes were decompressed, at byte 30",
      gzipSync(small).subarray(0, 30),
    ],
    ["its gzip data is damaged", Buffer.concat([gzipSync(small), Buffer.from("rest")])],
    ["it has 3 records, but 2 labels", Buffer.concat([small.subarray(0, 28), idxArray("u8", [2], [1, 2])])],
    ["its labels have 2 dimensions", Buffer.concat([small.subarray(0, 28), idxArray("u8", [3, 1], [1, 2, 3])])],
    [
      "its labels are f32: classes are integers",
      Buffer.concat([small.subarray(0, 28), idxArray("f32", [3], [1, 2, 3])]),
    ],
    ["it has no records: their shape is [0, 2]", Buffer.concat([idxArray("u8", [0, 2], []), idxArray("u8", [0], [])])],
    ["the shape [2]: expected [n, width]", Buffer.concat([idxArray("u8", [2], [1, 1]), idxArray("u8", [2], [1, 1])])],
    [
      "record 2: value 1 is NaN: not finite",
      Buffer.concat([idxArray("f32", [2, 2], [1, 2, NaN, 4]), idxArray("u8", [2], [1, 1])]),
    ],
    [
      "record 1: value 2 is 1e+300: not finite",
      Buffer.concat([idxArray("f64", [1, 2], [1, 1e300]), idxArray("u8", [1], [1])]),
    ],
  ])("is bad: %s", async (reason, body) => {
    const message = await whyBad(body, idx, null, "some/\u001bfile");
    expect(message).toContain("bad some/\\x1bfile: ");
    expect(message).toContain(reason);
  });

  it("has to have the shape and the classes of round 1 later", async () => {
    const { schema } = await read([file("a", small)], idx);
    expect(
      await whyBad(Buffer.concat([idxArray("u8", [1, 3], ones(3)), idxArray("u8", [1], [7])]), idx, schema),
    ).toContain("shape [3], the model's have [2, 2, 1]");
    expect(
      await whyBad(Buffer.concat([idxArray("u8", [2, 2, 2], ones(8)), idxArray("u8", [2], [7, 8])]), idx, schema),
    ).toContain('record 2: the label "8" is none of the 2 classes "7", "10"');
    const again = await read([file("b", small)], idx, schema);
    expect(again.schema).toEqual(schema);
    expect(again.records.count).toBe(3);
  });

  it("is read fast: 10,000 images of 28 x 28 in half a second, with a holdout", async () => {
    const pixels = Array.from({ length: 7_840_000 }, (_, i) => (i * 7 + (i >> 9)) % 256);
    const body = Buffer.concat([idxArray("u8", [10_000, 28, 28], pixels), idxArray("u8", [10_000], ones(10_000))]);
    const item = file("a", body);
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const start = performance.now();
      expect((await read([item], { ...idx, holdout: 0.1 })).records.count).toBe(10_000);
      times.push(performance.now() - start);
    }
    if (process.env["SHOW_TIMES"] !== undefined) console.log(times);
    expect(Math.min(...times)).toBeLessThan(500);
  });
});

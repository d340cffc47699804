import { symlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { RecordsOfItem } from "../item-records.ts";
import { packed, packedPath, unpacked } from "../testing/packing.ts";
import { loadRows, Rows } from "./rows.ts";
import { PackedWriter } from "./writer.ts";

const numbers = (count: number, from = 0): RecordsOfItem => ({
  count,
  shape: [3],
  features: Float32Array.from({ length: 3 * count }, (_, i) => Math.fround((from + i) / 7)),
  labels: Float32Array.from({ length: count }, (_, i) => -i),
  names: [],
});
const bytes = (count: number): RecordsOfItem => ({
  ...numbers(count),
  features: Uint8Array.from({ length: 3 * count }, (_, i) => i * 5),
});

function labelOf(rows: Rows): number {
  const label = new Float32Array(1);
  rows.labelInto(label, 0, { classOf: null, labelWidth: 1 });
  return label[0]!;
}

describe("packed records", () => {
  it("are what was packed: numbers to the last bit, values and weights of 1", () => {
    const { features, labels, weights, holdout } = unpacked(packed([numbers(2), numbers(3, 100)], { holdout: [1, 4] }));
    expect(features).toEqual(Float32Array.of(...numbers(2).features, ...numbers(3, 100).features));
    expect([...labels]).toEqual([-0, -1, -0, -1, -2]);
    expect([...weights]).toEqual([1, 1, 1, 1, 1]);
    expect([...holdout]).toEqual([0, 1, 0, 0, 1]);
  });

  it("keep bytes as bytes, of a width that is no multiple of 4: they are parts of 255", () => {
    const records = packed(bytes(4));
    expect(records.file.layout).toMatchObject({ kind: "byte", width: 3, stride: 12 });
    expect(unpacked(records).features).toEqual(Float32Array.from({ length: 12 }, (_, i) => Math.fround((i * 5) / 255)));
  });

  it("keep token ids as integers", () => {
    const records = packed({ ...numbers(1), features: Int32Array.of(7, 0, 2 ** 24) });
    expect(records.file.layout.kind).toBe("token");
    expect([...unpacked(records).features]).toEqual([7, 0, 2 ** 24]);
  });

  it.each([
    ["bytes, then numbers", [bytes(2), numbers(1)]],
    ["numbers, then bytes", [numbers(1), bytes(2)]],
    ["bytes, token ids, numbers", [bytes(1), { ...numbers(1), features: Int32Array.of(1, 2, 300) }, numbers(1)]],
  ])("of several types become floats with the same values: %s", (_, items) => {
    const mixed = unpacked(packed(items));
    const alone = items.map((item) => unpacked(packed(item)));
    expect([...mixed.features]).toEqual(alone.flatMap(({ features }) => [...features]));
    expect([...mixed.labels]).toEqual(alone.flatMap(({ labels }) => [...labels]));
  });

  it("have the schema's classes, whatever order the items' names came in", () => {
    const classed = (names: readonly string[], labels: readonly number[]): RecordsOfItem => ({
      ...numbers(labels.length),
      labels: Int32Array.from(labels),
      names: names.map((name) => ({ name, record: labels.indexOf(names.indexOf(name)) })),
    });
    const items = [classed(["c", "a"], [0, 1, 0]), classed(["b", "c"], [1, 0])];
    expect([...unpacked(packed(items, { classes: ["a", "b", "c"] })).labels]).toEqual([2, 0, 2, 2, 1]);
  });

  it("may have several classes, more than at first was room for; with other types of inputs as well", () => {
    const ITEMS = 5;
    const OF_ITEM = 20_000; // more than is written at once
    const name = (i: number): string => `class ${i}`;
    const classesOf = (record: number, among: number): number[] =>
      record % 7 === 0 ? [] : [...new Set([record % among, (record * 31) % among, among - 1])].sort((a, b) => a - b);
    const items = Array.from({ length: ITEMS }, (_, at): RecordsOfItem => {
      const among = 3 + 25 * at; // up to 103: four words
      const labels = Array.from({ length: OF_ITEM }, (__, i) => classesOf(i, among));
      let end = 0;
      return {
        ...(at < 2 ? bytes(OF_ITEM) : numbers(OF_ITEM)),
        labels: Int32Array.from(labels.flat()),
        offsets: Int32Array.from([0, ...labels.map(({ length }) => (end += length))]),
        names: Array.from({ length: among }, (__, i) => ({ name: name(i), record: 0 })),
        weights: Float32Array.from({ length: OF_ITEM }, (__, i) => i),
      };
    });
    const count = 3 + 25 * (ITEMS - 1);
    const classes = Array.from({ length: count }, (_, i) => name(count - 1 - i));
    const records = packed(items, { classes });
    expect(records.file.layout).toMatchObject({ kind: "number", labelWords: 4 });
    const { labels, weights, features } = unpacked(records);
    const wrong = Array.from({ length: ITEMS * OF_ITEM }, (_, row) => row).filter((row) => {
      const expected = new Float32Array(count);
      const [at, i] = [Math.floor(row / OF_ITEM), row % OF_ITEM];
      for (const own of classesOf(i, 3 + 25 * at)) expected[count - 1 - own] = 1;
      const input = Math.fround(at < 2 ? ((15 * i) % 256) / 255 : (3 * i) / 7);
      return (
        weights[row] !== i ||
        features[3 * row] !== input ||
        expected.some((value, c) => labels[row * count + c] !== value)
      );
    });
    expect(wrong).toEqual([]);
  });

  it("say that there are weights as soon as one item has some", () => {
    const records = packed([numbers(2), { ...numbers(2), weights: Float32Array.of(0.5, 0) }]);
    expect(records.file.weighted).toBe(true);
    expect([...unpacked(records).weights]).toEqual([1, 1, 0.5, 0]);
    expect(packed(numbers(2)).file.weighted).toBe(false);
  });

  it("are the same from memory as from the file, also of more than what is written at once", () => {
    const width = 1_000;
    const count = 700; // 2.8 MB
    const features = Float32Array.from({ length: width * count }, (_, i) => i);
    const { file } = packed({ ...numbers(count), shape: [width], features });
    for (const memory of [null, loadRows(file)]) {
      using rows = new Rows(file, memory);
      const row = new Float32Array(width);
      for (const at of [699, 0, 261, 262, 263]) {
        rows.seek(at);
        rows.floatsInto(row, 0);
        expect(row).toEqual(features.subarray(at * width, (at + 1) * width));
        expect(labelOf(rows)).toBe(-at);
      }
    }
  });

  it("begin anew after a reset, with another width and another type", () => {
    const writer = new PackedWriter(packedPath(), "value");
    writer.add({ ...bytes(200_000), weights: new Float32Array(200_000) }); // more than is written at once
    writer.reset();
    writer.add({ ...numbers(3), shape: [1], features: Float32Array.of(4, 5, 6) });
    const file = writer.finish(0);
    expect(file).toMatchObject({ count: 3, weighted: false, layout: { kind: "number", width: 1 } });
    using rows = new Rows(file);
    rows.seek(2);
    expect(labelOf(rows)).toBe(-2);
  });

  it.skipIf(process.platform !== "linux")("that find the disk full are OUT_OF_DISK", () => {
    const path = packedPath();
    symlinkSync("/dev/full", path);
    const writer = new PackedWriter(path, "value");
    writer.add(numbers(10));
    expect(() => writer.finish(0)).toThrow(expect.objectContaining({ code: "OUT_OF_DISK" }));
    writer.close();
  });

  it("that cannot fit on the disk are OUT_OF_DISK before anything is written", () => {
    const writer = new PackedWriter(packedPath(), "value");
    const features = new Float32Array(3);
    const count = 2 ** 44; // as if there were so many
    Object.defineProperty(features, "length", { value: 3 * count });
    const records = { ...numbers(1), features, count };
    Object.defineProperty(records, "names", {
      get: () => {
        throw new Error("goes on to write");
      },
    });
    expect(() => writer.add(records)).toThrow(expect.objectContaining({ code: "OUT_OF_DISK" }));
    writer.close();
  });
});

import { describe, expect, it } from "vitest";
import { DataConfig } from "../protocol/data-config.ts";
import { isHoldout } from "./holdout.ts";
import { file, read, rows, type DataInput } from "./testing/reading.ts";
import { numericMask, parseSchema, type Schema } from "./schema.ts";

const csv = { format: "csv" } as const;
const numbers = "x,label\n1,a\n2,b\n";

describe("a round's records", () => {
  it("are in the order of the files, then of their rows; a bad file is rejected alone", async () => {
    const files = [
      file("a", "x,label\noops"),
      file("b", numbers),
      file("c", "x,label\n3,a\nx,b\n"),
      file("d", "x,label\n4,c\n"),
    ];
    const { records, rejected, schema } = await read(files, csv);
    expect(rows(records)).toEqual([[1], [2], [4]]);
    expect([...records.labels]).toEqual([0, 1, 2]);
    expect(schema?.classes).toEqual(["a", "b", "c"]);
    expect(rejected.map(({ item, code, message }) => [item.key, code, message])).toEqual([
      ["a", "bad", "a: line 2: 1 fields, but the header has 2"],
      ["c", "bad", 'c: line 3, column "x": "x" is not a number'],
    ]);
  });

  it("have the classes that the config names, in its order", async () => {
    const files = [file("a", "x,y,label\n1,2,other\n"), file("b", numbers)];
    const { schema, rejected, records } = await read(files, { ...csv, labels: ["b", "a"] });
    expect(schema?.classes).toEqual(["b", "a"]);
    expect(schema?.columns?.map(({ name }) => name)).toEqual(["x"]); // the file with the unknown class defines nothing
    expect([...records.labels]).toEqual([1, 0]);
    expect(rejected[0]?.message).toBe('a: line 2: the label "other" is none of the 2 classes "b", "a"');
  });

  it("are none, and there is no schema, if nothing can be read; an earlier schema stays", async () => {
    const { schema: known } = await read([file("a", numbers)], csv);
    expect(await read([], csv)).toMatchObject({ schema: null, records: { count: 0, width: 0 }, rejected: [] });
    const nothing = await read([file("b", "")], csv, known);
    expect(nothing.schema).toEqual(known);
    expect(nothing.records).toMatchObject({ count: 0, width: 1 });
    expect(nothing.rejected).toHaveLength(1);
  });

  it("are the same each time", async () => {
    const files = [file("a", numbers), file("b", "x,label\n3,c\n")];
    expect(await read(files, { ...csv, holdout: 0.5 })).toEqual(await read(files, { ...csv, holdout: 0.5 }));
  });

  it.each<[string, DataInput]>([
    ["task", { ...csv, task: "regression" }],
    ["label", { ...csv, label: "x" }],
    ["features", { ...csv, features: ["y"] }],
    ["labels", { ...csv, labels: ["a", "c"] }],
    ["format", { format: "idx" }],
  ])("can't be read with another data.%s than in round 1", async (name, input) => {
    const { schema } = await read([file("a", numbers)], csv);
    await expect(read([], input, schema)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`data.${name} `),
    });
  });

  it("fail as a whole if a file is not there: that is no fault of the data", async () => {
    const missing = { ...file("a", numbers), path: "/nowhere/at/all" };
    await expect(read([missing], csv)).rejects.toThrow("ENOENT");
    await expect(read([missing], { format: "jsonl" })).rejects.toThrow("ENOENT");
    await expect(read([missing], { format: "idx" })).rejects.toThrow("ENOENT");
  });
});

describe("the holdout", () => {
  const many = Array.from({ length: 5_000 }, (_, i) => `${i * 0.37},${i % 10}`);

  it("is about the fraction asked for, of records and of each class", async () => {
    const { records } = await read([file("a", `x,label\n${many.join("\n")}`)], { ...csv, holdout: 0.2 });
    const share = records.holdout.reduce((sum, one) => sum + one, 0) / records.count;
    expect(share).toBeGreaterThan(0.18);
    expect(share).toBeLessThan(0.22);
    const ones = [...records.holdout].filter((_, i) => records.labels[i] === 1);
    expect(ones.filter((one) => one === 1).length / ones.length).toBeGreaterThan(0.13);
  });

  it("has a record or has it not, whatever file, order and round it comes in", async () => {
    const first = await read([file("a", `x,label\n${many.join("\n")}`)], { ...csv, holdout: 0.2 });
    const second = await read(
      [file("b", `x,label\n${many.toReversed().join("\n")}`)],
      { ...csv, holdout: 0.2 },
      first.schema,
    );
    expect(second.records.holdout).toEqual(first.records.holdout.toReversed());
  });

  it("grows with the fraction, and loses none", () => {
    for (let i = 0; i < 500; i++) {
      const features = Float32Array.of(i, -i / 3);
      if (isHoldout(features, "a", 0.1)) expect(isHoldout(features, "a", 0.3)).toBe(true);
    }
  });

  it("is none for 0, and depends on content alone", () => {
    const records = Float32Array.from({ length: 2_000 }, (_, i) => i % 2);
    const sides = Array.from({ length: 1_000 }, (_, i) => isHoldout(records.subarray(i * 2, i * 2 + 2), "a", 0.5));
    expect(new Set(sides).size).toBe(1);
    expect(isHoldout(records.subarray(0, 2), "a", 0)).toBe(false);
    const labels = Array.from({ length: 50 }, (_, i) => isHoldout(records.subarray(0, 2), i, 0.5));
    expect(new Set(labels).size).toBe(2);
  });

  it("is where it has always been", () => {
    const sides = Array.from({ length: 20 }, (_, i) => (isHoldout(Float32Array.of(i), "a", 0.5) ? 1 : 0)).join("");
    expect(sides).toBe("11100111000000011001");
  });
});

describe("a schema", () => {
  it("is read back as it was written", async () => {
    const { schema } = await read([file("a", "x,y,z,label\n1,a,3,a\n2,b,4,b\n")], csv);
    const again: Schema = parseSchema(JSON.stringify(schema));
    expect(again).toEqual(schema);
    expect([...numericMask(again)]).toEqual([1, 0, 0, 1]);
  });

  it.each(["{", "null", "{}", '{"format":2}'])("is refused if it is %s", (text) => {
    expect(() => parseSchema(text)).toThrow(expect.objectContaining({ code: "CHECKPOINT_NOT_WHOLE" }));
  });

  it("sorts numbers as numbers, before text", async () => {
    const { schema } = await read([file("a", "x,label\n1,b\n1,10\n1,9\n1,-1\n1,B\n1,1e1\n")], csv);
    expect(schema?.classes).toEqual(["-1", "9", "10", "1e1", "B", "b"]);
    expect(DataConfig.parse({ format: "csv" }).labels).toBeNull();
  });
});

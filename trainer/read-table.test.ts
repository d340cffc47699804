import { describe, expect, it } from "vitest";
import { file, read, rows, whyBad } from "./testing/reading.ts";

const csv = { format: "csv" } as const;
const jsonl = { format: "jsonl" } as const;
const flowers = "length,colour,label\n1.5,red,b\n-2e1,blue,a\n.25,red,b\n";
const flowersJson =
  '{"length":1.5,"colour":"red","label":"b"}\n{"label":"a","length":-20,"colour":"blue"}\n{"length":0.25,"colour":"red","label":"b"}';

describe.each([
  ["CSV", csv, flowers],
  ["JSONL", jsonl, flowersJson],
])("a %s file", (_, input, text) => {
  it("gives numbers as they are, text as one input for each category, and sorted classes", async () => {
    const { schema, records, rejected } = await read([file("a", text)], input);
    expect(rejected).toEqual([]);
    expect(schema).toEqual({
      format: 1,
      task: "classification",
      inputShape: [3],
      classes: ["a", "b"],
      columns: [
        { name: "length", kind: "number", categories: [] },
        { name: "colour", kind: "category", categories: ["blue", "red"] },
      ],
      label: "label",
    });
    expect(rows(records)).toEqual([
      [1.5, 0, 1],
      [-20, 1, 0],
      [0.25, 0, 1],
    ]);
    expect([...records.labels]).toEqual([1, 0, 1]);
  });

  it("may end its lines with CRLF, start with a byte order mark, and have blank lines", async () => {
    const other = `\ufeff${text.trim().replaceAll("\n", "\r\n\r\n")}\r\n`;
    expect(await read([file("a", other)], input)).toEqual(await read([file("a", text)], input));
  });

  it("is learned from in the columns, and the order, that the config names", async () => {
    const { schema, records } = await read([file("a", text)], { ...input, features: ["colour", "length"] });
    expect(schema?.columns?.map(({ name }) => name)).toEqual(["colour", "length"]);
    expect(rows(records)[0]).toEqual([0, 1, 1.5]);
  });

  it("gives values to predict", async () => {
    const { schema, records } = await read([file("a", text)], {
      ...input,
      task: "regression",
      label: "length",
      features: ["colour"],
    });
    expect(schema).toMatchObject({ task: "regression", classes: [], inputShape: [2] });
    expect([...records.labels]).toEqual([1.5, -20, 0.25]);
  });

  it("of a later round has no part for a category that round 1 did not have", async () => {
    const { schema } = await read([file("a", text)], input);
    const { records } = await read([file("b", text.replace("blue", "green"))], input, schema);
    expect(rows(records)[1]).toEqual([-20, 0, 0]);
  });

  it("of a later round has to have the columns and classes of round 1", async () => {
    const { schema } = await read([file("a", text)], input);
    const change = (from: string, to: string): Promise<string> => whyBad(text.replaceAll(from, to), input, schema);
    expect(await change("length", "width")).toContain(
      'columns are missing: "length"; its columns are "width", "colour", "label"',
    );
    expect(await change("label", "kind")).toContain(
      'there is no label column "label"; its columns are "length", "colour", "kind"; data.label names it',
    );
    expect(await change("-2", "x")).toMatch(
      input === csv ? /line 3, column "length": "xe1" is not a number/ : /line 2: /,
    );
    expect(await change("colour", "label2")).toContain('columns are missing: "colour"');
  });
});

describe("a CSV file", () => {
  it("has quoted fields with commas, quotes and line ends, and any name of a column", async () => {
    const text = `"a""'; DROP TABLE x; --","label",__proto__\n"x,\n""y""",1,2\nz,2,3\n`;
    const { schema, records } = await read([file("a", text)], csv);
    expect(schema?.columns).toEqual([
      { name: `a"'; DROP TABLE x; --`, kind: "category", categories: ['x,\n"y"', "z"] },
      { name: "__proto__", kind: "number", categories: [] },
    ]);
    expect(rows(records)).toEqual([
      [1, 0, 2],
      [0, 1, 3],
    ]);
  });

  it("has nothing in an empty field of a text column", async () => {
    const { schema, records } = await read([file("a", 'x,label\na,1\n,1\n"",2\n')], csv);
    expect(schema?.columns?.[0]?.categories).toEqual(["a"]);
    expect(rows(records)).toEqual([[1], [0], [0]]);
  });

  it("keeps its order over many batches", async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `${i},${i % 2}`);
    const { records } = await read([file("a", `x,label\n${lines.join("\n")}`)], csv);
    expect([...records.features]).toEqual(lines.map((_, i) => i));
    const late = `x,label\n${lines.join("\n")}`;
    expect(await whyBad(`${late}\noops,1\n`, { ...csv, features: ["x"], task: "regression" }, null)).toContain(
      "more than 1000 categories",
    );
    expect(await whyBad(`${late}\n1,2,3\n`, csv)).toContain("line 40002: 3 fields, but the header has 2");
    const some = `x,label\n${lines.slice(0, 6_000).join("\n")}`;
    expect(await whyBad(`${some}\n1,2,3\n`, csv)).toContain("line 6002: 3 fields, but the header has 2");
    const { schema } = await read([file("b", "x,label\n1,0\n2,1\n")], csv);
    expect(await whyBad(`${late}\noops,1\n`, csv, schema)).toContain('line 40002, column "x": "oops" is not a number');
  });

  it.each([
    ["line 3: 1 fields, but the header has 2", "x,label\n1,2\n3\n"],
    ["line 3: 3 fields, but the header has 2", "x,label\n1,2\n3,4,5\n6,7\n"],
    ["line 6: 1 fields, but the header has 2", 'x,label\n1,"x\ny"\n\n\n3\n'],
    ["line 2: a quote is not closed", 'x,label\n1,"2\n3,4\n'],
    ["line 3: text follows a closing quote", 'x,label\n1,2\n3,"3"4\n5,6\n'],
    ["it is empty", ""],
    ["it has no records", "x,label\n"],
    ["it is a zip archive", Buffer.from("PK\u0003\u0004\u0014\u0000")],
    ["it is not UTF-8", Buffer.from([...Buffer.from("x,label\n"), 0xff, 0x2c, 0x31, 0x0a])],
    ['line 3, column "x": it is empty, expected a number', "x,label\n1,2\n,4\n"],
    ['line 6, column "x": "NaN" is not finite', 'x,label\n1,"2\n"\n\n2,"2\n"\nNaN,4\n'.replace("\n\n2", "\n2")],
    ['line 2, column "x": "inf" is not finite', "x,label\ninf,2\n1,4\n"],
    ['line 2, column "x": "1e39" is not finite', "x,label\n1e39,2\n1,4\n"],
    ['line 3, column "label": the label is empty', "x,label\n1,2\n3,\n"],
    ['there is no label column "label"; its columns are "1", "2"', "1,2\n3,4\n"],
    ['two columns have the name "x"', "x,x,label\n1,2,3\n"],
    ['there is no column but the label "label"', "label\n1\n"],
    ['column "y" has no values', "x,y,label\n1,,3\n"],
    [
      'column "x" has more than 1000 categories',
      `x,label\n${Array.from({ length: 1_001 }, (_, i) => `n${i},1`).join("\n")}\n`,
    ],
    ["more than 10000 classes", `x,label\n${Array.from({ length: 10_001 }, (_, i) => `1,${i}`).join("\n")}\n`],
  ])("is bad: %s", async (reason, body) => {
    expect(await whyBad(body, csv)).toContain(`bad some/file: `);
    expect(await whyBad(body, csv)).toContain(reason);
  });

  it("is bad with a label that is no finite value", async () => {
    expect(await whyBad("x,label\n1,2\n2,nan\n", { ...csv, task: "regression" })).toContain(
      'line 3, column "label": the label "nan" is not a finite number',
    );
    expect(await whyBad("x,label\n1,many\n", { ...csv, task: "regression" })).toContain(
      'line 2, column "label": the label "many" is not a finite number',
    );
  });

  it("is bad with a column more than in round 1, or one that the config names and it has not", async () => {
    const { schema } = await read([file("a", flowers)], csv);
    expect(await whyBad("length,colour,size,label\n1,red,2,a\n", csv, schema)).toContain(
      'columns that round 1 did not have: "size"',
    );
    expect(await whyBad(flowers, { ...csv, features: ["width"] })).toContain('columns are missing: "width"');
    expect(await whyBad(flowers, { ...csv, features: ["length", "label"] })).toContain(
      'the label column "label" is among data.features',
    );
  });

  it("names the line of a label that is no class, and keeps what it shows on one line", async () => {
    const { schema } = await read([file("a", flowers)], csv);
    expect(await whyBad('length,colour,label\n1,"\n",a\n1,red,"\u001b[2Jc"\n', csv, schema)).toContain(
      `line 4: the label "\\u001b[2Jc" is none of the 2 classes "a", "b"`,
    );
  });
});

describe("a JSONL file", () => {
  it.each([
    ["line 3: ", '{"x":1,"label":"a"}\n\n{"x":1,\n'],
    ['line 1: "[1,2]" is no JSON object', "[1,2]\n"],
    [
      'line 2, column "x": expected a number, a text or a boolean, not a list',
      '{"x":1,"label":"a"}\n{"x":[1],"label":"a"}\n',
    ],
    ['line 1, column "x": expected a number, a text or a boolean, not an object', '{"x":{},"label":"a"}\n'],
    ['line 2: "y" is not in line 1', '{"x":1,"label":"a"}\n{"x":1,"y":1,"label":"a"}\n'],
    ['line 3, column "x": it is empty', '{"x":1,"label":"a"}\n\n{"label":"a"}\n'],
    ['line 2, column "x": it is empty', '{"x":1,"label":"a"}\n{"x":null,"label":"a"}\n'],
    ['line 2, column "x": 2 is a number: the column has both', '{"x":"1","label":"a"}\n{"x":2,"label":"a"}\n'],
    ['line 2, column "x": "2" is none: the column has both', '{"x":1,"label":"a"}\n{"x":"2","label":"a"}\n'],
    ['line 1, column "x": Infinity is not finite', '{"x":1e999,"label":"a"}\n'],
    ["line 2: it is not UTF-8", Buffer.concat([Buffer.from('{"x":1,"label":"a"}\n'), Buffer.from([0xff, 0x0a])])],
    ["it is empty", "\n\n"],
  ])("is bad: %s", async (reason, body) => {
    expect(await whyBad(body, jsonl)).toContain(reason);
  });

  it("has booleans as categories, and columns of any name", async () => {
    const { schema, records } = await read(
      [file("a", '{"__proto__":true,"label":1}\n{"__proto__":false,"label":2}\n')],
      jsonl,
    );
    expect(schema?.columns).toEqual([{ name: "__proto__", kind: "category", categories: ["false", "true"] }]);
    expect(schema?.classes).toEqual(["1", "2"]);
    expect(rows(records)).toEqual([
      [0, 1],
      [1, 0],
    ]);
  });

  it("is cut into lines wherever the disk's blocks end", async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => JSON.stringify({ x: i, label: "ä€😀".repeat(i % 3) + "a" }));
    const { records, schema } = await read([file("a", lines.join("\n"))], jsonl);
    expect([...records.features]).toEqual(lines.map((_, i) => i));
    expect(schema?.classes).toHaveLength(3);
  });
});

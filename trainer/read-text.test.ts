import { describe, expect, it } from "vitest";
import { file, read, rows, whyBad } from "./testing/reading.ts";
import { tokensOf, vocabularyOf } from "./text-tokens.ts";

const lines = { format: "text", tokens: 4 } as const;
const jsonl = { ...lines, text: "message" } as const;
const spam = "ham\tGo until Jurong point, go!\r\nspam\tFREE entry: 2 go\n\nham\tok\n";
const spamJson = [
  { label: "ham", message: "Go until Jurong point, go!" },
  { label: "spam", message: "FREE entry: 2 go" },
  { label: "ham", message: "ok" },
]
  .map((row) => JSON.stringify(row))
  .join("\n");

describe.each([
  ["lines", lines, spam],
  ["JSONL", jsonl, spamJson],
])("text as %s", (_, input, body) => {
  it("becomes the ids of a vocabulary: the most frequent tokens first, those of one count by name", async () => {
    const { schema, records, rejected } = await read([file("a", body)], input);
    expect(rejected).toEqual([]);
    expect(schema).toEqual({
      format: 1,
      task: "classification",
      inputShape: [4],
      classes: ["ham", "spam"],
      columns: null,
      label: null,
      vocabulary: ["go", "2", "entry", "free", "jurong", "ok", "point", "until"],
    });
    expect(records.features).toBeInstanceOf(Int32Array);
    expect(rows(records)).toEqual([
      [2, 9, 6, 8], // cut
      [5, 4, 3, 2],
      [7, 0, 0, 0], // filled up
    ]);
    expect([...records.labels]).toEqual([0, 1, 0]);
  });

  it("has a vocabulary of all files of round 1, which stays as it is", async () => {
    const { schema, records } = await read(
      [file("a", body), file("b", body.replaceAll("ok", "never never never never"))],
      {
        ...input,
        vocabulary: 4,
      },
    );
    expect(schema?.vocabulary).toEqual(["go", "never"]);
    expect(rows(records).at(-1)).toEqual([3, 3, 3, 3]);
    const later = await read([file("c", body.replaceAll("ok", "nothing never"))], { ...input, vocabulary: 4 }, schema);
    expect(later.schema).toEqual(schema);
    expect(rows(later.records).at(-1)).toEqual([1, 3, 0, 0]);
  });

  it("of a file that can't be read counts for nothing, and the file is rejected with its line", async () => {
    const bad = Buffer.concat([Buffer.from(body), Buffer.from("\n"), Buffer.from([0xff])]);
    const { schema, rejected } = await read([file("a", body), file("b", bad)], input);
    expect(rejected.map(({ message }) => message)).toEqual([expect.stringMatching(/^b: line \d: it is not UTF-8$/)]);
    expect(schema).toEqual((await read([file("a", body)], input)).schema);
  });

  it("needs as many tokens as before", async () => {
    const { schema } = await read([file("a", body)], input);
    await expect(read([file("a", body)], { ...input, tokens: 5 }, schema)).rejects.toThrow(
      "data.tokens is 5, but the model was trained with 4",
    );
    await expect(read([file("a", "x,label\n1,a\n")], { format: "csv" }, schema)).rejects.toThrow(
      "data.format is csv, but the model was trained with text",
    );
  });
});

describe("text", () => {
  it.each([
    ["line 2: there is no tab: expected a label, a tab and a text", lines, "a\tb\nc\n"],
    ['line 2, column "label": the label is empty', lines, "a\tb\n\tc\n"],
    ["it has no records", lines, "\n"],
    [
      'there is no column "message", which data.text names; its columns are "label", "text"',
      jsonl,
      '{"label":"a","text":"b"}\n',
    ],
    ['line 1, column "message": the text is empty', jsonl, '{"label":"a","message":null}\n'],
    [
      'line 1, column "message": expected a number, a text or a boolean, not a list',
      jsonl,
      '{"label":"a","message":["b"]}\n',
    ],
    ["line 1: longer than 16777216 bytes", lines, `a\t${"b ".repeat(9_000_000)}`],
  ])("is bad: %s", async (reason, input, body) => {
    expect(await whyBad(body, input)).toContain(reason);
  });

  it("has values to predict, several labels, and weights", async () => {
    const values = await read([file("a", "1.5\tx\n-2\ty\n")], { ...lines, task: "regression" });
    expect([...values.records.labels]).toEqual([1.5, -2]);
    const labels = await read([file("a", "b|a\tx\n\ty\n")], { ...lines, task: "multi-label" });
    expect([...labels.records.labels]).toEqual([1, 1, 0, 0]);
    const weights = await read([file("a", '{"label":"a","message":"x","w":2}\n')], { ...jsonl, weight: "w" });
    expect([...weights.records.weights!]).toEqual([2]);
  });

  it("is cut into runs of letters, marks and digits of any script, in lower case", () => {
    expect(tokensOf("Don't PANIC: 42x! Ä\u0308 नमस्ते 你好 e\u0301")).toEqual([
      "don",
      "t",
      "panic",
      "42x",
      "ä\u0308",
      "नमस्ते",
      "你好",
      "é",
    ]);
    expect(tokensOf("x".repeat(100))).toEqual(["x".repeat(64)]);
    expect(
      vocabularyOf(
        new Map([
          ["b", 1],
          ["10", 1],
          ["9", 1],
          ["a", 2],
        ]),
        5,
      ),
    ).toEqual(["a", "9", "10"]);
  });
});

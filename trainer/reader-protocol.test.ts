import { describe, expect, it } from "vitest";
import {
  lineOf,
  Messages,
  parseAnswer,
  parseRequest,
  placesOf,
  type Answer,
  type ReadOutcome,
} from "./reader-protocol.ts";

const outcome: ReadOutcome & { outcome: "read" } = {
  outcome: "read",
  count: 1,
  shape: [2],
  features: "F32",
  labels: "class",
  labelCount: 1,
  weights: false,
  marks: false,
  names: [{ name: "a\n\u2028", record: 0 }],
  columns: null,
};
const read: Answer = { op: "read", outcomes: [outcome] };

describe("a message of the reader", () => {
  it("comes out whole, wherever it is cut", () => {
    const sent = [read, { op: "opened" as const }, read];
    const stream = Buffer.concat(sent.map(lineOf));
    for (let size = 1; size <= stream.length; size++) {
      const got: Answer[] = [];
      const messages = new Messages((line) => got.push(parseAnswer(line)));
      for (let at = 0; at < stream.length; at += size) messages.push(stream.subarray(at, at + size));
      expect(got, `${size} bytes at a time`).toEqual(sent);
    }
  });

  it("has its records' numbers where each type may begin, one file's after the other's", () => {
    const bytes = { ...outcome, features: "U8" as const, shape: [3] }; // 7 bytes with its label
    const bad = { outcome: "bad" as const, message: "" };
    expect(placesOf([bytes, bad, bytes, outcome])).toEqual({ begins: [0, 8, 8, 16], end: 28 });
    expect(placesOf([])).toEqual({ begins: [], end: 0 });
  });

  it.each([
    "",
    "[]",
    "null",
    '{"op":"read"}',
    '{"op":"where","where":7}',
    '{"op":"opened","more":1}',
    "\u00ff",
    '{"op":"read","outcomes":[{"outcome":"read","count":-1,"shape":[1],"features":"F32","labels":"class","labelCount":1,"weights":false,"marks":false,"names":[],"columns":null}]}',
  ])("is refused if it is %s", (line) => {
    expect(() => parseAnswer(Buffer.from(line, "latin1"))).toThrow(Error);
    expect(() => parseRequest(Buffer.from(line, "latin1"))).toThrow(Error);
  });
});

import { describe, expect, it } from "vitest";
import { lineOf, Messages, parseAnswer, parseRequest, type Answer } from "./reader-protocol.ts";

const read: Answer = {
  op: "read",
  outcomes: [
    {
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
    },
  ],
};

describe("a message of the reader", () => {
  it("comes out whole, with the bytes after it, wherever it is cut", () => {
    const bytes = Buffer.from([10, 2, 10, 4, 5, 6, 7, 10]);
    const stream = Buffer.concat([lineOf(read), bytes, lineOf({ op: "opened" }), lineOf(read), bytes]);
    for (let size = 1; size <= stream.length; size++) {
      const got: unknown[] = [];
      let [message, array]: [Answer | undefined, Uint8Array] = [undefined, new Uint8Array(0)];
      const messages = new Messages({
        begin: (line) => {
          message = parseAnswer(line);
          array = new Uint8Array(message.op === "read" ? bytes.length : 0);
          return [array, new Uint8Array(0)];
        },
        end: () => got.push([message, Buffer.from(array)]),
      });
      for (let at = 0; at < stream.length; at += size) messages.push(stream.subarray(at, at + size));
      expect(got, `${size} bytes at a time`).toEqual([
        [read, bytes],
        [{ op: "opened" }, Buffer.alloc(0)],
        [read, bytes],
      ]);
    }
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

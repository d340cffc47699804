import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, compareBytes, itemId, jsonBytes, sha256, shardOf } from "./digest.ts";

const text = fc.string({ unit: "grapheme" });

describe("canonicalJson", () => {
  it("sorts the names of properties at every depth and writes no spaces", () => {
    expect(canonicalJson({ b: [{ d: 1, c: null }], a: "x y" })).toBe('{"a":"x y","b":[{"c":null,"d":1}]}');
  });

  it("gives equal values equal bytes, in whatever order they were made", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).reverse());
        expect(canonicalJson(reversed)).toBe(canonicalJson(object));
      }),
    );
  });

  it("is JSON that means the same value, and is stable: reading and writing it again changes no byte", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const written = canonicalJson(value);
        expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(JSON.parse(written))).toBe(written);
      }),
    );
  });

  it("leaves undefined properties out, so that an absent and an undefined one are one value", () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
  });

  it.each([Number.NaN, Infinity, -Infinity, 1n, () => 1, Symbol("s"), undefined])(
    "rejects %s, wherever it is: JSON cannot hold it",
    (value) => {
      expect(() => canonicalJson(value)).toThrow(TypeError);
      expect(() => canonicalJson([value])).toThrow(TypeError);
      if (value !== undefined) expect(() => canonicalJson({ a: { b: value } })).toThrow(TypeError);
    },
  );

  it("is UTF-8 as bytes", () => {
    expect(jsonBytes("é\u{1f600}")).toEqual(new Uint8Array(Buffer.from('"é\u{1f600}"', "utf8")));
  });
});

describe("itemId", () => {
  const item = { bucket: "data", key: "a.csv", etag: "e1" };

  it("is 128 bits as 22 characters of base64url", () => {
    fc.assert(
      fc.property(fc.record({ bucket: text, key: text, etag: text }), (one) => {
        expect(itemId(one)).toMatch(/^[A-Za-z0-9_-]{22}$/);
      }),
    );
  });

  it("never changes: consumed/ holds ids from years ago", () => {
    expect(itemId(item)).toBe(Buffer.from(sha256("data\0a.csv\0e1").slice(0, 32), "hex").toString("base64url"));
    expect(itemId(item)).toBe("b79VW_8sb0neJt39ynEvng");
  });

  it("does not depend on size or versionId: the same bytes put again are the same item", () => {
    const again = { ...item, size: 99, versionId: "v7" };
    expect(itemId(again)).toBe(itemId(item));
  });

  it("tells bucket, key and etag apart, also where one runs into the next", () => {
    const ids = [
      { bucket: "a", key: "b", etag: "" },
      { bucket: "ab", key: "", etag: "" },
      { bucket: "", key: "ab", etag: "" },
      { bucket: "a", key: "", etag: "b" },
      { bucket: "", key: "a", etag: "b" },
      { bucket: "", key: "", etag: "ab" },
    ].map(itemId);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

it("puts an id into the shard of its first byte, one of 256", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 4_000; i++) {
    const id = itemId({ bucket: "data", key: `${i}`, etag: "" });
    const first = Buffer.from(id, "base64url")[0]!;
    expect(shardOf(id)).toBe(first.toString(16).padStart(2, "0"));
    seen.add(shardOf(id));
  }
  expect(seen.size).toBe(256);
  expect([...seen].sort()[0]).toBe("00");
  expect([...seen].sort().at(-1)).toBe("ff");
});

describe("compareBytes", () => {
  it("orders as the bytes of UTF-8 do, as a LIST does", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
      }),
    );
  });

  it("puts what is beyond the BMP last, where UTF-16 code units would not", () => {
    const [face, bmp] = ["\u{1f600}", "\uffee"];
    expect(face < bmp).toBe(true);
    expect(compareBytes(face, bmp)).toBeGreaterThan(0);
    expect([face, bmp, "z"].sort(compareBytes)).toEqual(["z", bmp, face]);
  });
});

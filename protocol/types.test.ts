import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DOCUMENTS, sampleCheckpoint, sampleItem } from "../test/stored-documents.ts";
import { canonicalJson, jsonBytes, sha256 } from "./digest.ts";
import { AccreteError } from "./errors.ts";
import { BYTES_MAX, documentBytes, parseDocument, SCHEMAS, SEGMENT_ITEMS_MAX } from "./types.ts";
import type { DocumentKind, DocumentOf, LogEntry } from "./types.ts";

const KEY = "some/key.json";
const KINDS = Object.keys(SCHEMAS) as DocumentKind[];
const isRefused = (code = "STORED_NOT_READABLE"): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(KEY) });
/** The bytes of any value, with the digest that belongs to it. */
const seal = (value: object): Uint8Array => jsonBytes({ ...value, digest: sha256(canonicalJson(value)) });
const textBytes = (text: string): Uint8Array => new TextEncoder().encode(text);
function bytesOf<K extends DocumentKind>(kind: K): Uint8Array {
  const document: DocumentOf<K> = DOCUMENTS[kind];
  return documentBytes(kind, KEY, document);
}

const state = {
  format: 1,
  seq: 3,
  parent: sha256("2"),
  at: 0,
  round: 3,
  redo: null,
  keep: [],
  scheduled: 0,
  spent: { day: "2026-01-31", dayMs: 1, monthMs: 2 },
  checkpoint: null,
  live: null,
  by: "ada",
  reason: "why",
  nonce: "0".repeat(32),
} as const;
const OTHER_ENTRIES: LogEntry[] = [
  { ...state, keep: [], kind: "promote", target: 0 },
  {
    ...state,
    keep: [],
    kind: "rollback",
    jobMs: 5,
    to: 0,
    replay: true,
    cause: "auto",
    without: [sampleItem("x")],
    with: [],
  },
];

describe("a stored document", () => {
  it.each(KINDS)("of kind %s is read as it was written", (kind) => {
    expect(parseDocument(kind, KEY, bytesOf(kind))).toEqual(DOCUMENTS[kind]);
  });

  it.each(OTHER_ENTRIES.map((entry) => [entry.kind, entry] as const))(
    "that is the entry of a %s is read as it was written",
    (_kind, entry) => expect(parseDocument("logEntry", KEY, documentBytes("logEntry", KEY, entry))).toEqual(entry),
  );

  it("is read as it was written, whatever the names and messages in it", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 });
    const size = fc.maxSafeNat();
    const item = fc.record(
      { bucket: text, key: text, etag: text, size, versionId: text },
      { requiredKeys: ["bucket", "key", "etag", "size"] },
    );
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 5 }), (items) => {
        const segment = { format: 1, items } as const;
        expect(parseDocument("segment", KEY, documentBytes("segment", KEY, segment))).toEqual(segment);
      }),
    );
  });

  it("has the same bytes whoever writes it", () => {
    const { format, items } = DOCUMENTS.segment;
    expect(documentBytes("segment", KEY, { items, format })).toEqual(bytesOf("segment"));
  });

  it.each(KINDS)("of kind %s is refused with any one byte flipped", (kind) => {
    const whole = bytesOf(kind);
    for (let at = 0; at < whole.length; at++) {
      for (const mask of [0x01, 0x20, 0x80]) {
        const body = whole.slice();
        body[at]! ^= mask;
        let error: unknown;
        try {
          parseDocument(kind, KEY, body);
        } catch (thrown) {
          error = thrown;
        }
        // no expect() in the loop: it would take most of the time
        if (!(error instanceof AccreteError) || !error.message.includes(KEY)) {
          expect.fail(`byte ${at} xor ${mask}: ${String(error)}`);
        }
      }
    }
  });

  it.each(KINDS)("of kind %s is refused with a byte added or left out anywhere", (kind) => {
    const whole = bytesOf(kind);
    const place = fc.nat({ max: whole.length - 1 });
    fc.assert(
      fc.property(place, fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const longer = new Uint8Array([...whole.subarray(0, at), byte, ...whole.subarray(at)]);
        const shorter = new Uint8Array([...whole.subarray(0, at), ...whole.subarray(at + 1)]);
        for (const body of [longer, shorter]) expect(() => parseDocument(kind, KEY, body)).toThrow(AccreteError);
      }),
      { numRuns: 30 },
    );
  });

  it("is refused with bytes that are no UTF-8 where it had a replacement character", () => {
    const whole = documentBytes("jobRecord", KEY, { format: 1, jobId: "job \ufffd" });
    const at = Buffer.from(whole).indexOf("\ufffd");
    const damaged = new Uint8Array([...whole.subarray(0, at), 0xff, ...whole.subarray(at + 3)]);
    expect(() => parseDocument("jobRecord", KEY, damaged)).toThrow(isRefused());
  });

  it("is refused in another spelling of the same value: the log names it by its bytes", () => {
    const text = new TextDecoder().decode(bytesOf("result"));
    expect(text).toContain("1e-7");
    expect(text).toContain("\\u001f");
    for (const other of [
      text.replace("1e-7", "1E-7"),
      text.replace("\\u001f", "\\u001F"),
      `${text}\n`,
      `\ufeff${text}`,
      JSON.stringify(JSON.parse(text), null, 1),
    ]) {
      expect(() => parseDocument("result", KEY, textBytes(other))).toThrow(isRefused());
    }
  });
});

describe("a document that is not ours is refused, with its key in the message", () => {
  const live = DOCUMENTS.live;
  it.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array()],
    ["no JSON", textBytes("{")],
    ["JSON that is no object", textBytes("[]")],
    ["null", textBytes("null")],
    ["without a digest", jsonBytes(live)],
    ["with another document's digest", jsonBytes({ ...live, digest: sha256("") })],
    ["invalid UTF-8", new Uint8Array([...bytesOf("live").subarray(0, -2), 0xff, 0x22, 0x7d])],
    ["a number too large for a double", textBytes('{"digest":"x","seq":1e999}')],
    ["nested too deep", textBytes(`{"x":${"[".repeat(20_000)}${"]".repeat(20_000)}}`)],
    ["with an unknown field", seal({ ...live, extra: 1 })],
    ["with an unknown field further in", seal({ ...live, live: { ...sampleCheckpoint(2), extra: 1 } })],
    ["without a field", seal({ format: 1, seq: 2 })],
    ["of a later format", seal({ ...live, format: 2 })],
    ["of a format that is text", seal({ ...live, format: "1" })],
    ["of another kind", seal(DOCUMENTS.intent)],
    ["with a number that is no count", seal({ ...live, seq: -1 })],
    ["with a part of a number", seal({ ...live, seq: 1.5 })],
    ["with a digest that is none", seal({ ...live, live: { ...sampleCheckpoint(2), sha256: "abc" } })],
  ])("%s", (_what, body) => {
    expect(() => parseDocument("live", KEY, body)).toThrow(isRefused());
    expect(() => parseDocument("live", KEY, body)).toThrow(AccreteError);
  });

  it.each(["__proto__", "constructor", "prototype"])("a property named %s, at any depth", (name) => {
    for (const text of [
      `{"${name}":{"x":1}}`,
      `{"format":1,"live":{"${name}":null},"seq":1}`,
      `{"a":[{"${name}":1}]}`,
    ]) {
      expect(() => parseDocument("live", KEY, textBytes(text))).toThrow(
        expect.objectContaining({
          code: "STORED_NOT_READABLE",
          message: expect.stringMatching(new RegExp(`${KEY}.*a property named ${name}`)),
        }),
      );
    }
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it("says where in the document it is wrong", () => {
    const { items } = DOCUMENTS.segment;
    const body = seal({ format: 1, items: [items[0], { ...items[1], size: -1 }] });
    expect(() => parseDocument("segment", KEY, body)).toThrow(`${KEY}: not a segment: at items.1.size: `);
  });

  it("one that is larger than any we write, before it is parsed", () => {
    for (const kind of ["live", "intent", "quarantined", "failure"] as const) {
      const body = new Uint8Array(BYTES_MAX[kind] + 1);
      expect(() => parseDocument(kind, KEY, body)).toThrow(isRefused("STORED_TOO_LARGE"));
      expect(() => parseDocument(kind, KEY, body.subarray(1))).toThrow(isRefused("STORED_NOT_READABLE"));
    }
  });
});

describe("what is written is checked before it is", () => {
  it("a document that could not be read again", () => {
    expect(() => documentBytes("live", KEY, { format: 1, seq: -1, live: null })).toThrow(isRefused());
    const intent = { ...DOCUMENTS.intent, nonce: "short" };
    expect(() => documentBytes("intent", KEY, intent)).toThrow(isRefused());
  });

  it("a metric under a name that no reader takes", () => {
    const metrics = { constructor: 1 } as unknown as Record<string, number>;
    expect(() => documentBytes("result", KEY, { ...DOCUMENTS.result, metrics })).toThrow(isRefused());
  });

  it("a segment of more than a thousand items, and one of none", () => {
    const items = Array.from({ length: SEGMENT_ITEMS_MAX + 1 }, (_, i) => sampleItem(`${i}`));
    expect(() => documentBytes("segment", KEY, { format: 1, items })).toThrow(isRefused());
    expect(() => documentBytes("segment", KEY, { format: 1, items: items.slice(1) })).not.toThrow();
    expect(() => documentBytes("segment", KEY, { format: 1, items: [] })).toThrow(isRefused());
  });

  it("and a thousand items with the longest names there can be still fit a segment", () => {
    const long = "\u0001".repeat(1_024);
    const items = Array.from({ length: SEGMENT_ITEMS_MAX }, (_, i) =>
      sampleItem(`${i}${long}`.slice(0, 1_024), { versionId: long, bucket: "b".repeat(255), etag: "e".repeat(255) }),
    );
    expect(() => documentBytes("segment", KEY, { format: 1, items })).not.toThrow();
  });
});

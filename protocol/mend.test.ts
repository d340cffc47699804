import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "./digest.ts";
import { MEND_BYTES_MAX, mendedBy, mendedDocument } from "./mend.ts";
import { documentBytes } from "./types.ts";

const flipped = (body: Uint8Array, bit: number): Uint8Array => body.with(bit >> 3, body[bit >> 3]! ^ (1 << (bit & 7)));

describe("a flipped bit", () => {
  const document = documentBytes("live", "live.json", { format: 1, seq: 7, live: null });

  it("is taken back wherever it is in a document, but for the 12 bytes around its digest", () => {
    const text = new TextDecoder().decode(document);
    const from = text.indexOf('"digest":"');
    const name = (at: number): boolean =>
      (at >= from && at < from + 10) || (at >= from + 10 + 64 && at < from + 10 + 64 + 2);
    for (let bit = 0; bit < document.length * 8; bit++) {
      const mended = mendedDocument(flipped(document, bit));
      if (name(bit >> 3)) expect(mended ?? document).toEqual(document);
      else expect(mended, `bit ${bit}`).toEqual(document);
    }
  });

  it("is taken back in any bytes whose digest is known", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (body, seed) => {
        expect(mendedBy(sha256(body), flipped(body, seed % (body.length * 8)))).toEqual(body);
      }),
      { numRuns: 30 },
    );
  });

  it("is not guessed where two bits are wrong, bytes are missing, or there are too many", () => {
    for (const body of [
      flipped(flipped(document, 3), 500),
      document.subarray(0, document.length - 1),
      document.subarray(0, 30),
      new Uint8Array(),
    ])
      expect(mendedDocument(body)).toBeUndefined();
    const large = new Uint8Array(MEND_BYTES_MAX + 1);
    expect(mendedBy(sha256(large), flipped(large, 1))).toBeUndefined();
  });
});

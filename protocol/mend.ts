/**
 * A flipped bit can be taken back where a digest says what the bytes were: each bit is tried until the digest is right. Nothing is guessed:
 * a wrong mend would be a collision of sha256.
 */
import { createHash } from "node:crypto";
import { sha256 } from "./digest.ts";

/** Larger ones would take minutes: the time grows with the square of the size. 32 KiB: a few seconds. */
export const MEND_BYTES_MAX = 32_768;

/** @returns the bytes with one bit changed, whose sha256 is `digest`; undefined if there are none, or it would take too long */
export function mendedBy(digest: string, body: Uint8Array): Uint8Array | undefined {
  if (body.byteLength > MEND_BYTES_MAX) return undefined;
  const wanted = Buffer.from(digest, "hex");
  const tried = body.slice();
  for (let i = 0; i < tried.length; i++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      tried[i]! ^= bit;
      if (createHash("sha256").update(tried).digest().equals(wanted)) return tried;
      tried[i]! ^= bit;
    }
  }
  return undefined;
}

/** A document's own digest. Its name comes before `format`, which every document has: so a comma follows it. */
const SEAL = /"digest":"([^]{64})",/;

/**
 * A stored document in which one bit was flipped, as it was. The document's own digest is of its JSON without that field.
 * @returns undefined if more is wrong, or the bit is in the field's name
 */
export function mendedDocument(body: Uint8Array): Uint8Array | undefined {
  // one character a byte, so that nothing is lost on the way
  const text = Buffer.from(body).toString("latin1");
  const seal = SEAL.exec(text);
  if (seal === null || body.byteLength > MEND_BYTES_MAX) return undefined;
  const [before, after] = [text.slice(0, seal.index), text.slice(seal.index + seal[0].length)];
  const content = Buffer.from(before + after, "latin1");
  const digest = sha256(content);
  const sealed = (mended: Uint8Array, of: string): Uint8Array => {
    const whole = Buffer.from(mended).toString("latin1");
    return new Uint8Array(
      Buffer.from(`${whole.slice(0, before.length)}"digest":"${of}",${whole.slice(before.length)}`, "latin1"),
    );
  };
  if (digest === seal[1]) return undefined; // nothing is wrong with it
  // the bit is in the digest itself
  if (bitsBetween(digest, seal[1]!) === 1) return sealed(content, digest);
  if (!/^[0-9a-f]{64}$/.test(seal[1]!)) return undefined;
  const mended = mendedBy(seal[1]!, content);
  return mended === undefined ? undefined : sealed(mended, seal[1]!);
}

function bitsBetween(a: string, b: string): number {
  let bits = 0;
  for (let i = 0; i < a.length; i++) {
    for (let differs = a.charCodeAt(i) ^ b.charCodeAt(i); differs > 0; differs >>= 1) bits += differs & 1;
  }
  return bits;
}

/**
 * Text as its UTF-8 bytes, one character a byte. Two such strings compare with `<` as S3 orders keys; JavaScript's own
 * strings compare by UTF-16 code units, which differs beyond the Basic Multilingual Plane.
 */
import { isUtf8 } from "node:buffer";

const ASCII = /^[\x00-\x7f]*$/;

/** The UTF-8 bytes of a text, one character a byte. */
export function toByteString(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

/** The text again; undefined if the bytes are not valid UTF-8. */
export function fromByteString(bytes: string): string | undefined {
  if (ASCII.test(bytes)) return bytes;
  const buffer = Buffer.from(bytes, "latin1");
  return isUtf8(buffer) ? buffer.toString("utf8") : undefined;
}

/** Bodies that show whether they are whole: their last bytes say what their first ones do. */
import { sha256 } from "../../protocol/digest.ts";

/** Larger than a page and than a pipe: a write of it is not atomic by itself. */
const FILLER = "x".repeat(200_000);

const encoder = new TextEncoder();

export const wholeBody = (name: string, index: number): Uint8Array => encoder.encode(sealed(`${name} ${index} `));
export const counted = (count: number): Uint8Array => encoder.encode(sealed(`${count} `));

const sealed = (start: string): string => `${start}${FILLER}${sha256(`${start}${FILLER}`)}`;

/** The words before the filler. @throws if the body is not whole */
export function startOf(body: Uint8Array): string {
  const text = new TextDecoder().decode(body);
  if (sha256(text.slice(0, -64)) !== text.slice(-64))
    throw new Error(`half a body: ${body.byteLength} bytes, ${text.slice(0, 20)}`);
  return text.slice(0, text.indexOf(FILLER)).trimEnd();
}

export const countOf = (body: Uint8Array): number => Number(startOf(body));

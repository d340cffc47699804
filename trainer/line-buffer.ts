/** The bytes of a text file that are at hand: whole records are taken from its front, and more bytes come behind. */
import { isUtf8 } from "node:buffer";
import type { ByteSource, OpenBytes } from "./byte-source.ts";
import { BadItem } from "./item-records.ts";

/** A record longer than this is hardly one: no file makes a reader hold more of it. */
export const LINE_BYTES_MAX = 16_777_216;
/** A byte order mark is seen as a whole, also where compressed data comes in smaller parts. */
const MARK_BYTES_MAX = 3;
const LF = 0x0a;

export class LineBuffer {
  /** one byte more than are in use: a 0 is behind them, so that a scan may look one further */
  bytes: Buffer = Buffer.alloc(1);
  /** the next record's first */
  at = 0;
  end = 0;
  /** whether there are no more */
  ended = false;
  /** taken from its front before, since the top */
  #before = 0;
  #checked = 0;
  readonly #source: OpenBytes;
  readonly #chunkBytes: number;
  #first = true;

  constructor(source: ByteSource) {
    this.#source = source.open();
    this.#chunkBytes = source.chunkBytes;
  }

  /** How many bytes are behind. */
  get taken(): number {
    return this.#before + this.at;
  }

  /** Gets more; `ended` if there are none. @param line of the next record, for the message @throws {BadItem} if they are not UTF-8 */
  async more(line: number): Promise<void> {
    do await this.#fill();
    while (this.#first && this.end < MARK_BYTES_MAX && !this.ended);
    if (this.#first) this.#begin();
    this.#check(line);
  }

  async #fill(): Promise<void> {
    this.#makeRoom();
    const read = this.#source.read(this.bytes.subarray(this.end));
    const length = typeof read === "number" ? read : await read;
    this.end += length;
    this.ended = length === 0;
    this.bytes[this.end] = 0;
  }

  async close(): Promise<void> {
    await this.#source.close();
  }

  /** For a chunk and one byte more, behind what is left. */
  #makeRoom(): void {
    const kept = this.end - this.at;
    const room = kept + this.#chunkBytes + 1;
    const to = room > this.bytes.length ? Buffer.allocUnsafe(kept > 0 ? 2 * room : room) : this.bytes;
    if (to !== this.bytes || this.at > 0) to.set(this.bytes.subarray(this.at, this.end), 0);
    this.bytes = to;
    this.#before += this.at;
    this.#checked -= this.at;
    this.at = 0;
    this.end = kept;
  }

  #begin(): void {
    this.#first = false;
    const { bytes, end } = this;
    const which = utf16Of(bytes.subarray(0, Math.min(end, 1_024)));
    if (which !== undefined) throw new BadItem(`it is UTF-16 (${which}): expected UTF-8`);
    if (isZip(bytes.subarray(0, end))) throw new BadItem("it is a zip archive: put the files that are in it");
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.at = this.#checked = 3;
  }

  /** Up to the last byte at which no character is open. */
  #check(line: number): void {
    let to = this.end;
    if (!this.ended) while (to > this.#checked && this.bytes[to - 1]! >= 0x80) to--;
    if (isUtf8(this.bytes.subarray(this.#checked, to))) {
      this.#checked = to;
      return;
    }
    let at = this.at;
    let bad = line;
    for (;;) {
      const next = this.bytes.indexOf(LF, at);
      if (next === -1 || next >= to || !isUtf8(this.bytes.subarray(at, next))) break;
      at = next + 1;
      bad++;
    }
    throw new BadItem(`line ${bad}: it is not UTF-8`);
  }
}

/** By the header of its first file. */
function isZip(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32BE(0) === 0x504b0304;
}

/**
 * Has lines taken from the front until there are no more, or no more are wanted; closes it.
 * @param at the number of the line at hand
 * @param take takes whole lines; false: no more are wanted
 * @throws {BadItem} for a line that is too long
 */
export async function readLines(buffer: LineBuffer, at: () => number, take: () => boolean): Promise<void> {
  try {
    do {
      await buffer.more(at());
      if (!take()) return;
      checkLine(at(), buffer.end - buffer.at);
    } while (!buffer.ended);
  } finally {
    await buffer.close();
  }
}

/** @throws {BadItem} */
export function checkLine(line: number, bytes: number): void {
  if (bytes > LINE_BYTES_MAX) throw new BadItem(`line ${line}: longer than ${LINE_BYTES_MAX} bytes`);
}

/** About how many records there will be, a few too many rather than too few; 0: there is nothing to tell it by. */
export function expectedRecords({ packing, size }: ByteSource, { taken }: LineBuffer, recordsSoFar: number): number {
  return packing === null && taken > 0 ? Math.ceil((1.02 * size * recordsSoFar) / taken) : 0;
}

/** By its mark, or as text in it mostly is: every other byte is 0. */
function utf16Of(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "little-endian";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "big-endian";
  const zeros = [0, 0];
  bytes.forEach((byte, i) => (zeros[i % 2]! += byte === 0 ? 1 : 0));
  const half = bytes.length / 2;
  if (half < 2) return undefined;
  if (zeros[0] === 0 && zeros[1]! > 0.8 * half) return "little-endian";
  return zeros[1] === 0 && zeros[0]! > 0.8 * half ? "big-endian" : undefined;
}

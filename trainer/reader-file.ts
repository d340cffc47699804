/**
 * The file that the reader leaves the records of an answer in: it has no name, is as large as the largest answer, and written over by the
 * next one. The kernel keeps it in memory, so bytes go through it at a fraction of what a socket takes.
 */
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";

/** The file's number in the reader's process. */
export const READER_FILE = 4;
/** Below what one call may ask for. */
const CALL_BYTES_MAX = 67_108_864;

/** The trainer's side. */
export class ReaderFile {
  readonly fd: number;

  /** @param folder that it may be made in */
  constructor(folder: string) {
    const path = join(folder, "answer");
    this.fd = openSync(path, "wx+", 0o600);
    unlinkSync(path);
  }

  /** The first so many of its bytes, as they are now. @throws {Error} if it has fewer */
  read(length: number): ArrayBuffer {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const read = readSync(this.fd, bytes, at, Math.min(CALL_BYTES_MAX, length - at), at);
      if (read === 0) throw new Error(`records of ${length} bytes, of which ${at} are there`);
      at += read;
    }
    return bytes.buffer;
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The reader's side. @param position in the file @returns the first byte behind them */
export function writeArrays(arrays: readonly Uint8Array[], position: number): number {
  let end = position;
  for (const array of arrays)
    for (let at = 0; at < array.length;) {
      const written = writeSync(READER_FILE, array, at, Math.min(CALL_BYTES_MAX, array.length - at), end);
      at += written;
      end += written;
    }
  return end;
}

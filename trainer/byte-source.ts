/**
 * A file's bytes as they were before somebody compressed them: plain, gzip or zstd by how it begins, whatever its name is. What is
 * decompressed is counted and never whole in memory or on disk here, so a small file can't become a large one.
 */
import { createReadStream, openSync, readFileSync, readSync, closeSync, statSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { messageOf } from "../protocol/errors.ts";
import { sizeText } from "../protocol/units.ts";
import { BadItem } from "./item-records.ts";

/** Of what is read at once: it fits a processor's second cache. */
const CHUNK_BYTES = 262_144;

export interface ByteSource {
  readonly packing: "gzip" | "zstd" | null;
  /** of the file as it is */
  readonly size: number;
  /** bytes that one read gives at most */
  readonly chunkBytes: number;
  /** From the top at each call. */
  open(): OpenBytes;
}

export interface OpenBytes {
  /**
   * Writes the next bytes at the front of the array, which has room for `chunkBytes`.
   * @returns how many they are; 0: there are no more
   * @throws {BadItem} where the file is damaged, cut short, or larger than the limit
   */
  read(into: Uint8Array): Promise<number> | number;
  close(): Promise<void> | void;
}

/** @param bytesMax of the whole, after it was decompressed */
export function openBytes(path: string, bytesMax: number): ByteSource {
  const { size } = statSync(path);
  if (size <= CHUNK_BYTES) {
    const bytes = readFileSync(path); // once, however often it is gone through
    const packing = packingOf(bytes);
    if (packing === null) return { packing, size, chunkBytes: size, open: () => openHeld(bytes) };
    return { packing, size, chunkBytes: CHUNK_BYTES, open: () => openPacked(path, size, packing, bytesMax) };
  }
  const packing = packingOf(firstBytes(path));
  const open = (): OpenBytes => (packing === null ? openPlain(path) : openPacked(path, size, packing, bytesMax));
  return { packing, size, chunkBytes: CHUNK_BYTES, open };
}

/** All of its bytes, a chunk at a time. Each is only there until the next one is asked for. */
export async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  const opened = source.open();
  const chunk = Buffer.allocUnsafe(source.chunkBytes);
  try {
    for (let length = await opened.read(chunk); length > 0; length = await opened.read(chunk))
      yield chunk.subarray(0, length);
  } finally {
    await opened.close();
  }
}

function openHeld(bytes: Uint8Array): OpenBytes {
  let rest: Uint8Array | undefined = bytes;
  return {
    read(into) {
      const { length } = rest ?? [];
      if (rest !== undefined) into.set(rest);
      rest = undefined;
      return length;
    },
    close: () => undefined,
  };
}

/** The reader does one thing at a time, so nobody waits while it reads; and a stream would need a new array for each chunk. */
function openPlain(path: string): OpenBytes {
  const file = openSync(path, "r");
  let open = true;
  return {
    read: (into) => readSync(file, into, 0, CHUNK_BYTES, null),
    close: () => {
      if (open) closeSync(file);
      open = false;
    },
  };
}

function openPacked(path: string, size: number, packing: "gzip" | "zstd", bytesMax: number): OpenBytes {
  const chunks = limited(unpacked(path, size, packing), bytesMax);
  let rest: Uint8Array = new Uint8Array(0);
  return {
    async read(into) {
      while (rest.length === 0) {
        const next = await chunks.next();
        if (next.done === true) return 0;
        rest = next.value;
      }
      const part = rest.subarray(0, CHUNK_BYTES);
      into.set(part);
      rest = rest.subarray(part.length);
      return part.length;
    },
    close: async () => void (await chunks.return(undefined)),
  };
}

function packingOf(bytes: Uint8Array): ByteSource["packing"] {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "gzip";
  return isZstd(bytes) ? "zstd" : null;
}

/** Also a frame that is to be skipped, with which files of several frames may begin. */
function isZstd(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  const magic = Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
}

function firstBytes(path: string, at = 0, length = 4): Uint8Array {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, at));
  } finally {
    closeSync(file);
  }
}

async function* limited(chunks: AsyncGenerator<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > bytesMax)
      throw new BadItem(`it has more than ${sizeText(bytesMax)} after it is decompressed (data.limits.bytes)`);
    yield chunk;
  }
}

/** All members of a gzip file, all frames of a zstd file. */
async function* unpacked(path: string, size: number, packing: "gzip" | "zstd"): AsyncGenerator<Uint8Array> {
  let from = 0;
  let bytes = 0;
  while (from < size) {
    const file = createReadStream(path, { start: from, highWaterMark: CHUNK_BYTES });
    const decoder =
      packing === "gzip" ? createGunzip({ chunkSize: CHUNK_BYTES }) : createZstdDecompress({ chunkSize: CHUNK_BYTES });
    file.on("error", (error) => decoder.destroy(error));
    file.pipe(decoder);
    try {
      for await (const chunk of decoder) {
        if (!(chunk instanceof Uint8Array)) continue;
        bytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (!isZlibError(error)) throw error;
      const cut = /unexpected end of file/.test(messageOf(error));
      const place = `after ${bytes} bytes were decompressed`;
      throw new BadItem(
        cut
          ? `its ${packing} data is cut short: it ends ${place}, at byte ${size}`
          : `its ${packing} data is damaged ${place}: ${messageOf(error)}`,
      );
    } finally {
      file.destroy();
      decoder.destroy();
    }
    const used = decoder.bytesWritten;
    from += used;
    if (from < size) checkRest(path, { from, size, packing, used });
    if (packing === "gzip") return; // Node's gunzip takes all members
  }
}

/** Nothing of a file is passed over without a word; but zeros at the end are how tapes and some tools fill blocks. */
function checkRest(path: string, at: { from: number; size: number; packing: "gzip" | "zstd"; used: number }): void {
  const rest = firstBytes(path, at.from, Math.min(at.size - at.from, 65_536));
  if (at.packing === "zstd" && isZstd(rest) && at.used > 0) return;
  if (at.packing === "gzip" && rest.every((byte) => byte === 0)) return;
  throw new BadItem(`${at.size - at.from} bytes that are no ${at.packing} data follow at byte ${at.from}`);
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^(Z_|ZSTD_)/.test(error.code);
}

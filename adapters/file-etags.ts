/** The sha256 of local files, remembered while a file's size and times stay the same. */
import { createHash } from "node:crypto";
import { constants, type BigIntStats } from "node:fs";
import { open } from "node:fs/promises";
import { isMissing } from "./file-errors.ts";

/** Never through a link, and never waiting for somebody to write to a pipe. */
export const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
export const CHUNK_BYTES = 1_048_576;

/** About 300 bytes each. More files than this are hashed again at each look: slower, but right. */
const REMEMBERED_MAX = 1_000_000;
/**
 * A file changed so short a time ago may change again without its times showing it: file systems round them to ticks of
 * up to 10 ms. So its digest is not remembered yet.
 */
const RACY_MS = 100n;

interface Remembered {
  /** of the file as it was: a text, as the stats themselves are six times as large */
  readonly mark: string;
  readonly etag: string;
}

export class FileEtags {
  readonly #remembered = new Map<string, Remembered>();
  /** how many files were read so far: a test's proof that unchanged ones are not */
  hashed = 0;

  /**
   * The content's sha256 as 64 hex digits.
   * @param stats of the file at that path, from just before
   * @returns undefined if it changed or went away meanwhile
   */
  async etagOf(path: string, stats: BigIntStats): Promise<string | undefined> {
    const known = this.known(path, stats);
    if (known !== undefined) return known;
    const etag = await hashFile(path, stats);
    if (etag === undefined) return undefined;
    this.hashed++;
    this.#remembered.delete(path);
    const changedMs = stats.mtimeMs > stats.ctimeMs ? stats.mtimeMs : stats.ctimeMs;
    if (BigInt(Date.now()) - changedMs < RACY_MS) return etag;
    this.remember(path, stats, etag);
    return etag;
  }

  /** What is remembered of a file as it is now. */
  known(path: string, stats: BigIntStats | undefined): string | undefined {
    const known = this.#remembered.get(path);
    return stats !== undefined && known?.mark === markOf(stats) ? known.etag : undefined;
  }

  /** Of a file whose digest somebody knows who has just written it, and who alone writes to it. */
  remember(path: string, stats: BigIntStats | undefined, etag: string): void {
    if (stats === undefined) return;
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size < REMEMBERED_MAX) break;
      this.#remembered.delete(oldest);
    }
    this.#remembered.set(path, { mark: markOf(stats), etag });
  }
}

/** The change time (ctime) too: it moves when somebody sets the modification time back. */
function markOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

async function hashFile(path: string, stats: BigIntStats): Promise<string | undefined> {
  let handle;
  try {
    handle = await open(path, READ_FLAGS);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    if (!sameContent(await handle.stat({ bigint: true }), stats)) return undefined;
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(Math.min(Number(stats.size) + 1, CHUNK_BYTES));
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
    }
    return sameContent(await handle.stat({ bigint: true }), stats) ? hash.digest("hex") : undefined;
  } finally {
    await handle.close();
  }
}

function sameContent(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

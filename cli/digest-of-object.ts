/** The sha256 of a stored object of any size, in bounded memory. */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { sha256 } from "../protocol/digest.ts";
import type { Store } from "../protocol/ports.ts";

/** Read at once; what is larger goes through a file. */
const IN_MEMORY_BYTES_MAX = 16 * 1_048_576;

export async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1_048_576 }), hash);
  return hash.digest("hex");
}

export interface Digests extends AsyncDisposable {
  /** undefined if the object is not there */
  readonly digestOf: (key: string, size: number) => Promise<string | undefined>;
}

export async function digestThroughFile(store: Store): Promise<Digests> {
  const folder = await mkdtemp(join(tmpdir(), "accrete-verify-"));
  return {
    async digestOf(key, size) {
      if (size <= IN_MEMORY_BYTES_MAX) {
        const stored = await store.get(key);
        return stored === undefined ? undefined : sha256(stored.body);
      }
      const path = join(folder, randomUUID());
      try {
        return (await store.readToFile(key, path))?.sha256;
      } finally {
        await rm(path, { force: true });
      }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

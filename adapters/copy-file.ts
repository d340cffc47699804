/** An open file's bytes into another file, hashed on the way. */
import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import type { FileDigest } from "../protocol/ports.ts";
import { CHUNK_BYTES } from "./file-etags.ts";

/** Reading, writing and hashing go on at the same time. @param path is made, or cut off and written anew */
export async function copyHashed(from: FileHandle, path: string): Promise<FileDigest> {
  const hash = createHash("sha256");
  const to = await open(path, "w");
  try {
    let size = 0;
    let [current, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
    let { bytesRead } = await from.read(current, 0, CHUNK_BYTES, size);
    while (bytesRead > 0) {
      const chunk = current.subarray(0, bytesRead);
      const at = size;
      size += bytesRead;
      const [next] = await Promise.all([
        from.read(other, 0, CHUNK_BYTES, size),
        writeAll(to, chunk, at),
        hash.update(chunk), // on this thread, while the system does the others
      ]);
      ({ bytesRead } = next);
      [current, other] = [other, current];
    }
    return { sha256: hash.digest("hex"), size };
  } finally {
    await to.close();
  }
}

async function writeAll(to: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await to.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

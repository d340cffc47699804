/** An open file's bytes: hashed, in another file, or under another name. */
import { createHash } from "node:crypto";
import { link, open, rm, type FileHandle } from "node:fs/promises";
import type { FileDigest } from "../protocol/ports.ts";
import { lstatOrNothing } from "./directory-paths.ts";
import { errorCode, isMissing } from "./file-errors.ts";
import { CHUNK_BYTES } from "./file-etags.ts";

/** @param path is made, or cut off and written anew */
export async function copyHashed(from: FileHandle, path: string): Promise<FileDigest> {
  const to = await open(path, "w");
  try {
    return await digestOf(from, (chunk, at) => writeAll(to, chunk, at));
  } finally {
    await to.close();
  }
}

/** Reading and hashing go on at the same time. @param also done with each chunk meanwhile; the chunk is only there until it settles */
export async function digestOf(
  from: FileHandle,
  also: (chunk: Uint8Array, at: number) => Promise<void> = async () => undefined,
): Promise<FileDigest> {
  const hash = createHash("sha256");
  let size = 0;
  let [current, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
  let { bytesRead } = await from.read(current, 0, CHUNK_BYTES, size);
  while (bytesRead > 0) {
    const chunk = current.subarray(0, bytesRead);
    const at = size;
    size += bytesRead;
    const [next] = await Promise.all([
      from.read(other, 0, CHUNK_BYTES, size),
      also(chunk, at),
      hash.update(chunk), // on this thread, while the system does the others
    ]);
    ({ bytesRead } = next);
    [current, other] = [other, current];
  }
  return { sha256: hash.digest("hex"), size };
}

async function writeAll(to: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await to.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

/** Another file system, as many links as there can be, or a file of another user. */
export const NO_LINK: readonly string[] = ["EXDEV", "EMLINK", "EPERM"];

/** Another name for a file that is open. @returns false where that can't be, or where its own name is gone or another file's by now */
export async function linkOpen(file: FileHandle, from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
  } catch (error) {
    if (isMissing(error) || NO_LINK.includes(errorCode(error) ?? "")) return false;
    throw error;
  }
  const [opened, linked] = [await file.stat({ bigint: true }), await lstatOrNothing(to)];
  if (linked?.dev === opened.dev && linked.ino === opened.ino) return true;
  await rm(to, { force: true });
  return false;
}

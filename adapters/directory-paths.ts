/** Keys as paths below a root folder: nothing outside it can be named, and no symbolic link leads out of it. */
import type { BigIntStats } from "node:fs";
import { lstat, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { AccreteError } from "../protocol/errors.ts";
import { isMissing } from "./file-errors.ts";

/** As on S3, and as the schema of an Item has it. */
export const KEY_BYTES_MAX = 1_024;
/** The longest file name of the usual file systems. */
const NAME_BYTES_MAX = 255;

const UNSAFE_IN_STATE = /[\x00-\x1f\x7f\\]/;

function unsafe(key: string, why: string): AccreteError {
  return new AccreteError("UNSAFE_KEY", `${JSON.stringify(key)}: ${why}`);
}

/**
 * The file names of a key of the state store. Names that start with a dot are the store's own.
 * @throws {AccreteError} UNSAFE_KEY
 */
export function stateParts(key: string): readonly string[] {
  if (UNSAFE_IN_STATE.test(key)) throw unsafe(key, "a control character or a backslash");
  const parts = dataParts(key);
  if (parts.some((part) => part.startsWith("."))) throw unsafe(key, "a part that starts with a dot");
  return parts;
}

/**
 * The file names of an item's key: users name files, so all is allowed that can lie in the folder.
 * @throws {AccreteError} UNSAFE_KEY
 */
export function dataParts(key: string): readonly string[] {
  if (!key.isWellFormed()) throw unsafe(key, "not well-formed Unicode");
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) throw unsafe(key, `longer than ${KEY_BYTES_MAX} bytes`);
  if (key.includes("\0")) throw unsafe(key, "a NUL");
  const parts = key.split("/");
  for (const part of parts) {
    if (part === "") throw unsafe(key, "an empty part");
    if (part === "." || part === "..") throw unsafe(key, `a part that is "${part}"`);
    if (Buffer.byteLength(part) > NAME_BYTES_MAX) throw unsafe(key, `a part longer than ${NAME_BYTES_MAX} bytes`);
    if (process.platform === "win32" && /[\\:]/.test(part)) throw unsafe(key, "a backslash or a colon");
  }
  return parts;
}

/** The folder of a prefix, that is what comes before its last slash, as parts. */
export function folderParts(prefix: string, parse: (key: string) => readonly string[]): readonly string[] {
  const slash = prefix.lastIndexOf("/");
  return slash < 0 ? [] : parse(prefix.slice(0, slash));
}

/**
 * The path of a folder below the root, with no symbolic link on the way (the root itself may be one); undefined if it is
 * not there.
 * @throws {AccreteError} UNSAFE_KEY for a symbolic link, STORE_UNREADABLE if the root is no folder
 */
export async function folderInside(root: string, parts: readonly string[]): Promise<string | undefined> {
  let folder: string;
  let real: string;
  try {
    folder = join(await realpath(root), ...parts);
    real = await realpath(folder);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await assertFolderOrMissing(root);
    return undefined;
  }
  if (real !== folder) throw unsafe(parts.join("/"), "a symbolic link is on the way");
  if (parts.length === 0) await assertFolderOrMissing(root);
  return folder;
}

/** @throws {AccreteError} STORE_UNREADABLE: else a file in the root's place would look like an empty store */
export async function assertFolderOrMissing(root: string): Promise<void> {
  try {
    if ((await stat(root)).isDirectory()) return;
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  throw new AccreteError("STORE_UNREADABLE", `${root}: not a folder`);
}

/** Of what lies at the path itself, be it a symbolic link; undefined if nothing does. */
export async function lstatOrNothing(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

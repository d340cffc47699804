/** The files below a folder in the order in which S3 lists keys. */
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fromByteString, toByteString } from "./byte-order.ts";
import { folderInside, folderParts } from "./directory-paths.ts";
import { errorCode, isMissing } from "./file-errors.ts";

export interface Found {
  readonly key: string;
  readonly path: string;
  /** a symbolic link, and not a file */
  readonly link: boolean;
}

/** `not-a-file`: a pipe, a socket or a device */
export type SkipReason = "name-not-utf8" | "name-too-long" | "symbolic-link" | "not-readable" | "not-a-file";

export interface WalkOptions {
  /** may end in the middle of a name */
  readonly prefix: string;
  /** only keys that come after this one */
  readonly after?: string | undefined;
  /** the names of a key, or UNSAFE_KEY: for the prefix's folder */
  readonly parse: (key: string) => readonly string[];
  /** told what can't be listed; without it a folder that can't be read is an error */
  readonly onSkipped?: ((name: string, why: SkipReason) => void) | undefined;
}

/**
 * All files and symbolic links, in the order of the keys' UTF-8 bytes. Reads only folders that can hold such keys, and
 * only as far as it is asked on. Hidden names are left out; links to folders are not followed.
 */
export async function* walk(root: string, options: WalkOptions): AsyncGenerator<Found> {
  const parts = folderParts(options.prefix, options.parse);
  if (parts.some((part) => part.startsWith("."))) return;
  const folder = await folderInside(root, parts);
  if (folder === undefined) return;
  const base = parts.map((part) => `${part}/`).join("");
  const bytes = { prefix: toByteString(options.prefix), after: toByteString(options.after ?? "") };
  // what was asked for itself has to be readable: nothing there and nothing to be seen are not the same
  const entries = await entriesOf(folder, {
    base: toByteString(base),
    bytes,
    onSkipped: options.onSkipped,
    asked: true,
  });
  yield* walkEntries(folder, entries, bytes, options.onSkipped);
}

interface Bytes {
  readonly prefix: string;
  readonly after: string;
}
interface Entry {
  /** bytes */
  readonly key: string;
  readonly entry: Dirent<Buffer>;
}

async function* walkEntries(
  folder: string,
  entries: readonly Entry[],
  bytes: Bytes,
  onSkipped: WalkOptions["onSkipped"],
): AsyncGenerator<Found> {
  for (const { key, entry } of entries) {
    const name = fromByteString(entry.name.toString("latin1"));
    const text = fromByteString(key);
    if (name === undefined || text === undefined) {
      onSkipped?.(Buffer.from(key, "latin1").toString(), "name-not-utf8");
    } else if (entry.isDirectory()) {
      const below = join(folder, name);
      const inside = await entriesOf(below, { base: key, bytes, onSkipped, asked: false });
      yield* walkEntries(below, inside, bytes, onSkipped);
    } else {
      yield { key: text, path: join(folder, name), link: entry.isSymbolicLink() };
    }
  }
}

/** Of one folder what can hold wanted keys, sorted. A folder's key ends with a slash, which is what orders it. */
async function entriesOf(
  folder: string,
  options: {
    readonly base: string;
    readonly bytes: Bytes;
    readonly onSkipped: WalkOptions["onSkipped"];
    /** it was asked for itself, so that it can't be read is an error */
    readonly asked: boolean;
  },
): Promise<Entry[]> {
  const { base, onSkipped, asked } = options;
  const { prefix, after } = options.bytes;
  let entries: Dirent<Buffer>[];
  try {
    entries = await readdir(folder, { withFileTypes: true, encoding: "buffer" });
  } catch (error) {
    if (isMissing(error)) return [];
    if (errorCode(error) !== "EACCES" || onSkipped === undefined || asked) throw error;
    onSkipped(fromByteString(base) ?? folder, "not-readable");
    return [];
  }
  const wanted: Entry[] = [];
  for (const entry of entries) {
    const name = entry.name.toString("latin1");
    if (name.startsWith(".")) continue;
    const isFolder = entry.isDirectory();
    const key = isFolder ? `${base}${name}/` : `${base}${name}`;
    if (!key.startsWith(prefix)) continue;
    if (!isFolder && !entry.isFile() && !entry.isSymbolicLink()) {
      onSkipped?.(fromByteString(key) ?? Buffer.from(key, "latin1").toString(), "not-a-file");
      continue;
    }
    if (key <= after && !(isFolder && after.startsWith(key))) continue;
    wanted.push({ key, entry });
  }
  return wanted.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** How a file comes into a folder whole and for good: written aside, flushed, then given its name by one system call. */
import { randomUUID } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, fsyncSync, openSync } from "node:fs";
import { link, mkdir, open, readdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { lstatOrNothing } from "./directory-paths.ts";
import { errorCode, isMissing } from "./file-errors.ts";
import { CHUNK_BYTES } from "./file-etags.ts";

/** A file being written is younger than this: whoever wrote an older one was killed. */
const TEMPORARY_AGE_MAX_MS = 86_400_000;
/** A folder that empties is removed, maybe between its creation and the link into it; hardly so often in a row. */
const LINK_TRIES_MAX = 20;

/**
 * Gives a finished file the name of a key below the root, unless the name is taken.
 * @returns false if it is taken
 * @throws {AccreteError} UNSAFE_KEY if a part of the key is an object, or a symbolic link
 */
export async function linkInto(file: string, root: string, parts: readonly string[]): Promise<boolean> {
  const target = join(root, ...parts);
  for (let tries = 1; ; tries++) {
    try {
      await makeFoldersInside(root, parts.slice(0, -1));
      await link(file, target);
      return true;
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST") return false;
      if (code !== "ENOENT" || tries === LINK_TRIES_MAX || (await lstatOrNothing(file)) === undefined) throw error;
    }
  }
}

async function makeFoldersInside(root: string, parts: readonly string[]): Promise<void> {
  let folder = root;
  for (const part of parts) {
    const parent = folder;
    folder = join(folder, part);
    const stats = await lstatOrNothing(folder);
    if (stats?.isDirectory()) continue;
    if (stats !== undefined)
      throw new AccreteError("UNSAFE_KEY", `${parts.join("/")}: "${part}" is no folder, so no object can lie below it`);
    try {
      await mkdir(folder);
      await syncFolder(parent);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
  }
}

/** Makes the folder and all above it, and flushes the names of those that were not there: they survive a power cut. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Flushes the names in a folder. A folder that is gone has none. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

export function syncFolderNow(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Where files are written aside: a hidden folder on the same file system. */
export class Temporary {
  readonly #folder: string;
  #swept: Promise<void> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Hands the path of a new file, filled and flushed, to `use`; removes it afterwards, whatever happens. */
  async with<T>(content: Uint8Array | { readonly copyOf: string }, use: (path: string) => Promise<T>): Promise<T> {
    await this.prepare();
    const path = join(this.#folder, randomUUID());
    try {
      if (content instanceof Uint8Array) {
        await writeFile(path, content, { flag: "wx", flush: true });
      } else {
        const from = createReadStream(content.copyOf, { highWaterMark: CHUNK_BYTES });
        await pipeline(from, createWriteStream(path, { flags: "wx", flush: true }));
      }
      return await use(path);
    } finally {
      // what can't be removed now is swept away later, and must not hide how the write went
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  /** Makes the folder. @throws {AccreteError} STORE_UNREADABLE if something else has its name */
  async prepare(): Promise<void> {
    try {
      await makeFolder(this.#folder);
    } catch (cause) {
      const code = errorCode(cause);
      if (code !== "ENOTDIR" && code !== "EEXIST") throw cause;
      throw new AccreteError("STORE_UNREADABLE", `${dirname(this.#folder)}: not a folder: ${messageOf(cause)}`, {
        cause,
      });
    }
    await (this.#swept ??= this.#sweep());
  }

  /** Once for each start: removes what killed processes left. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      try {
        const { mtimeMs } = await stat(path);
        if (Date.now() - mtimeMs > TEMPORARY_AGE_MAX_MS) await rm(path, { force: true });
      } catch (error) {
        // another process sweeps too, or finished its file
        if (!isMissing(error)) throw error;
      }
    }
  }
}

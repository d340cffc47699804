/** The data in a directory: what users put there is an item, named by its path and known by its content. */
import { createHash } from "node:crypto";
import { lstat, open, realpath, rm, type FileHandle } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { AccreteError } from "../protocol/errors.ts";
import { LIST_MAX, type Arrival, type FetchOutcome, type Items } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import { dataParts, folderInside, KEY_BYTES_MAX, lstatOrNothing } from "./directory-paths.ts";
import { walk, type Found, type SkipReason } from "./directory-walk.ts";
import { errorCode, fileError, isMissing } from "./file-errors.ts";
import { CHUNK_BYTES, FileEtags, READ_FLAGS } from "./file-etags.ts";

/** The bucket of every item of a directory. */
export const DIRECTORY_BUCKET = "data";
/** What browsers, editors and downloads call a file that they have not finished. */
const TEMPORARY_NAME = /(\.part|\.tmp|\.crdownload|~)$/i;
/** Files looked at together: enough to keep a disk busy, few enough open at once. */
const TOGETHER = 32;

export interface DirectoryItemsOptions {
  /** A file that was written to less than this ago may still grow: it is left for the next look. @default 500 */
  readonly settleMs?: number;
  /** Told of each file or folder that can't be an item, at each look; its name may have U+FFFD in it. */
  readonly onSkipped?: (name: string, why: SkipReason) => void;
}

export interface DirectoryItems extends Items {
  /**
   * The item that a file is, by the same rules as list(): what a watcher calls for a path that it was told of.
   * @param path absolute, or relative to the root
   * @returns "unsettled" if it may still grow: look again after `settleMs`; undefined if it is no item
   */
  itemAt(path: string): Promise<Arrival | "unsettled" | undefined>;
  /** Those that are not there now, by their size alone: no file is read. One that has changed otherwise is seen when it is fetched. */
  missing(items: readonly Item[]): Promise<Item[]>;
  readonly settleMs: number;
  /** how many files were read and hashed so far; a file that did not change is not read again */
  readonly hashed: number;
}

/** Opens a data folder; one that is not there yet has no items. */
export function openDirectoryItems(root: string, options: DirectoryItemsOptions = {}): DirectoryItems {
  return new InDirectory(resolve(root), options);
}

class InDirectory implements DirectoryItems {
  readonly settleMs: number;
  readonly #root: string;
  readonly #onSkipped: (name: string, why: SkipReason) => void;
  readonly #etags = new FileEtags();
  /** where the newest list() stopped: going on from here need not read the folders again */
  #stopped: { readonly at: string; readonly prefix: string; readonly walk: AsyncGenerator<Found> } | undefined;

  constructor(root: string, options: DirectoryItemsOptions) {
    this.#root = root;
    this.settleMs = options.settleMs ?? 500;
    this.#onSkipped = options.onSkipped ?? (() => undefined);
  }

  get hashed(): number {
    return this.#etags.hashed;
  }

  /** @throws {AccreteError} UNSAFE_KEY, STORE_UNREADABLE (the root), OUT_OF_DISK */
  async fetch(item: Item, path: string): Promise<FetchOutcome> {
    const parts = dataParts(item.key);
    const source = await this.#openInside(parts);
    if (!("handle" in source)) return source;
    try {
      const same = await copyIfSame(source.handle, item, path);
      return { outcome: same ? "fetched" : "gone" };
    } catch (error) {
      throw fileError(error, item.key, dirname(path)); // a file can be read from a disk that is full
    } finally {
      await source.handle.close();
    }
  }

  /** @throws {AccreteError} UNSAFE_KEY (the prefix), STORE_UNREADABLE (the root) */
  async list(prefix: string, next?: string): Promise<{ items: readonly Arrival[]; next?: string | undefined }> {
    try {
      const keys = this.#walkFrom(prefix, next);
      const found: Found[] = [];
      while (found.length < LIST_MAX) {
        const step = await keys.next();
        if (step.done === true) break;
        found.push(step.value);
      }
      const items: Arrival[] = [];
      for (let i = 0; i < found.length; i += TOGETHER) {
        const looked = await Promise.all(found.slice(i, i + TOGETHER).map((file) => this.#itemOf(file)));
        items.push(...looked.filter((item) => typeof item === "object"));
      }
      if (found.length < LIST_MAX) return { items };
      const at = found.at(-1)!.key;
      this.#stopped = { at, prefix, walk: keys };
      return { items, next: at };
    } catch (error) {
      throw fileError(error, prefix === "" ? this.#root : prefix);
    }
  }

  async itemAt(path: string): Promise<Arrival | "unsettled" | undefined> {
    const below = relative(this.#root, resolve(this.#root, path));
    if (below === "" || isAbsolute(below)) return undefined;
    const parts = below.split(sep);
    if (parts.some((part) => part.startsWith("."))) return undefined;
    const key = parts.join("/");
    try {
      const folder = await this.#folderOrNothing(parts.slice(0, -1));
      if (folder === undefined) return undefined;
      const file = join(folder, parts.at(-1)!);
      const stats = await lstatOrNothing(file);
      if (stats === undefined || !(stats.isFile() || stats.isSymbolicLink())) return undefined;
      return await this.#itemOf({ key, path: file, link: stats.isSymbolicLink() });
    } catch (error) {
      if (errorCode(error) !== "EACCES") throw error;
      return this.#skip(key, "not-readable");
    }
  }

  async missing(items: readonly Item[]): Promise<Item[]> {
    const missing: Item[] = [];
    for (let i = 0; i < items.length; i += TOGETHER) {
      const some = items.slice(i, i + TOGETHER);
      const there = await Promise.all(some.map((item) => this.#isThere(item)));
      missing.push(...some.filter((_, j) => !there[j]));
    }
    return missing;
  }

  async #isThere({ key, size }: Item): Promise<boolean> {
    try {
      const path = await this.#targetInside(join(this.#root, ...dataParts(key)));
      return path !== undefined && (await lstat(path)).size === size;
    } catch (error) {
      if (errorCode(error) === "EACCES") return true; // it may be: that it can't be read is another matter
      if (isMissing(error) || (error instanceof AccreteError && error.code === "UNSAFE_KEY")) return false;
      throw fileError(error, key);
    }
  }

  #walkFrom(prefix: string, next: string | undefined): AsyncGenerator<Found> {
    const stopped = this.#stopped;
    this.#stopped = undefined;
    if (next !== undefined && stopped?.at === next && stopped.prefix === prefix) return stopped.walk;
    return walk(this.#root, { prefix, after: next, parse: dataParts, onSkipped: this.#onSkipped });
  }

  /** Undefined also where a symbolic link leads: list() does not go there either. */
  async #folderOrNothing(parts: readonly string[]): Promise<string | undefined> {
    try {
      return await folderInside(this.#root, parts);
    } catch (error) {
      if (error instanceof AccreteError && error.code === "UNSAFE_KEY") return undefined;
      throw error;
    }
  }

  async #itemOf({ key, path, link }: Found): Promise<Arrival | "unsettled" | undefined> {
    if (TEMPORARY_NAME.test(key)) return undefined;
    if (Buffer.byteLength(key) > KEY_BYTES_MAX) return this.#skip(key, "name-too-long");
    try {
      const file = link ? await this.#targetInside(path) : path;
      if (file === undefined) return this.#skip(key, "symbolic-link");
      const stats = await lstatOrNothing(file);
      if (stats === undefined || !stats.isFile()) return link ? this.#skip(key, "symbolic-link") : undefined;
      // a time that is ahead of the clock, as of an unpacked file, says nothing about now
      const modifiedMs = Number(stats.mtimeMs);
      if (Math.abs(Date.now() - modifiedMs) < this.settleMs) return "unsettled";
      const etag = await this.#etags.etagOf(file, stats);
      if (etag === undefined) return "unsettled";
      return { bucket: DIRECTORY_BUCKET, key, etag, size: Number(stats.size), modifiedMs };
    } catch (error) {
      if (errorCode(error) !== "EACCES") throw error;
      return this.#skip(key, "not-readable");
    }
  }

  #skip(name: string, why: SkipReason): undefined {
    this.#onSkipped(name, why);
    return undefined;
  }

  /** What a symbolic link leads to, if that lies in the root. */
  async #targetInside(link: string): Promise<string | undefined> {
    try {
      const target = await realpath(link);
      return target.startsWith(`${await realpath(this.#root)}${sep}`) ? target : undefined;
    } catch (error) {
      if (isMissing(error) || errorCode(error) === "ELOOP") return undefined;
      throw error;
    }
  }

  async #openInside(parts: readonly string[]): Promise<{ handle: FileHandle } | FetchOutcome> {
    try {
      const path = await this.#targetInside(join(this.#root, ...parts));
      if (path === undefined || !(await lstat(path)).isFile()) return { outcome: "gone" };
      return { handle: await open(path, READ_FLAGS) };
    } catch (error) {
      if (isMissing(error)) return { outcome: "gone" };
      if (errorCode(error) === "EACCES") return { outcome: "forbidden" };
      throw fileError(error, parts.join("/"));
    }
  }
}

/** Writes the bytes to `path` if they are the item's; else, and after an error, no file is left there. */
async function copyIfSame(source: FileHandle, item: Item, path: string): Promise<boolean> {
  if ((await source.stat()).size !== item.size) return false;
  let same = false;
  const copy = await open(path, "w");
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(Math.min(item.size + 1, CHUNK_BYTES));
    let bytes = 0;
    // a file that grows while it is read is not followed to its end
    while (bytes <= item.size) {
      const { bytesRead } = await source.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      bytes += bytesRead;
      hash.update(buffer.subarray(0, bytesRead));
      await copy.writeFile(buffer.subarray(0, bytesRead));
    }
    same = bytes === item.size && hash.digest("hex") === item.etag;
  } finally {
    await copy.close();
    if (!same) await rm(path, { force: true });
  }
  return same;
}

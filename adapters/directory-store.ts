/**
 * The state in a directory: an object is a file, its key the path. It keeps the promises of S3 that the protocol rests
 * on among any number of processes of one machine, and after a kill or a power cut:
 * - create() is link(2) of a finished file: the name appears whole, and for one caller only;
 * - replace() and delete() run under a lock that dies with its holder, and rename(2) changes the name at once;
 * - file and folder are flushed before the answer.
 * It needs hard links and file locks. A network file system may promise them and not keep them.
 */
import { closeSync, openSync, readFileSync, renameSync, rmdirSync, unlinkSync, type BigIntStats } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import {
  LIST_MAX,
  type FileDigest,
  type GivenFile,
  type Listed,
  type Page,
  type Store,
  type Stored,
  type Written,
} from "../protocol/ports.ts";
import { copyHashed, digestOf, linkOpen, NO_LINK } from "./copy-file.ts";
import { withLock } from "./directory-lock.ts";
import { folderInside, lstatOrNothing, stateParts } from "./directory-paths.ts";
import { linkInto, syncFolder, syncFolderNow, Temporary } from "./directory-publish.ts";
import { walk } from "./directory-walk.ts";
import { errorCode, fileError, isMissing } from "./file-errors.ts";
import { FileEtags, READ_FLAGS } from "./file-etags.ts";

/** head() looks again at an object that was replaced while it was hashed. */
const LOOKS_MAX = 100;

export interface DirectoryStoreOptions {
  /** How long replace() waits for other processes' writes; then its outcome is "unknown". @default 5000 */
  readonly lockWaitMs?: number;
}

/**
 * Opens a store; the folder is made by the first write.
 * All methods throw AccreteError UNSAFE_KEY, STORE_UNREADABLE or OUT_OF_DISK where a user can mend it.
 */
export function openDirectoryStore(root: string, options: DirectoryStoreOptions = {}): Store {
  return new DirectoryStore(resolve(root), options.lockWaitMs ?? 5_000);
}

class DirectoryStore implements Store {
  readonly #root: string;
  readonly #lockWaitMs: number;
  readonly #temporary: Temporary;
  readonly #etags = new FileEtags();

  constructor(root: string, lockWaitMs: number) {
    this.#root = root;
    this.#lockWaitMs = lockWaitMs;
    this.#temporary = new Temporary(join(root, ".tmp"));
  }

  create(key: string, body: Uint8Array): Promise<Written> {
    return this.#create(key, body);
  }

  async createFromFile(key: string, path: string, given?: GivenFile): Promise<Written> {
    // a copy, and no link: the caller may go on writing to the file
    if (given === undefined) return this.#create(key, { copyOf: path });
    stateParts(key);
    return translated(this.#root, key, async () => {
      await this.#temporary.prepare();
      const outcome = await this.#link(path, key);
      if (outcome !== "won") return outcome ?? this.#create(key, { copyOf: path });
      await rm(path, { force: true });
      await this.#remember(key, given.sha256);
      return outcome;
    });
  }

  async copy(from: string, to: string): Promise<Written> {
    const source = await this.#pathOf(from);
    const missing = new AccreteError("STATE_MISSING", `${from}: not there to be copied to ${to}`);
    if (source === undefined || (await fileStats(source)) === undefined) throw missing;
    const known = this.#etags.known(source, await fileStats(source));
    try {
      const outcome = await this.#link(source, to);
      if (outcome === undefined) return await this.#create(to, { copyOf: source });
      if (outcome === "won" && known !== undefined) {
        await this.#remember(to, known);
        await this.#remember(from, known); // one more link has changed its times
      }
      return outcome;
    } catch (error) {
      throw isMissing(error) ? missing : fileError(error, to, this.#root);
    }
  }

  async replace(key: string, body: Uint8Array, expected: string | null): Promise<Written> {
    if (expected === null) return this.#create(key, body);
    const target = await this.#pathOf(key);
    if (target === undefined) return "lost";
    return translated(this.#root, key, async () => {
      if ((await fileStats(target)) === undefined) return "lost";
      return this.#temporary.with(body, async (temporary) => {
        const outcome = await this.#locked(() => swap(temporary, target, expected));
        return outcome === "busy" ? "unknown" : outcome;
      });
    });
  }

  async get(key: string): Promise<Stored | undefined> {
    const handle = await this.#open(key);
    if (handle === undefined) return undefined;
    return translated(this.#root, key, async () => {
      try {
        const { mtimeMs } = await handle.stat();
        const read = await handle.readFile();
        // a plain array, as from S3: a Buffer's toString() would decode it
        const body = new Uint8Array(read.buffer, read.byteOffset, read.byteLength);
        return { body, etag: sha256(body), modifiedMs: pastMs(mtimeMs) };
      } finally {
        await handle.close();
      }
    });
  }

  async head(key: string): Promise<{ size: number; etag: string; modifiedMs: number } | undefined> {
    const path = await this.#pathOf(key);
    if (path === undefined) return undefined;
    return translated(this.#root, key, async () => {
      for (let looks = 0; looks < LOOKS_MAX; looks++) {
        const stats = await fileStats(path);
        if (stats === undefined) return undefined;
        const etag = await this.#etags.etagOf(path, stats);
        // undefined: replaced meanwhile, so there is a newer one to look at
        if (etag !== undefined) return { size: Number(stats.size), etag, modifiedMs: pastMs(Number(stats.mtimeMs)) };
      }
      throw new Error(`${key}: changed ${LOOKS_MAX} times while it was read`);
    });
  }

  async list(prefix: string, options: { after?: string; limit?: number } = {}): Promise<Page> {
    const limit = Math.min(options.limit ?? LIST_MAX, LIST_MAX);
    return translated(this.#root, prefix, async () => {
      const objects: Listed[] = [];
      const keys = walk(this.#root, { prefix, after: options.after, parse: stateParts });
      for await (const { key, path, link } of keys) {
        const stats = link ? undefined : await fileStats(path);
        if (stats === undefined) continue;
        if (objects.length >= limit) return page(objects, true);
        objects.push({ key, size: Number(stats.size), modifiedMs: Math.floor(Number(stats.mtimeMs)) });
      }
      return page(objects, false);
    });
  }

  async delete(key: string): Promise<void> {
    const target = await this.#pathOf(key);
    if (target === undefined) return;
    await translated(this.#root, key, async () => {
      if ((await fileStats(target)) === undefined) return;
      // under the lock, as a replace() that has just compared would bring the object back
      const outcome = await this.#locked(() => remove(target, stateParts(key).length - 1));
      if (outcome === "busy") throw new Error(`${key}: not deleted: the store was locked for ${this.#lockWaitMs} ms`);
    });
  }

  async readToFile(key: string, path: string, { readOnly } = { readOnly: false }): Promise<FileDigest | undefined> {
    const handle = await this.#open(key);
    if (handle === undefined) return undefined;
    return translated(this.#root, key, async () => {
      try {
        await rm(path, { force: true }); // it may be another name of an object from an earlier call
        const own = readOnly && (await linkOpen(handle, join(this.#root, ...stateParts(key)), path));
        return own ? await digestOf(handle) : await copyHashed(handle, path);
      } finally {
        await handle.close();
      }
    });
  }

  async #create(key: string, content: Uint8Array | { readonly copyOf: string }): Promise<Written> {
    // before anything is written
    stateParts(key);
    return translated(this.#root, key, () =>
      this.#temporary.with(content, (temporary) => this.#publish(temporary, key)),
    );
  }

  async #publish(file: string, key: string): Promise<Written> {
    const parts = stateParts(key);
    const target = join(this.#root, ...parts);
    const won = await linkInto(file, this.#root, parts);
    if (!won && (await lstatOrNothing(target))?.isDirectory()) {
      throw new AccreteError("UNSAFE_KEY", `${key}: there are objects below it, so it can't be one itself`);
    }
    try {
      // also when lost: whoever reads the winner's bytes now may rely on them
      await syncFolder(dirname(target));
    } catch {
      return "unknown";
    }
    return won ? "won" : "lost";
  }

  /** Another name for a file that nobody writes to. @returns undefined where that can't be: then the bytes are copied */
  async #link(file: string, key: string): Promise<Written | undefined> {
    try {
      return await this.#publish(file, key);
    } catch (error) {
      if (NO_LINK.includes(errorCode(error) ?? "")) return undefined;
      throw error;
    }
  }

  /** So that head() need not read what was just written. */
  async #remember(key: string, etag: string): Promise<void> {
    const path = join(this.#root, ...stateParts(key));
    this.#etags.remember(path, await fileStats(path), etag);
  }

  #locked<T>(work: () => T): Promise<T | "busy"> {
    return withLock(join(this.#root, ".lock.sqlite"), this.#lockWaitMs, work);
  }

  /** Undefined if its folder is not there. */
  async #pathOf(key: string): Promise<string | undefined> {
    const parts = stateParts(key);
    const folder = await translated(this.#root, key, () => folderInside(this.#root, parts.slice(0, -1)));
    return folder === undefined ? undefined : join(folder, parts.at(-1)!);
  }

  /** An open file stays the same bytes, whatever happens to its name. */
  async #open(key: string): Promise<FileHandle | undefined> {
    const path = await this.#pathOf(key);
    if (path === undefined) return undefined;
    return translated(this.#root, key, async () => {
      try {
        return (await fileStats(path)) === undefined ? undefined : await open(path, READ_FLAGS);
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }
}

/** replace() under the lock. Synchronous: nothing comes between the comparison and the rename. */
function swap(temporary: string, target: string, expected: string): Written {
  let fd: number;
  try {
    fd = openSync(target, READ_FLAGS);
  } catch (error) {
    if (isMissing(error)) return "lost";
    throw error;
  }
  let current: Uint8Array;
  try {
    current = readFileSync(fd);
  } finally {
    closeSync(fd);
  }
  if (sha256(current) !== expected) return "lost";
  renameSync(temporary, target);
  try {
    syncFolderNow(dirname(target));
  } catch {
    return "unknown";
  }
  return "won";
}

/** delete() under the lock; with the file go those of the `folders` above it that it leaves empty. */
function remove(target: string, folders: number): void {
  try {
    unlinkSync(target);
    syncFolderNow(dirname(target));
    let folder = dirname(target);
    for (let i = 0; i < folders; i++, folder = dirname(folder)) rmdirSync(folder);
  } catch (error) {
    if (isMissing(error) || errorCode(error) === "ENOTEMPTY" || errorCode(error) === "EEXIST") return;
    throw error;
  }
}

/** Of a file; undefined if there is none. A symbolic link is none: what it leads to is not the store's. */
async function fileStats(path: string): Promise<BigIntStats | undefined> {
  const stats = await lstatOrNothing(path);
  return stats?.isFile() ? stats : undefined;
}

function page(objects: readonly Listed[], more: boolean): Page {
  const nowMs = Date.now();
  return {
    objects: objects.map((object) => ({ ...object, modifiedMs: Math.min(object.modifiedMs, nowMs) })),
    more,
    nowMs,
  };
}

/** A time on disk that is ahead of the clock, as after a correction of the clock, counts as now: no age is negative. */
function pastMs(mtimeMs: number): number {
  return Math.min(Math.floor(mtimeMs), Date.now());
}

async function translated<T>(root: string, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, key, root);
  }
}

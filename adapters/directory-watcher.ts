/**
 * Tells that something in the data folder has changed and settled. Only a hint: a sweep stands behind it.
 *
 * One fs.watch for each folder, and none for a file, as a library has it that has to work for editors: 10,000 files would
 * be 10,000 of the system's watches, and each further file a new look at all of them.
 */
import { watch, type FSWatcher } from "node:fs";
import { lstat, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { isMissing } from "./file-errors.ts";

/** Files looked at together: enough to be quick, few enough to leave the threads of the pool to others. */
const LOOKS_TOGETHER = 16;

/** Names of files and folders that no one means as data: hidden, or still being written by a browser, editor or copy. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(".") || /(\.part|\.tmp|~|\.crdownload)$/.test(name);
}

export interface DirectoryWatcher {
  close(): void;
}

export interface WatchOptions {
  readonly folder: string;
  /** paths relative to the folder, with `/`, sorted; one call for all that have settled in one look */
  readonly onSettled: (paths: readonly string[]) => void;
  /** the folder can't be watched (WATCH_FAILED), or onSettled threw; what can be watched still is */
  readonly onError: (error: unknown) => void;
  /** @default 300 */
  readonly settleMs?: number;
}

/**
 * Watches a folder and all below it; creates it if it is not there. What is there already is not told.
 * A file has settled when it has the same size and time of change in two looks `settleMs` apart: so after one to two of
 * these. Symbolic links to folders are not followed.
 * @returns once it watches: what comes from then on is told
 */
export async function watchDirectory(options: WatchOptions): Promise<DirectoryWatcher> {
  await mkdir(options.folder, { recursive: true });
  const watcher = new Watcher(options);
  await watcher.watchFolder("", false);
  return watcher;
}

class Watcher implements DirectoryWatcher {
  readonly #options: WatchOptions;
  readonly #settleMs: number;
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly mark: string }>();
  /** path -> how it looked last; undefined: not looked at yet */
  readonly #pending = new Map<string, string | undefined>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#settleMs = options.settleMs ?? 300;
  }

  /** Watches a folder and those in it; with `tell` the files in it are news, as they came before the watch. */
  async watchFolder(path: string, tell: boolean): Promise<void> {
    const folder = join(this.#options.folder, path);
    try {
      const found = await lookAt(folder);
      if (this.#closed || found?.kind !== "folder" || this.#watchers.get(path)?.mark === found.mark) return;
      // another folder of the same name: the watch of the one before is dead
      this.#unwatch(path);
      const watcher = watch(folder, (_event, name) => {
        if (name !== null) this.#hint(childOf(path, name));
      });
      this.#watchers.set(path, { watcher, mark: found.mark });
      watcher.on("error", (error) => this.#failed(path, error));
      // after the watch: what comes in between is told twice rather than never
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        const child = childOf(path, entry.name);
        if (isTemporaryName(entry.name)) continue;
        if (entry.isDirectory()) await this.watchFolder(child, tell);
        else if (tell) this.#hint(child);
      }
    } catch (error) {
      this.#failed(path, error);
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#unwatch("");
    this.#pending.clear();
  }

  #hint(path: string): void {
    if (this.#closed || path.split("/").some(isTemporaryName)) return;
    if (!this.#pending.has(path)) this.#pending.set(path, undefined);
    this.#timer ??= setTimeout(() => void this.#look(), this.#settleMs);
  }

  #failed(path: string, cause: unknown): void {
    this.#unwatch(path);
    if (path !== "" && isMissing(cause)) return; // a folder that was deleted or moved meanwhile
    const folder = join(this.#options.folder, path);
    this.#options.onError(new AccreteError("WATCH_FAILED", `${folder}: ${messageOf(cause)}`, { cause }));
  }

  /** A folder that is gone takes its own folders with it. */
  #unwatch(path: string): void {
    for (const [other, { watcher }] of this.#watchers) {
      if (path !== "" && other !== path && !other.startsWith(`${path}/`)) continue;
      watcher.close();
      this.#watchers.delete(other);
    }
  }

  async #look(): Promise<void> {
    const settled: string[] = [];
    const paths = [...this.#pending.keys()];
    for (let i = 0; i < paths.length && !this.#closed; i += LOOKS_TOGETHER) {
      await Promise.all(
        paths.slice(i, i + LOOKS_TOGETHER).map(async (path) => {
          if (await this.#hasSettled(path)) settled.push(path);
        }),
      );
    }
    const more = this.#pending.size > 0 && !this.#closed;
    this.#timer = more ? setTimeout(() => void this.#look(), this.#settleMs) : undefined;
    if (settled.length === 0 || this.#closed) return;
    try {
      this.#options.onSettled(settled.sort());
    } catch (error) {
      this.#options.onError(error);
    }
  }

  async #hasSettled(path: string): Promise<boolean> {
    const { folder } = this.#options;
    const found = await lookAt(join(folder, path));
    if (found === undefined) {
      this.#pending.delete(path);
      this.#unwatch(path);
      if ((await lookAt(folder)) === undefined && this.#watchers.has(""))
        this.#failed("", new Error("the folder is gone"));
      return false;
    }
    if (found.kind === "folder") {
      this.#pending.delete(path);
      await this.watchFolder(path, true);
      return false;
    }
    if (this.#pending.get(path) !== found.mark) {
      this.#pending.set(path, found.mark);
      return false;
    }
    this.#pending.delete(path);
    return true;
  }
}

const childOf = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`);

/** How a file or folder looks; its mark is equal while it is the same and, a file, nobody writes to it. */
async function lookAt(path: string): Promise<{ readonly kind: "file" | "folder"; readonly mark: string } | undefined> {
  try {
    const entry = await lstat(path);
    if (entry.isDirectory()) return { kind: "folder", mark: `${entry.ino}:${entry.birthtimeMs}` };
    const file = entry.isSymbolicLink() ? await stat(path) : entry;
    return file.isFile() ? { kind: "file", mark: `${file.ino}:${file.size}:${file.mtimeMs}` } : undefined;
  } catch {
    // gone, or whatever it is: the sweep says so, as it has to read it
    return undefined;
  }
}

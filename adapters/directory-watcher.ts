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

/** Files looked at together: enough to be quick, few enough to leave the threads of the pool to others. */
const LOOKS_TOGETHER = 16;

/** Names of files and folders that no one means as data: hidden, or still being written by a browser, editor or copy. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(".") || /(\.part|\.tmp|~|\.crdownload)$/.test(name);
}

export interface DirectoryWatcher {
  close(): void;
}

/**
 * Watches a folder and all below it; creates it if it is not there. What is there already is not told.
 * A file has settled when it has the same size and time of change in two looks `settleMs` apart: so after one to two of
 * these. Symbolic links to folders are not followed.
 * @returns once it watches: what comes from then on is told
 */
export async function watchDirectory(options: {
  folder: string;
  /** paths relative to the folder, with `/`, sorted; one call for all that have settled in one look */
  onSettled: (paths: readonly string[]) => void;
  /** the folder can't be watched (WATCH_FAILED), or onSettled threw; what can be watched still is */
  onError: (error: unknown) => void;
  /** @default 300 */
  settleMs?: number;
}): Promise<DirectoryWatcher> {
  const { folder, settleMs = 300 } = options;
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly mark: string }>();
  /** path -> how it looked last; undefined: not looked at yet */
  const pending = new Map<string, string | undefined>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const hint = (path: string): void => {
    if (closed || path.split("/").some(isTemporaryName)) return;
    if (!pending.has(path)) pending.set(path, undefined);
    timer ??= setTimeout(() => void look(), settleMs);
  };

  /** Watches a folder and those in it; with `tell` the files in it are news, as they came before the watch. */
  async function watchFolder(path: string, tell: boolean): Promise<void> {
    try {
      const found = await lookAt(join(folder, path));
      if (closed || found?.kind !== "folder" || watchers.get(path)?.mark === found.mark) return;
      // another folder of the same name: the watch of the one before is dead
      unwatch(path);
      const watcher = watch(join(folder, path), (_event, name) => {
        if (name !== null) hint(childOf(path, name));
      });
      watchers.set(path, { watcher, mark: found.mark });
      watcher.on("error", (error) => failed(path, error));
      // after the watch: what comes in between is told twice rather than never
      for (const entry of await readdir(join(folder, path), { withFileTypes: true })) {
        const child = childOf(path, entry.name);
        if (isTemporaryName(entry.name)) continue;
        if (entry.isDirectory()) await watchFolder(child, tell);
        else if (tell) hint(child);
      }
    } catch (error) {
      failed(path, error);
    }
  }

  function failed(path: string, cause: unknown): void {
    unwatch(path);
    // a folder that was deleted or moved meanwhile
    if (
      cause instanceof Error &&
      "code" in cause &&
      (cause.code === "ENOENT" || cause.code === "ENOTDIR") &&
      path !== ""
    )
      return;
    options.onError(new AccreteError("WATCH_FAILED", `${join(folder, path)}: ${messageOf(cause)}`, { cause }));
  }

  /** A folder that is gone takes its own folders with it. */
  function unwatch(path: string): void {
    for (const [other, { watcher }] of watchers) {
      if (path !== "" && other !== path && !other.startsWith(`${path}/`)) continue;
      watcher.close();
      watchers.delete(other);
    }
  }

  async function look(): Promise<void> {
    const settled: string[] = [];
    const paths = [...pending.keys()];
    for (let i = 0; i < paths.length && !closed; i += LOOKS_TOGETHER) {
      await Promise.all(
        paths.slice(i, i + LOOKS_TOGETHER).map(async (path) => {
          if (await hasSettled(path)) settled.push(path);
        }),
      );
    }
    timer = pending.size > 0 && !closed ? setTimeout(() => void look(), settleMs) : undefined;
    if (settled.length === 0 || closed) return;
    try {
      options.onSettled(settled.sort());
    } catch (error) {
      options.onError(error);
    }
  }

  async function hasSettled(path: string): Promise<boolean> {
    const found = await lookAt(join(folder, path));
    if (found === undefined) {
      pending.delete(path);
      unwatch(path);
      if ((await lookAt(folder)) === undefined && watchers.has("")) failed("", new Error("the folder is gone"));
      return false;
    }
    if (found.kind === "folder") {
      pending.delete(path);
      await watchFolder(path, true);
      return false;
    }
    if (pending.get(path) !== found.mark) {
      pending.set(path, found.mark);
      return false;
    }
    pending.delete(path);
    return true;
  }

  await mkdir(folder, { recursive: true });
  await watchFolder("", false);
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      unwatch("");
      pending.clear();
    },
  };
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

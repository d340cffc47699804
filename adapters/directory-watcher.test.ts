import { appendFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { isTemporaryName, watchDirectory, type DirectoryWatcher } from "./directory-watcher.ts";

let root: string;
let folder: string;
let watcher: DirectoryWatcher | undefined;
let calls: (readonly string[])[] = [];
let errors: unknown[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "accrete-watch-"));
  folder = join(root, "data");
  calls = [];
  errors = [];
});
afterEach(async () => {
  watcher?.close();
  await rm(root, { recursive: true, force: true });
});

const SETTLE_MS = 40;
async function watching(settleMs = SETTLE_MS): Promise<void> {
  watcher = await watchDirectory({
    folder,
    settleMs,
    onSettled: (paths) => calls.push(paths),
    onError: (error) => errors.push(error),
  });
}
const told = (): string[] => calls.flat().toSorted();
const toldOnce = (paths: readonly string[]): Promise<void> =>
  vi.waitFor(() => expect(told()).toEqual([...paths].sort()), { timeout: 20_000 });
/** Written last, a file of this name is told last: what had to be told before it has been, or never is. */
async function toldOnly(paths: readonly string[]): Promise<void> {
  await sleep(3 * SETTLE_MS);
  await writeFile(join(folder, "zz-last"), "last");
  await vi.waitFor(() => expect(told()).toContain("zz-last"), { timeout: 20_000 });
  expect(told()).toEqual([...paths, "zz-last"]);
}

it("creates the folder and tells a new file, not what was there before", async () => {
  await watching();
  await writeFile(join(folder, "a.csv"), "1");
  await toldOnce(["a.csv"]);
  watcher?.close();
  calls = [];
  await watching();
  await toldOnly([]);
  expect(errors).toEqual([]);
});

it("waits until a file has stopped growing", async () => {
  await watching(200);
  const path = join(folder, "growing.csv");
  const written = performance.now();
  for (let i = 0; performance.now() - written < 800; i++) {
    await appendFile(path, `line ${i}\n`);
    expect(told()).toEqual([]);
    await sleep(20);
  }
  await toldOnce(["growing.csv"]);
});

it("tells a burst in few calls, each path once", async () => {
  await watching(200);
  const names = Array.from({ length: 300 }, (_, i) => `f${String(i).padStart(3, "0")}`);
  await Promise.all(names.map((name) => writeFile(join(folder, name), name)));
  await toldOnce(names);
  expect(calls.length).toBeLessThanOrEqual(3);
});

it("tells what is renamed into place, over an old file too, and what is written again", async () => {
  await watching();
  await writeFile(join(root, "elsewhere"), "one");
  await rename(join(root, "elsewhere"), join(folder, "a.csv"));
  await toldOnce(["a.csv"]);
  await writeFile(join(root, "elsewhere"), "two");
  await rename(join(root, "elsewhere"), join(folder, "a.csv"));
  await toldOnce(["a.csv", "a.csv"]);
  await writeFile(join(folder, "a.csv"), "six");
  await toldOnce(["a.csv", "a.csv", "a.csv"]);
});

it("tells files of new folders, made deep, moved in whole, or deleted and made again", async () => {
  await watching();
  await mkdir(join(folder, "3", "deep"), { recursive: true });
  await writeFile(join(folder, "3", "deep", "a.png"), "a");
  await toldOnce(["3/deep/a.png"]);
  await mkdir(join(root, "moved", "in"), { recursive: true });
  await writeFile(join(root, "moved", "in", "b.png"), "b");
  await rename(join(root, "moved"), join(folder, "moved"));
  await toldOnce(["3/deep/a.png", "moved/in/b.png"]);
  await rm(join(folder, "3"), { recursive: true });
  await mkdir(join(folder, "3", "deep"), { recursive: true });
  await writeFile(join(folder, "3", "deep", "c.png"), "c");
  await toldOnce(["3/deep/a.png", "3/deep/c.png", "moved/in/b.png"]);
  await writeFile(join(folder, "3", "deep", "d.png"), "d");
  await toldOnce(["3/deep/a.png", "3/deep/c.png", "3/deep/d.png", "moved/in/b.png"]);
  expect(errors).toEqual([]);
});

it("follows a folder that is renamed", async () => {
  await mkdir(join(folder, "old"), { recursive: true });
  await watching();
  await rename(join(folder, "old"), join(folder, "new"));
  await sleep(3 * SETTLE_MS);
  await writeFile(join(folder, "new", "a"), "a");
  await toldOnce(["new/a"]);
});

it("leaves out hidden and temporary names, what was deleted, and folders behind links", async () => {
  await watching();
  await mkdir(join(folder, ".cache"));
  for (const name of [".DS_Store", "a.part", "a.tmp", "a~", "a.crdownload", ".cache/b"])
    await writeFile(join(folder, name), "x");
  await writeFile(join(folder, "short-lived"), "x");
  await rm(join(folder, "short-lived"));
  await mkdir(join(root, "outside"));
  await symlink(join(root, "outside"), join(folder, "link"));
  await writeFile(join(root, "outside", "c"), "c");
  await toldOnly([]);
  expect(["a.csv", "part", "tmp", "a.part.csv"].filter(isTemporaryName)).toEqual([]);
});

it("tells nothing after close", async () => {
  await watching();
  await writeFile(join(folder, "a"), "a");
  watcher?.close();
  await sleep(4 * SETTLE_MS);
  expect(calls).toEqual([]);
});

it("says when the folder is taken away, and goes on when its listener throws", async () => {
  let first = true;
  watcher = await watchDirectory({
    folder,
    settleMs: SETTLE_MS,
    onError: (error) => errors.push(error),
    onSettled: (paths) => {
      calls.push(paths);
      if (first) throw new Error("listener");
    },
  });
  await writeFile(join(folder, "a"), "a");
  await vi.waitFor(() => expect(errors).toEqual([new Error("listener")]), { timeout: 20_000 });
  first = false;
  await writeFile(join(folder, "b"), "b");
  await toldOnce(["a", "b"]);
  await rm(folder, { recursive: true });
  await vi.waitFor(() => expect(errors.slice(1)).toEqual([expect.objectContaining({ code: "WATCH_FAILED" })]), {
    timeout: 20_000,
  });
});

it("fails when the folder can't be made", async () => {
  await writeFile(folder, "a file");
  await expect(watching()).rejects.toThrow("EEXIST");
});

/** A data folder, for people who put files there and look what it has. */
import { randomBytes } from "node:crypto";
import { copyFile, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { AccreteError } from "../protocol/errors.ts";
import type { Items } from "../protocol/ports.ts";
import { fileSha256 } from "./digest-of-object.ts";
import type { Beside, DataPlace } from "./pipeline.ts";
import { userFolder } from "./user-folder.ts";

/** @param now its items, with what may still grow */
export function openDataFolder(folder: string, now: () => Items): DataPlace {
  return {
    name: folder,
    get now() {
      return now();
    },
    keyOf(path) {
      const below = relative(folder, resolve(userFolder(process.env), path));
      return below === "" || below.startsWith("..") ? undefined : below.split(sep).join("/");
    },
    async look(below) {
      if (below.split("/").includes("..")) return [];
      const entries = await readdir(join(folder, below), { withFileTypes: true });
      return entries.map((entry) => `${below}${entry.name}${entry.isDirectory() ? "/" : ""}`);
    },
    beside: (key, { path, size }) => whatIsThere(join(folder, key), path, size),
    async put(key, path, { overwrite, onBytes }) {
      await publish({ source: path, target: join(folder, key), key, overwrite });
      onBytes((await stat(path)).size);
    },
    together: 1,
  };
}

async function whatIsThere(target: string, source: string, size: number): Promise<Beside> {
  const there = await stat(target).catch(() => undefined);
  if (there === undefined) return "nothing";
  if (!there.isFile()) throw new AccreteError("TARGET_EXISTS", `${target} is a folder`);
  return there.size === size && (await fileSha256(target)) === (await fileSha256(source)) ? "same" : "other";
}

interface ToPublish {
  readonly source: string;
  readonly target: string;
  readonly key: string;
  readonly overwrite: boolean;
}

/** Written under a hidden name in the same folder, then named by one system call. */
async function publish({ source, target, key, overwrite }: ToPublish): Promise<void> {
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const part = join(folder, `.${randomBytes(8).toString("hex")}.part`);
  try {
    await copyFile(source, part);
    const handle = await open(part, "r+");
    try {
      // some systems copy a file's times too, and by an old one data.since would pass it over
      const now = new Date();
      await handle.utimes(now, now);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (overwrite) return await rename(part, target);
    await link(part, target); // fails where somebody else has put one meanwhile
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST")
      throw new AccreteError("TARGET_EXISTS", `${key} has come into the data folder meanwhile`, { cause: error });
    if (code === "ENOSPC")
      throw new AccreteError("OUT_OF_DISK", `${key}: no space is left in ${folder}`, { cause: error });
    throw error;
  } finally {
    await rm(part, { force: true });
  }
}

/** Folders in which something is being made, beside the place that it will be moved to. What a killed process has left of them is taken away. */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import * as z from "zod/mini";
import { identityOf, isAlive, ProcessIdentity } from "./process-alive.ts";

const PREFIX = ".part-";
/** `root` may be a folder of the user's, with parts of other programs in it. */
const OURS = /^\.part-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-old)?$/;
const OWNER = "owner.json";
/** Of a folder whose owner can't be asked: on another machine that shares the disk, or not written yet. */
const ABANDONED_MS = 24 * 3_600_000;

const Owner = z.strictObject({ host: z.string(), process: ProcessIdentity });

/** A new folder in `root`. It says whose it is, so that another process can tell whether it is still wanted. */
export async function makePart(root: string): Promise<string> {
  const folder = join(root, PREFIX + randomUUID());
  await mkdir(folder, { recursive: true });
  const process_ = await identityOf(process.pid);
  if (process_ !== undefined)
    await writeFile(join(folder, OWNER), JSON.stringify({ host: hostname(), process: process_ }));
  return folder;
}

/** Takes away what processes that have ended left in `root`. @returns how many folders */
export async function removeLeftParts(root: string): Promise<number> {
  const names = await readdir(root).catch(() => []);
  const left: string[] = [];
  for (const name of names.filter((one) => OURS.test(one))) if (await isLeft(join(root, name))) left.push(name);
  for (const name of left) await rm(join(root, name), { recursive: true, force: true });
  return left.length;
}

async function isLeft(folder: string): Promise<boolean> {
  try {
    const owner = z.safeParse(Owner, JSON.parse(await readFile(join(folder, OWNER), "utf8")));
    if (owner.success && owner.data.host === hostname()) return !(await isAlive(owner.data.process));
  } catch {
    // judged by its age
  }
  const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
  return Date.now() - mtimeMs > ABANDONED_MS;
}

/**
 * Moves a finished part into its place at once. What is there goes aside first; whoever has it open keeps it.
 * @returns false if another process has put one there at the same moment: the part is still there then
 */
export async function putInPlace(part: string, place: string): Promise<boolean> {
  await rm(join(part, OWNER), { force: true });
  const aside = `${part}-old`;
  const wasThere = await rename(place, aside).then(
    () => true,
    () => false,
  );
  try {
    await rename(part, place);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    return false;
  } finally {
    if (wasThere) await rm(aside, { recursive: true, force: true });
  }
}

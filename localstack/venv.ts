/**
 * LocalStack as a virtual environment in the user's cache folder. Another list of packages or Python is another one. It is built beside its place
 * and moved there at once: a kill leaves nothing half, and two at a time do no harm. Our plugin is not in it: it is on Python's path as it lies here.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makePart, putInPlace, removeLeftParts } from "../adapters/native-part.ts";
import { lastLine, runProgram } from "../adapters/native-tools.ts";
import { localstackRoot } from "./cache.ts";
import { findPython, type Python } from "./python.ts";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const TOOLS = "requirements-tools.txt";
const REQUIREMENTS = "requirements.txt";
const PREFIX = "venv-";
/** One that no run has used for so long is taken away: it takes 230 MB. */
const UNUSED_MS = 14 * 86_400_000;

export interface Venv {
  /** absolute */
  readonly python: string;
  /** true: it was not there */
  readonly made: boolean;
}

/** @throws {Error} no Python, or the index of packages can't be reached: one sentence */
export async function needVenv(options: {
  readonly say: (line: string) => void;
  readonly root?: string;
}): Promise<Venv> {
  const { say, root = localstackRoot() } = options;
  const python = await findPython();
  const place = join(root, PREFIX + digestOf(python));
  const program = join(place, "bin", "python");
  await removeLeftParts(root);
  if (existsSync(program)) {
    await touch(place);
    return { python: program, made: false };
  }
  say(`install LocalStack with Python ${python.version} into ${place}: 60 MB are fetched, once`);
  const part = await makePart(root);
  try {
    await build(part, python);
    await putInPlace(part, place);
  } finally {
    await rm(part, { recursive: true, force: true, maxRetries: 3 });
  }
  await removeUnused(root, place);
  return { python: program, made: true };
}

async function build(part: string, { program }: Python): Promise<void> {
  await must("venv", program, ["-m", "venv", part]);
  const python = join(part, "bin", "python");
  const exactly = ["--quiet", "--require-hashes", "--no-deps"];
  const tools = [
    "-m",
    "pip",
    "install",
    ...exactly,
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--only-binary",
    ":all:",
  ];
  await must("pip", python, [...tools, "-r", join(HERE, TOOLS)]);
  const uv = ["-m", "uv", "pip", "install", ...exactly, "--no-build-isolation", "--compile-bytecode"];
  const cache = join(part, "uv-cache"); // beside what is made, so that files are linked and not copied; and nothing is left elsewhere
  const env = { VIRTUAL_ENV: part, UV_NO_CONFIG: "1", UV_CACHE_DIR: cache };
  await must("uv", python, [...uv, "-r", join(HERE, REQUIREMENTS)], env);
  await rm(cache, { recursive: true, force: true });
  await rm(join(part, "bin", "uv"), { force: true }); // 40 MB, and done with
}

async function must(
  what: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ran = await runProgram(program, args, { env });
  if (!ran.ok) throw new Error(`LocalStack could not be installed: ${what}: ${lastLine(ran.said)}`);
}

/** What it is made of. */
function digestOf({ program, version }: Python): string {
  const hash = createHash("sha256").update(`${program} ${version} ${process.platform} ${process.arch}`);
  for (const file of [TOOLS, REQUIREMENTS]) hash.update(readFileSync(join(HERE, file)));
  return hash.digest("hex").slice(0, 12);
}

async function touch(folder: string): Promise<void> {
  const now = new Date();
  await utimes(folder, now, now);
}

async function removeUnused(root: string, used: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const name of await readdir(root)) {
    const folder = join(root, name);
    if (!name.startsWith(PREFIX) || folder === used) continue;
    const { mtimeMs } = await stat(folder);
    if (Date.now() - mtimeMs > UNUSED_MS) await rm(folder, { recursive: true, force: true });
  }
}

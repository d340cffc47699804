/** npm packages by their pins: fetched by npm, as the user has set it up, and kept in the user's cache folder. No script of theirs runs. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { runProgram, lastLine } from "../adapters/native-tools.ts";
import { notBuilt, withoutHosts } from "./errors.ts";
import type { NpmPin } from "./pins.ts";

export interface FetchOptions {
  /** where tarballs are kept */
  readonly cache: string;
  /** a folder of the caller's own, on the same disk */
  readonly part: string;
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** @returns the tarballs' paths, in the order of `pins`, their integrity checked @throws {AccreteError} IMAGE_NOT_BUILT */
export async function fetchPackages(pins: readonly NpmPin[], options: FetchOptions): Promise<string[]> {
  const { cache, part, say, signal } = options;
  await mkdir(cache, { recursive: true });
  const missing: NpmPin[] = [];
  for (const pin of pins) if ((await integrityOf(join(cache, fileOf(pin)))) !== pin.integrity) missing.push(pin);
  if (missing.length > 0) {
    const names = missing.map(({ name, version }) => `${name}@${version}`);
    say(`fetch ${names.join(", ")}`);
    const args = ["pack", "--silent", "--ignore-scripts", "--pack-destination", part, ...names];
    const ran = await runProgram("npm", args, { signal });
    if (!ran.ok) throw notBuilt(whyNotFetched(ran));
  }
  for (const pin of missing) {
    const fetched = join(part, fileOf(pin));
    const found = await integrityOf(fetched);
    if (found === undefined) throw notBuilt(`npm pack has left no ${fileOf(pin)}`);
    if (found !== pin.integrity)
      throw notBuilt(
        `the package ${pin.name} ${pin.version} is not the one that is pinned: its sha512 is another. The registry gives another file, or it was changed on the way`,
      );
    await rename(fetched, join(cache, fileOf(pin)));
  }
  return pins.map((pin) => join(cache, fileOf(pin)));
}

/** As npm pack names it. */
function fileOf({ name, version }: NpmPin): string {
  return `${name.replace(/^@/, "").replace("/", "-")}-${version}.tgz`;
}

/** undefined: there is no such file */
async function integrityOf(path: string): Promise<string | undefined> {
  const body = await readFile(path).catch(() => undefined);
  return body === undefined ? undefined : `sha512-${createHash("sha512").update(body).digest("base64")}`;
}

function whyNotFetched({ missing, said }: { readonly missing: boolean; readonly said: string }): string {
  if (missing) return "npm is missing: it comes with Node (apt-get install npm, or nodejs.org)";
  if (/ENOSPC|no space left/i.test(said)) return "the disk is full: npm finds no room for the packages";
  return `the packages of npm can't be fetched; look at npm's registry, proxy and certificate settings (npm pack: ${withoutHosts(lastLine(said))})`;
}

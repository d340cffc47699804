/**
 * npm run base-image -- [TAG]: a stand-in for the trainer image's public base, where no registry can be reached: Debian bookworm by debootstrap
 * (minbase, the same set of packages), from the mirror that this machine's apt uses. What it made is kept in the user's cache folder.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { lastLine, runProgram } from "../adapters/native-tools.ts";
import { dockerEnv, ENGINE_FOLDER, startEngine, type Engine } from "./engine.ts";

export const BASE_TAG = "accrete-base:bookworm";
const SUITE = "bookworm";
/** Of every file: the same packages give the same archive. */
const MTIME = "@0";

/** What is this machine's or a run's own, and what the public slim image leaves out. Shell patterns below the root. */
const LEFT_OUT = [
  "debootstrap",
  "etc/{hostname,resolv.conf,machine-id}",
  "etc/apt/{sources.list,sources.list.d/*}",
  "usr/share/{doc,info,locale,man}/*",
  "var/cache/apt/*",
  "var/cache/{debconf/*-old,ldconfig/aux-cache}",
  "var/lib/{apt/lists/*,dpkg/*-old}",
  "var/log/*",
  "{dev,proc,run,sys,tmp}/*",
];

/** Makes the image unless the engine has it. @throws Error one sentence that says what does not work */
export async function makeBase(tag: string, engine: Engine, say: (line: string) => void): Promise<void> {
  const env = dockerEnv(engine);
  if ((await runProgram("docker", ["image", "inspect", tag], { env })).ok) return;
  await importTar(tag, await baseTar(say), env);
}

/** Path of the archive of its files; made if it is not in the cache folder. Another recipe, which is this file, gets another one. */
async function baseTar(say: (line: string) => void): Promise<string> {
  const recipe = createHash("sha256")
    .update(readFileSync(import.meta.filename))
    .digest("hex")
    .slice(0, 12);
  const kept = join(ENGINE_FOLDER, `base-${SUITE}-${recipe}.tar`);
  if (existsSync(kept)) return kept;
  say(`makes the stand-in base by debootstrap: about half a minute`);
  mkdirSync(ENGINE_FOLDER, { recursive: true });
  const part = mkdtempSync(join(ENGINE_FOLDER, "base.part-"));
  try {
    const root = join(part, "root");
    await must("debootstrap", ["--variant=minbase", SUITE, root, mirror()]);
    const excluded = LEFT_OUT.flatMap(alternatives).map((pattern) => `--exclude=./${pattern}`);
    const same = ["--sort=name", `--mtime=${MTIME}`, "--numeric-owner", "--format=gnu", "--wildcards-match-slash"];
    const tar = join(part, "base.tar");
    await must("tar", ["-C", root, ...same, "--anchored", ...excluded, "-cf", tar, "."]);
    renameSync(tar, kept);
    return kept;
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** "a/{b,c}" as "a/b" and "a/c": tar has no braces. */
function alternatives(pattern: string): string[] {
  const [, before = "", list, after = ""] = /^(.*?)\{(.*?)\}(.*)$/.exec(pattern) ?? [];
  return list === undefined ? [pattern] : list.split(",").map((one) => `${before}${one}${after}`);
}

/** Where apt gets Debian itself from here. */
function mirror(): string {
  const folder = "/etc/apt/sources.list.d";
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const files = ["/etc/apt/sources.list", ...names.map((name) => join(folder, name))].filter((file) =>
    existsSync(file),
  );
  for (const file of files) {
    const found = mirrorIn(readFileSync(file, "utf8"));
    if (found !== undefined) return found;
  }
  throw new Error("no source of Debian's is in /etc/apt: the stand-in base can't be made");
}

/** In either form that apt reads; one for security alone has no base system. */
export function mirrorIn(sources: string): string | undefined {
  for (const stanza of sources.split(/\n\s*\n/)) {
    const field = (name: string): string[] =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(stanza)?.[1]?.split(/\s+/) ?? [];
    if (field("Types").includes("deb") && field("Suites").includes(SUITE) && field("Components").includes("main"))
      return field("URIs")[0];
  }
  const line = new RegExp(`^deb\\s+(?:\\[[^\\]]*\\]\\s+)?(\\S+)\\s+${SUITE}\\s.*\\bmain\\b`, "m");
  return line.exec(sources)?.[1];
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const ran = await runProgram(program, args, { env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" } });
  if (ran.missing) throw new Error(`${program} is missing: apt-get install ${program}`);
  if (!ran.ok) throw new Error(`${program} does not make the stand-in base: ${lastLine(ran.said)}`);
}

async function importTar(tag: string, tar: string, env: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn("docker", ["import", "--change", 'CMD ["/bin/sh"]', "-", tag], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stdin.on("error", () => {}); // its end says more
  createReadStream(tar).pipe(child.stdin);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`docker import does not take the stand-in base: ${lastLine(said)}`);
}

if (import.meta.main) {
  const [tag = BASE_TAG] = process.argv.slice(2);
  try {
    const say = (line: string): void => console.error(line);
    await makeBase(tag, await startEngine(say), say);
    console.log(tag);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

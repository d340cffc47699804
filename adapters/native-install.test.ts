/** What stops an installation of TensorFlow's library, by programs that play Python and the compiler. The real one: native-install.slow.test.ts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { chooseBuild, installNative, removeNative, roomFor } from "./native-install.ts";
import { findNative, nativeAt, nativeFolder } from "./native-library.ts";
import { makePart, putInPlace, removeLeftParts } from "./native-part.ts";
import { BUILDS } from "./native-pins.ts";
import { identityOf } from "./process-alive.ts";

const temporary = await mkdtemp(join(tmpdir(), "accrete-native-"));
afterAll(() => rm(temporary, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

let made = 0;
async function folder(): Promise<string> {
  const path = join(temporary, String(made++));
  await mkdir(path);
  return path;
}

async function program(script: string): Promise<string> {
  const path = join(await folder(), "program");
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

/** A Python whose pip is there, and which downloads as `download` says. What is unpacked is nothing. */
const python = (download: string): Promise<string> =>
  program(`case "$*" in
*"pip --version"*) echo "pip 26.0" ;;
*"pip download"*)
  while [ "$1" != --dest ]; do shift; done
  ${download} ;;
esac`);
const FETCHES = 'echo zip > "$2/some.whl"';
/** A compiler that writes something else than an addon. */
const COMPILES = `case "$*" in *--version*) ;; *) for last; do :; done; echo nothing > "$last" ;; esac`;

/** The message, once it is sure that nothing is left. */
async function failing(on: { PYTHON: string; CXX: string; root?: string; signal?: AbortSignal }): Promise<string> {
  const root = on.root ?? (await folder());
  vi.stubEnv("PYTHON", on.PYTHON);
  vi.stubEnv("CXX", on.CXX);
  const thrown = await installNative({ gpu: false, say: () => undefined, root, signal: on.signal }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(AccreteError);
  expect(thrown).toMatchObject({ code: "NATIVE_NOT_BUILT", advice: expect.stringContaining("wasm") });
  if (existsSync(root)) expect(await readdir(root)).toEqual([]);
  expect(findNative(root)).toBeUndefined();
  return messageOf(thrown);
}

// on a platform that has no wheel each of these would say so at once
describe.skipIf(BUILDS.every(({ platform }) => platform !== `${process.platform}-${process.arch}`))(
  "an installation that can't be made says what is missing, and leaves nothing",
  () => {
    it.each<[string, string, string, RegExp]>([
      [
        "no Python",
        "/no/python",
        COMPILES,
        /^Python 3 with pip is missing \(there is no \/no\/python\): (apt-get|brew) install .*PYTHON$/,
      ],
      [
        "a Python without pip",
        "echo 'No module named pip' >&2; exit 1",
        COMPILES,
        /^pip is missing \(.*No module named pip\): (apt-get install python3-pip|brew)/,
      ],
      [
        "a compiler that does not answer",
        "exit 0",
        "echo 'no developer tools' >&2; exit 1",
        /^a C\+\+ compiler is missing \(.*no developer tools\): (apt-get install g\+\+|xcode-select)/,
      ],
      ["no compiler", "exit 0", "/no/compiler", /^a C\+\+ compiler is missing \(there is no \/no\/compiler\)/],
    ])("%s", async (_what, forPython, forCompiler, expected) => {
      const at = async (script: string): Promise<string> => (script.startsWith("/") ? script : program(script));
      expect(await failing({ PYTHON: await at(forPython), CXX: await at(forCompiler) })).toMatch(expected);
    });

    it.each<[string, string, RegExp]>([
      [
        "another file than the pinned one",
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        /^the wheel tensorflow\S* \S+ is not the one that is pinned: its sha256 is another/,
      ],
      [
        "no network",
        "WARNING: Retrying after connection broken by NewConnectionError: Failed to establish a new connection\nERROR: Could not find a version that satisfies the requirement",
        /can't be fetched: pip finds no way to its index; look at the network, proxy/,
      ],
      [
        "an index without it",
        "ERROR: No matching distribution found for tensorflow",
        /^the index of pip has no wheel tensorflow/,
      ],
      ["a full disk", "OSError: [Errno 28] No space left on device", /^the disk is full: the wheel tensorflow/],
      ["anything else", "ERROR: it is Monday", /can't be fetched \(pip: ERROR: it is Monday\)$/],
    ])("pip finds %s", async (_what, said, expected) => {
      const PYTHON = await python(`echo "${said}" >&2; exit 1`);
      expect(await failing({ PYTHON, CXX: await program(COMPILES) })).toMatch(expected);
    });

    it("the name of an index is not repeated", async () => {
      const PYTHON = await python(
        `echo "ERROR: HTTP error 403 for URL https://user:secret@index.example/simple/x (host='index.example')" >&2; exit 1`,
      );
      const message = await failing({ PYTHON, CXX: await program(COMPILES) });
      expect(message).toContain("HTTP error 403");
      expect(message).not.toMatch(/index\.example|secret/);
    });

    it("a compiler that can't compile it", async () => {
      const CXX = await program(
        `case "$*" in *--version*) ;; *) echo "x.cc:1: error: no such header" >&2; exit 1 ;; esac`,
      );
      const message = await failing({ PYTHON: await python(FETCHES), CXX });
      expect(message).toMatch(
        /^the C\+\+ compiler .* can't compile tfjs-node's addon: x\.cc:1: error: no such header$/,
      );
    });

    it("a library that does not work here", async () => {
      const message = await failing({ PYTHON: await python(FETCHES), CXX: await program(COMPILES) });
      expect(message).toMatch(/^TensorFlow's library does not work on this machine: \S/);
    });

    it("a folder that can't be made", async () => {
      const file = join(await folder(), "file");
      await writeFile(file, "");
      const given = { PYTHON: await python(FETCHES), CXX: await program(COMPILES), root: join(file, "native") };
      expect(await failing(given)).toMatch(
        /can't be written \(.*ENOTDIR.*\): name another folder in ACCRETE_NATIVE_DIR$/,
      );
    });

    it("a call that is broken off", async () => {
      const stopped = new AbortController();
      const PYTHON = await python(`touch "$2/begun"; exec sleep 60`);
      const root = await folder();
      const ended = failing({ PYTHON, CXX: await program(COMPILES), root, signal: stopped.signal });
      await begun(root);
      stopped.abort(new AccreteError("NATIVE_NOT_BUILT", "SIGINT"));
      expect(await ended).toBe("SIGINT");
    });

    it("a process that was killed: the next one takes away what it left, and nothing that is alive", async () => {
      const root = await folder();
      const env = {
        ...process.env,
        PYTHON: await python(`touch "$2/begun"; exec sleep 60`),
        CXX: await program(COMPILES),
      };
      const main = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
      const child = spawn(process.execPath, [main, "native", "--cpu"], {
        env: { ...env, ACCRETE_NATIVE_DIR: root },
        stdio: "ignore",
        detached: true,
      });
      await begun(root);
      expect(await removeLeftParts(root)).toBe(0);
      process.kill(-child.pid!, "SIGKILL"); // its pip too
      await once(child, "exit");
      expect(await readdir(root)).toHaveLength(1);
      const PYTHON = await python("exit 1");
      await failing({ PYTHON, CXX: await program(COMPILES), root }); // looks that nothing is left
    });
  },
);

async function begun(root: string): Promise<void> {
  for (;;) {
    const names = await readdir(root, { recursive: true }).catch(() => []);
    if (names.some((name) => name.endsWith("begun"))) return;
    await sleep(20);
  }
}

describe("which library is for which machine", () => {
  it("the one that is asked for, else by the GPU", () => {
    expect(chooseBuild(true, "linux-x64")).toMatchObject({ gpu: true, platform: "linux-x64" });
    expect(chooseBuild(false, "linux-x64")).toMatchObject({ gpu: false, platform: "linux-x64" });
    expect(chooseBuild(undefined, "linux-arm64")).toMatchObject({ gpu: false });
    expect(chooseBuild(undefined, "darwin-arm64")).toMatchObject({ gpu: false });
  });

  it("names the platforms that have one, where this one has none", () => {
    expect(() => chooseBuild(false, "win32-x64")).toThrow(
      /no TensorFlow \S+ for win32-x64: .*linux-x64, linux-arm64, darwin-arm64/,
    );
    expect(() => chooseBuild(true, "linux-arm64")).toThrow(
      /no TensorFlow \S+ for GPUs for linux-arm64: there is one for linux-x64$/,
    );
  });

  it("each wheel is pinned by a digest of its own", () => {
    const digests = BUILDS.flatMap(({ wheels }) => wheels.map(({ sha256 }) => sha256));
    expect(new Set(digests).size).toBe(digests.length);
    for (const digest of digests) expect(digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it("a disk without room for it is told before anything is fetched", async () => {
    const build = { ...BUILDS[0]!, wheels: [{ ...BUILDS[0]!.wheels[0]!, kept: 2 ** 60 }] };
    const root = await folder();
    await expect(roomFor(build, root)).rejects.toThrow(
      / of free disk space, \d+ MB are needed: free some, or name another/,
    );
    expect(await readdir(root)).toEqual([]);
  });
});

/** An installation as far as its names go. */
async function fill(path: string, content: string): Promise<string> {
  await mkdir(path, { recursive: true });
  for (const name of ["tfjs_binding.node", "mute.node"]) await writeFile(join(path, name), content);
  const about = { format: 1, tensorflow: "2.21.0", platform: "x", gpu: false };
  await writeFile(join(path, "native.json"), JSON.stringify(about));
  return path;
}

describe("a folder that is made beside its place", () => {
  it("replaces what is there, and what was there is gone", async () => {
    const root = await folder();
    const place = nativeFolder({ gpu: false }, root);
    await fill(place, "old");
    const part = await fill(await makePart(root), "new");
    await putInPlace(part, place);
    expect(await readdir(root)).toEqual([place.split("/").at(-1)]);
    expect((await readdir(place)).sort()).toEqual(["mute.node", "native.json", "tfjs_binding.node"]);
  });

  it("of many at the same moment each ends, and a whole one is there", async () => {
    const root = await folder();
    const place = nativeFolder({ gpu: false }, root);
    const parts = await Promise.all(Array.from({ length: 8 }, async (_, i) => fill(await makePart(root), String(i))));
    await Promise.all(parts.map((part) => putInPlace(part, place)));
    expect(nativeAt({ gpu: false }, root)).toMatchObject({ folder: place });
    for (const part of parts) await rm(part, { recursive: true, force: true });
    expect(await readdir(root)).toHaveLength(1);
  });

  it("is left alone while its process lives, or may live on another machine", async () => {
    const root = await folder();
    const mine = await makePart(root);
    const elsewhere = await makePart(root);
    const other = { host: `not-${hostname()}`, process: await identityOf(process.pid) };
    await writeFile(join(elsewhere, "owner.json"), JSON.stringify(other));
    const dead = await makePart(root);
    const ended = { host: hostname(), process: { pid: process.pid, start: "another boot" } };
    await writeFile(join(dead, "owner.json"), JSON.stringify(ended));
    expect(await removeLeftParts(root)).toBe(1);
    expect([mine, elsewhere, dead].map((path) => existsSync(path))).toEqual([true, true, false]);
  });

  it("remove takes away what is installed, and nothing else", async () => {
    const root = await folder();
    const there = await fill(nativeFolder({ gpu: false }, root), "x");
    await mkdir(join(root, "tensorflow-2.21.0-plan9-x64"));
    expect(await removeNative(root)).toEqual([there]);
    expect(await readdir(root)).toEqual(["tensorflow-2.21.0-plan9-x64"]);
    expect(await removeNative(root)).toEqual([]);
  });
});

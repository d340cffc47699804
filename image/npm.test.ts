import { createHash } from "node:crypto";
import { chmod, mkdtemp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeEach, expect, it } from "vitest";
import { fetchPackages } from "./npm.ts";
import type { NpmPin } from "./pins.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-npm-"));
const [bin, part, cache] = ["bin", "part", "cache"].map((name) => join(folder, name)) as [string, string, string];
const path = process.env["PATH"] ?? "";
afterAll(async () => {
  process.env["PATH"] = path;
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  for (const one of [bin, part, cache]) {
    await rm(one, { recursive: true, force: true });
    await mkdir(one, { recursive: true });
  }
  process.env["PATH"] = `${bin}${delimiter}${path}`;
});

const TARBALL = "a tarball";
const PIN: NpmPin = {
  name: "@some/thing",
  version: "1.2.3",
  integrity: `sha512-${createHash("sha512").update(TARBALL).digest("base64")}`,
};
const FILE = "some-thing-1.2.3.tgz";

/** An `npm` that does this. */
async function npmDoes(script: string): Promise<void> {
  await writeFile(join(bin, "npm"), `#!/bin/sh\necho "$@" >> ${folder}/calls\n${script}\n`);
  await chmod(join(bin, "npm"), 0o755);
}

const said: string[] = [];
const fetch = () => fetchPackages([PIN], { cache, part, say: (line) => void said.push(line) });

it("fetches what is not there, once, and runs no script of it", async () => {
  await npmDoes(`printf '%s' '${TARBALL}' > ${part}/${FILE}`);
  expect(await fetch()).toEqual([join(cache, FILE)]);
  expect(said).toEqual(["fetch @some/thing@1.2.3"]);
  expect(await readFile(join(folder, "calls"), "utf8")).toBe(
    `pack --silent --ignore-scripts --pack-destination ${part} @some/thing@1.2.3\n`,
  );
  await npmDoes("exit 1");
  expect(await fetch()).toEqual([join(cache, FILE)]);
});

it("fetches a damaged one anew", async () => {
  await writeFile(join(cache, FILE), "half a tar");
  await npmDoes(`printf '%s' '${TARBALL}' > ${part}/${FILE}`);
  await fetch();
  expect(await readFile(join(cache, FILE), "utf8")).toBe(TARBALL);
});

it.each([
  ["echo another > PART", /@some\/thing 1\.2\.3 is not the one that is pinned: its sha512 is another/],
  ["true", /npm pack has left no some-thing-1\.2\.3\.tgz/],
  [
    "echo 'npm error network request to https://registry.example/@some%2fthing failed, reason: getaddrinfo' >&2; exit 1",
    /^the packages of npm can't be fetched; look at npm's registry.*\(npm pack: npm error network request to the registry failed/,
  ],
  ["echo 'npm error code ENOSPC' >&2; exit 1", /^the disk is full/],
])("%s: nothing is kept, and it is said why", async (script, message) => {
  await npmDoes(script.replace("PART", `${part}/${FILE}`));
  await expect(fetch()).rejects.toMatchObject({ code: "IMAGE_NOT_BUILT", message: expect.stringMatching(message) });
  expect(await readdir(cache)).toEqual([]);
});

it("says that npm is missing", async () => {
  process.env["PATH"] = "/nowhere";
  await expect(fetch()).rejects.toMatchObject({
    code: "IMAGE_NOT_BUILT",
    message: expect.stringMatching(/^npm is missing/),
  });
});

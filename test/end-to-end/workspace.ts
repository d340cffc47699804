/** What the tests of bad input share: a workspace, what can be broken in it, and how a failure has to look. */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { choosePipeline, openWorkspace } from "../../cli/compose-local.ts";
import { sampleCsv } from "../../cli/sample.ts";
import { why } from "../../ledger/why.ts";
import { runCli, type CliResult } from "../run-cli.ts";

export const state = (dir: string, key = ""): string => join(dir, ".accrete", "state", "flowers", key);
export const data = (dir: string, name: string): string => join(dir, ".accrete", "data", "flowers", name);

/** A CSV that no other seed gives. */
export const csv = (seed: number, rows = 60): string => sampleCsv(rows, seed);

/** Whole at once, as a careful program does. */
export async function drop(dir: string, name: string, content: string | Uint8Array): Promise<void> {
  const path = data(dir, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(join(dir, "being-written"), content);
  await rename(join(dir, "being-written"), path);
}

/** Until what was dropped counts as settled, so that one round takes all of it. */
export const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 600));

export async function copyWorkspace(from: string, to: string): Promise<string> {
  await cp(from, to, { recursive: true, verbatimSymlinks: true });
  return to;
}

export type Damage = (body: Buffer) => Buffer;
export const flipBit: Damage = (body) => {
  body[body.length >> 1]! ^= 1;
  return body;
};
export const cutShort: Damage = (body) => body.subarray(0, body.length >> 1);
export const emptied: Damage = () => Buffer.alloc(0);

/** Another file takes its place: the state's files are hard links at times. */
export async function damage(path: string, how: Damage): Promise<void> {
  const body = await readFile(path);
  await rm(path);
  await writeFile(path, how(body));
}

/** Paths below a folder, with `/`, sorted; hidden ones are left out. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length).replace(/^\//, ""))
    .filter((path) => !path.split("/").some((part) => part.startsWith(".")))
    .sort();
}

/** No stack, no raw escape: whatever was in a file's name or in a message. */
export function expectSafe({ out, err }: CliResult): void {
  expect(out + err).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  expect(out + err).not.toMatch(/^ +at .*\.[tj]s:\d+/m);
  expect(out + err).not.toContain("This was not expected");
}

/** The one form that a failure has: a code, what was found, what to do. */
export function expectFailure(result: CliResult, exit: number, code: string, names: string | RegExp): void {
  expectSafe(result);
  expect(result.err).toMatch(new RegExp(`^error ${code}: [^\\n]+\\nwhat to do: [^\\n]+\\n$`));
  if (typeof names === "string") expect(result.err.split("\n")[0]).toContain(names);
  else expect(result.err.split("\n")[0]).toMatch(names);
  expect(result.code).toBe(exit);
}

export async function expectDone(dir: string, ...args: string[]): Promise<CliResult> {
  const result = await runCli(dir, args);
  expectSafe(result);
  expect(result, `accrete ${args.join(" ")}`).toMatchObject({ code: 0, err: "" });
  return result;
}

/** What `why` says became of each of these objects; in this process, as starting one for each would take long. */
export async function whereIs(dir: string, ...names: string[]): Promise<string[]> {
  const pipeline = choosePipeline(await openWorkspace({ dir }), undefined);
  return Promise.all(
    names.map(async (name) => {
      const versions = await why(pipeline, `flowers/${name}`);
      return versions.map(({ now }) => ("round" in now ? `${now.is} ${now.round}` : now.is)).join(", ");
    }),
  );
}

/** The verbs that `--help` lists. */
export async function verbs(dir: string): Promise<ReadonlySet<string>> {
  const { out } = await runCli(dir, ["--help"]);
  return new Set([...out.matchAll(/^ {2}([a-z]+) .*$/gm)].map(([, verb]) => verb!));
}

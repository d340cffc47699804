import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as batch from "@aws-sdk/client-batch";
import * as s3 from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { AccreteError, ADVICE, type ErrorCode } from "../protocol/errors.ts";
import { failureKey } from "../protocol/keys.ts";
import { exitCodeOf, recordFailure } from "../trainer/failure.ts";
import { MUTATIONS } from "./simulation/mutations.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const CODES = Object.keys(ADVICE) as ErrorCode[];
const readSource = (file: string): string => readFileSync(`${ROOT}${file}`, "utf8");

describe("docs/errors.md", () => {
  const rows = readSource("docs/errors.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.slice(2, -2).split(" | "));
  const codeOf = ([code]: readonly string[]): string => (code ?? "").replaceAll("`", "");

  it("lists every code of protocol/errors.ts, in its order, and no other", () => {
    expect(rows.map(codeOf)).toEqual(CODES);
  });

  it.each(rows)("%s: says when it happens, and gives the advice that the error gives", (code, when, advice) => {
    expect(when).toMatch(/^.{10,}\.$/);
    expect(advice).toBe(ADVICE[codeOf([code]) as ErrorCode]);
  });

  it("gives the exit code with which the trainer ends, wherever it leaves a failure record", async () => {
    const store = openMemoryStore({ nowMs: () => 0 });
    const listed = new Map(rows.map((row) => [codeOf(row), row[3]]));
    for (const [i, code] of CODES.entries()) {
      const error = new AccreteError(code, "why");
      await recordFailure(store, { round: 1, attempt: i }, error);
      const left = (await store.head(failureKey(1, i))) !== undefined || code === "PLAN_NOT_FOUND";
      expect(listed.get(code), code).toBe(left ? String(exitCodeOf(error)) : "–");
    }
  });
});

describe("the documents", () => {
  const documents = globSync(["*.md", "{docs,examples}/**/*.md"], { cwd: ROOT });

  it.each(documents)("%s: each link to a file of ours leads to one", (document) => {
    const targets = [...readSource(document).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target!);
    const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(document), target)));
    expect(missing).toEqual([]);
  });

  it("say how many rules the simulation breaks on purpose", () => {
    expect(readSource("README.md")).toContain(`${MUTATIONS.length} rules broken on purpose`);
  });
});

describe("what documents say to type beside accrete itself", () => {
  const documents = globSync(["*.md", "docs/*.md"], { cwd: ROOT });
  /** Of `npx cdk --help`. */
  const CDK = new Set(["bootstrap", "deploy", "destroy", "diff", "synth", "list"]);
  const SDK: Readonly<Record<string, object>> = { batch, s3api: s3 };
  const pascal = (kebab: string): string => kebab.replaceAll(/(?:^|-)([a-z])/g, (_all, letter) => letter.toUpperCase());

  it.each(documents)("%s: scripts of ours, commands of CDK and calls of AWS that there are", (document) => {
    const text = readSource(document);
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(readSource("package.json"));
    for (const [said, name] of text.matchAll(/\bnpm run (?:-s )?([a-z][a-z:-]*)/g))
      expect(scripts, said).toHaveProperty([name!]);
    for (const [said, name] of text.matchAll(/\bnpx cdk ([a-z]+)/g)) expect([...CDK], said).toContain(name);
    for (const [said, service, call] of text.matchAll(/\baws (batch|s3api) ([a-z-]+)/g))
      expect(SDK[service!], said).toHaveProperty(`${pascal(call!)}Command`);
  });
});

describe("a code of protocol/errors.ts", () => {
  const sources = globSync("{protocol,ledger,adapters,trainer,image,cli}/**/*.ts", { cwd: ROOT })
    .filter((file) => !file.endsWith(".test.ts") && file !== "protocol/errors.ts")
    .map((file) => stripComments(readSource(file)));

  it.each(CODES)("%s is used: one that nothing can give would only be in the way", (code) => {
    const used = new RegExp(`\\b${code}\\b`);
    expect(sources.some((source) => used.test(source))).toBe(true);
  });
});

describe("a code that a user can meet", () => {
  /** Given by no error of ours: the advice for a code that a trainer of the user's own has left. */
  const SHOWN_BY_NONE = new Set<string>(["TRAINER_FAILED"]);
  const tests = globSync(["{protocol,ledger,adapters,trainer,image,cli,test}/**/*.test.ts", "test/contract/*.ts"], {
    cwd: ROOT,
  })
    .filter((file) => file !== "test/docs.test.ts")
    .map((file) => stripComments(readSource(file)));

  it.each(CODES)("%s is met in a test", (code) => {
    expect(tests.some((test) => new RegExp(`\\b${code}\\b`).test(test))).toBe(!SHOWN_BY_NONE.has(code));
  });
});

/** So that a code which only a comment names does not count as used. */
function stripComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
}

/** Whatever an error advises to type can be typed: the commands and options of all advices and messages, against `--help`. */
import { globSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { ADVICE } from "../../protocol/errors.ts";
import { runCli } from "../run-cli.ts";
import { verbs } from "./workspace.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const VERBS = await verbs(tmpdir());

/** In backquotes, also in a template where these are escaped; a stack may be named first. */
const COMMAND = /\\?`accrete ((?:--stack [^ `]+ )?)([a-z]+)([^`\\|]*)/g;
/** In a block of what is to be typed: each command of a line, without what is said of it. */
const BLOCK = /^ *```\w*\n([\s\S]*?)^ *```$/gm;
const TYPED = /(?:^|; *) *(?:npx )?accrete ((?:--stack [^ ]+ )?)([a-z]+)([^;|&\n]*)/gm;
/** What is about this machine alone. */
const WITHOUT_STACK: ReadonlySet<string> = new Set(["init", "up", "native"]);

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");

interface Advised {
  readonly verb: string;
  /** `--stack NAME ` where it is named before the verb */
  readonly stack: string;
  readonly rest: string;
  readonly by: string;
}
function* commandsIn(text: string, by: string): Generator<Advised> {
  for (const [, stack = "", verb, rest = ""] of text.matchAll(COMMAND))
    yield { verb: verb!, stack, rest: rest.replaceAll(/\$\{[^}]*\}/g, "VALUE").trim(), by };
}

function* commandsOfBlocks(text: string, by: string): Generator<Advised> {
  for (const [, block = ""] of text.matchAll(BLOCK))
    for (const [, stack = "", verb, rest = ""] of block.replaceAll(/ +#.*$/gm, "").matchAll(TYPED))
      yield { verb: verb!, stack, rest: rest.trim(), by };
}

const sources = globSync("{protocol,ledger,adapters,trainer,cli,functions,infra}/**/*.ts", { cwd: ROOT }).filter(
  (file) => !file.endsWith(".test.ts"),
);
const advised = [
  ...Object.entries(ADVICE).flatMap(([code, text]) => [...commandsIn(text, code)]),
  // not only advices: messages and notices name commands as well
  ...sources.flatMap((file) => [...commandsIn(withoutComments(readFileSync(`${ROOT}${file}`, "utf8")), file)]),
  ...globSync(["README.md", "docs/*.md"], { cwd: ROOT }).flatMap((file) => {
    const text = readFileSync(`${ROOT}${file}`, "utf8");
    return [...commandsIn(text, file), ...commandsOfBlocks(text, file)];
  }),
];
const byVerb = [...Map.groupBy(advised, ({ verb }) => verb)];

it("finds the commands that texts name", () => {
  expect(byVerb.map(([verb]) => verb)).toEqual(expect.arrayContaining(["up", "verify", "retry", "show", "why"]));
  const found = (by: string, rest: string): Advised | undefined =>
    advised.find((one) => one.by === by && `${one.stack}${one.verb} ${one.rest}`.trim() === rest);
  for (const [by, rest] of [
    ["docs/operations.md", "--stack accrete-prod-digits status"],
    ["docs/operations.md", "logs ROUND"],
    ["docs/upgrading.md", "--stack NAME rollback --to head"],
    ["docs/upgrading.md", "--stack NAME doctor"],
    ["docs/deleting.md", "--stack NAME status"],
    ["docs/backfill.md", "doctor --stack accrete-prod-digits --print-notification"],
  ] as const)
    expect(found(by, rest), `${by}: ${rest}`).toBeDefined();
});

it.concurrent.each(byVerb)("accrete %s, where it is named: it is there, with these options", async (verb, named) => {
  expect([...VERBS], `named by ${named.map(({ by }) => by).join(", ")}`).toContain(verb);
  const { out: help } = await runCli(tmpdir(), [verb, "--help"]);
  const usage = /^Usage: .*$/m.exec(help)?.[0] ?? "";
  for (const { stack, rest, by } of named) {
    const isOfStack = stack !== "" || /--stack\b/.test(rest);
    expect(isOfStack && WITHOUT_STACK.has(verb), `${by}: accrete ${stack}${verb} ${rest}`).toBe(false);
    for (const [option] of rest.matchAll(/--[a-z][a-z-]*/g))
      expect(help, `${by}: accrete ${verb} ${rest}`).toContain(option);
    const words = rest.split(/\s+/).filter((word) => word !== "" && !word.startsWith("-"));
    const values = [...rest.matchAll(/--[a-z][a-z-]* +(?!-)\S+/g)].length;
    if (words.length > values) expect(usage, `${by}: accrete ${verb} ${rest}`).toMatch(/[<[](?!options)[a-z.]+/);
  }
});

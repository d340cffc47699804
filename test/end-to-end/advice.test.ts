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

/** In backquotes, also in a template where these are escaped. */
const COMMAND = /\\?`accrete ([a-z]+)([^`\\|]*)/g;

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");

interface Advised {
  readonly verb: string;
  readonly rest: string;
  readonly by: string;
}
function* commandsIn(text: string, by: string): Generator<Advised> {
  for (const [, verb, rest = ""] of text.matchAll(COMMAND))
    yield { verb: verb!, rest: rest.replaceAll(/\$\{[^}]*\}/g, "VALUE").trim(), by };
}

const sources = globSync("{protocol,ledger,adapters,trainer,cli}/**/*.ts", { cwd: ROOT }).filter(
  (file) => !file.endsWith(".test.ts"),
);
const advised = [
  ...Object.entries(ADVICE).flatMap(([code, text]) => [...commandsIn(text, code)]),
  // not only advices: messages and notices name commands as well
  ...sources.flatMap((file) => [...commandsIn(withoutComments(readFileSync(`${ROOT}${file}`, "utf8")), file)]),
  ...globSync(["README.md", "docs/*.md"], { cwd: ROOT }).flatMap((file) => [
    ...commandsIn(readFileSync(`${ROOT}${file}`, "utf8"), file),
  ]),
];
const byVerb = [...Map.groupBy(advised, ({ verb }) => verb)];

it("finds the commands that texts name", () => {
  expect(byVerb.map(([verb]) => verb)).toEqual(expect.arrayContaining(["up", "verify", "retry", "show", "why"]));
});

it.concurrent.each(byVerb)("accrete %s, where it is named: it is there, with these options", async (verb, named) => {
  expect([...VERBS], `named by ${named.map(({ by }) => by).join(", ")}`).toContain(verb);
  const { out: help } = await runCli(tmpdir(), [verb, "--help"]);
  const usage = /^Usage: .*$/m.exec(help)?.[0] ?? "";
  for (const { rest, by } of named) {
    for (const [option] of rest.matchAll(/--[a-z][a-z-]*/g))
      expect(help, `${by}: accrete ${verb} ${rest}`).toContain(option);
    const words = rest.split(/\s+/).filter((word) => word !== "" && !word.startsWith("-"));
    const values = [...rest.matchAll(/--[a-z][a-z-]* +(?!-)\S+/g)].length;
    if (words.length > values) expect(usage, `${by}: accrete ${verb} ${rest}`).toMatch(/[<[](?!options)[a-z.]+/);
  }
});

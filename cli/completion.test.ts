/** Tab completion: the engine on a small tree of commands, and the scripts in real shells. */
import { execFile, execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Argument, Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMPILE_CACHE, runCli } from "../test/run-cli.ts";
import { complete, type Candidate, type Known } from "./completion.ts";
import { shellWords } from "./shell-words.ts";

const named = (...values: string[]): Candidate[] => values.map((value) => ({ value, help: "" }));
const KNOWN: Known = {
  rounds: async (command, { pipeline }) => named("3", `${command}-${pipeline ?? "none"}`),
  objects: async (start) => named(`${start}1.csv`, `${start}\u001b[31m.csv`),
  pipelines: async ({ dir }) => named("digits", dir ?? "here"),
};
function tree(): Command {
  const root = new Command("accrete").option("--dir <dir>").option("--pipeline <name>").option("--json");
  root.command("rollback").requiredOption("--to <round>").option("--without <object...>").option("-y, --yes");
  root.command("drop").argument("<object...>");
  root.command("completion").addArgument(new Argument("<shell>").choices(["bash", "zsh"]));
  root.command("secret", { hidden: true });
  return root;
}
async function after(...words: string[]): Promise<string[] | "files"> {
  const completion = await complete(tree(), words, KNOWN);
  return completion.kind === "files" ? "files" : completion.candidates.map(({ value }) => value);
}

describe("what may come next", () => {
  it("are the commands, but for hidden ones", async () => {
    expect(await after("")).toEqual(["rollback", "drop", "completion", "help"]);
    expect(await after("--json", "r")).toEqual(["rollback"]);
    expect(await after("x")).toEqual([]);
  });

  it("are a command's options and those of all", async () => {
    expect(await after("rollback", "--")).toEqual([
      "--to",
      "--without",
      "--yes",
      "--help",
      "--dir",
      "--pipeline",
      "--json",
    ]);
    expect(await after("rollback", "--w")).toEqual(["--without"]);
    expect(await after("drop", "--", "--w")).toEqual(["--w1.csv"]); // after -- nothing is an option
  });

  it("are an option's values, also behind =, and of several until the next option", async () => {
    expect(await after("--pipeline", "cats", "rollback", "--to", "")).toEqual(["3", "rollback-cats"]);
    expect(await after("rollback", "--to=")).toEqual(["--to=3", "--to=rollback-none"]);
    expect(await after("rollback", "--without", "a", "b")).toEqual(["b1.csv"]);
    expect(await after("rollback", "--without", "a", "--yes", "b")).toEqual([]);
    expect(await after("--dir=there", "--pipeline", "")).toEqual(["digits", "there"]);
  });

  it("are an argument's values, as often as it may come", async () => {
    expect(await after("drop", "a", "b", "c")).toEqual(["c1.csv"]);
    expect(await after("completion", "z")).toEqual(["zsh"]);
    expect(await after("completion", "zsh", "")).toEqual([]);
  });

  it("are files where a path is meant", async () => {
    for (const words of [["--dir", ""], ["--dir=x"], ["drop", "./a"], ["drop", "/tmp"]])
      expect(await after(...words)).toBe("files");
  });
});

describe("a line of bash", () => {
  it.each([
    ["accrete drop a", ["accrete", "drop", "a"], 0],
    ["accrete  drop ", ["accrete", "drop", ""], 0],
    [String.raw`accrete drop a\ b "c d" 'e\f'`, ["accrete", "drop", "a b", "c d", String.raw`e\f`], 0],
    ["accrete drop 'open qu", ["accrete", "drop", "open qu"], 0],
    ["accrete drop ''", ["accrete", "drop", ""], 0],
    ["accrete rollback --to=1", ["accrete", "rollback", "--to=1"], 5],
    [String.raw`accrete drop a:b\:c`, ["accrete", "drop", "a:b:c"], 2],
  ])("%s", (line, words, kept) => {
    expect(shellWords(line)).toEqual({ words, kept });
  });
});

// ------------------------------------------------------------------------------------------------ the scripts in real shells

let folder: string;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-completion-"));
  const data = join(folder, ".accrete", "data", "digits");
  await mkdir(data, { recursive: true });
  await mkdir(join(folder, "bin"));
  for (const name of ["day-1.csv", "with space $(touch pwned);touch pwned.csv", "red\u001b[31m.csv", ".hidden.csv"])
    await writeFile(join(data, name), "x");
  await writeFile(
    join(folder, "accrete.config.ts"),
    `const of = (name) => ({ name, data: { format: "csv" }, trainer: { model: "./m.ts" } });\nexport default { pipelines: [of("cats"), of("dogs")] };`,
  );
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  await writeFile(join(folder, "bin", "accrete"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  await chmod(join(folder, "bin", "accrete"), 0o755);
  env = {
    ...process.env,
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    PATH: `${join(folder, "bin")}${delimiter}${process.env["PATH"]}`,
  };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a shell answers to each line: one shell for all, as each TAB starts the program. */
async function answers(
  shell: string,
  options: readonly string[],
  script: string,
  lines: readonly string[],
): Promise<string[][]> {
  const { stdout } = await promisify(execFile)(shell, [...options, "-c", script, ...lines], { cwd: folder, env });
  const parts = stdout.split("=====\n").map((part) => part.split("\n").filter((line) => line !== ""));
  expect(parts.pop()).toEqual([]);
  return parts;
}
function isThere(shell: string): boolean {
  try {
    execFileSync(shell, ["-c", "exit 0"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
const HOSTILE = "digits/with space $(touch pwned);touch pwned.csv";

/** Lines, and what has to come. */
const TABS = [
  ["accrete roll", ["rollback"]],
  ["accrete --pipeline cats rollback --to ", ["head", "0"]],
  ["accrete --pipeline d", ["dogs"]],
  ["accrete drop ", ["digits/"]],
  ["accrete drop digits/with\\ sp", [HOSTILE]],
] as const;
const LINES = TABS.map(([line]) => line);
const WORDS = TABS.map(([, words]) => words);

describe("the script for bash", () => {
  it("completes commands, options, rounds, pipelines and keys, and evaluates none of them", async () => {
    const script = `
      source <(accrete completion bash)
      [[ $(complete -p accrete) == "complete -F _accrete accrete" ]] || echo "not registered"
      for line in "$@"; do
        COMP_LINE=$line COMP_POINT=\${#line} COMP_WORDS=(accrete)
        _accrete
        for word in "\${COMPREPLY[@]}"; do echo "$word"; done
        echo =====
      done`;
    // bash takes --to= for a word of its own: only what comes after it is replaced
    const lines = [...LINES, "accrete --pipeline cats rollback --to=h", "accrete drop digits/day-1.csv d"];
    expect(await answers("bash", ["--norc"], script, ["bash", ...lines])).toEqual([...WORDS, ["head"], ["digits/"]]);
    expect(await readdir(folder)).not.toContain("pwned");
  });
});

describe("the script for zsh", () => {
  it.skipIf(!isThere("zsh"))("completes the same (skipped where there is no zsh)", async () => {
    // its completion needs a terminal: here compadd only says what it is given
    const script = `
      compdef() { [[ "$*" == "_accrete accrete" ]] || print "not registered" }
      source <(accrete completion zsh)
      compadd() { (( \${#\${(P)@[-1]}} )) && print -rl -- "\${(@P)@[-1]}" }
      for line in "$@"; do
        words=(\${(z)line}); [[ $line == *" " ]] && words+=("")
        CURRENT=\${#words}; PREFIX=\${words[-1]}
        _accrete
        print -r -- "====="
      done`;
    expect(await answers("zsh", ["-f"], script, ["zsh", ...LINES])).toEqual(WORDS);
    expect(await readdir(folder)).not.toContain("pwned");
  });
});

describe("the script for fish", () => {
  it.skipIf(!isThere("fish"))("completes the same (skipped where there is no fish)", async () => {
    const script = `accrete completion fish | source; for line in $argv; complete -C "$line" | string replace -r '\\t.*' ''; echo =====; end`;
    expect(await answers("fish", ["--no-config"], script, LINES)).toEqual(WORDS);
    expect(await readdir(folder)).not.toContain("pwned");
  });
});

describe("a TAB where nothing can be said", () => {
  it("says nothing: no config, a broken one, another shell", async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), "accrete-completion-none-"));
    try {
      expect(await runCli(elsewhere, ["complete", "zsh", "--", "rollback", "--to", ""])).toEqual({
        code: 0,
        out: "",
        err: "",
      });
      expect((await runCli(elsewhere, ["completion", "tcsh"])).code).toBe(64);
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });
});

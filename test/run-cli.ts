/** Runs `accrete` as a user does: a process of its own, with no terminal. */
import { spawn, type ChildProcess } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

/** Halves the start of a process: compiled code is kept between runs of the tests. */
export const COMPILE_CACHE = fileURLToPath(new URL("../node_modules/.cache/accrete-tests", import.meta.url));
const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const WAIT_MS_MAX = 45_000;
const LOOK_MS = 25;

export interface CliRun {
  readonly process: ChildProcess;
  /** what has come so far */
  out(): string;
  err(): string;
  /** Settles when the process has ended. */
  readonly ended: Promise<CliResult>;
  /** Waits until the output matches. @throws if it ends before, or takes too long */
  says(pattern: RegExp): Promise<void>;
}
export interface CliResult {
  /** null: ended by a signal */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** npm's variables would tell the CLI that npm has moved it; colours and folders are the test's own. */
function cleanEnv(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const drop = /^(npm_|INIT_CWD$|ACCRETE_|FORCE_COLOR$|NO_COLOR$|NODE_OPTIONS$|VITEST)/;
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !drop.test(name))),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...more,
  };
}

export interface RunAs {
  /** user and group, for a test that is run by root */
  readonly uid?: number;
  /** a program that runs it, with its arguments */
  readonly under?: readonly string[];
}

export function startCli(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  { uid, under = [] }: RunAs = {},
): CliRun {
  const [program = process.execPath, ...before] = [...under, process.execPath];
  const child = spawn(program, [...before, MAIN, ...args], {
    cwd,
    ...(uid === undefined ? {} : { uid, gid: uid }),
    env: cleanEnv(env),
    stdio: ["ignore", "pipe", "pipe"],
    // a test that fails leaves no process behind
    timeout: WAIT_MS_MAX,
    killSignal: "SIGKILL",
  });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  let over = false;
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      over = true;
      resolve({ code, out, err });
    });
  });
  return {
    process: child,
    out: () => out,
    err: () => err,
    ended,
    async says(pattern) {
      for (let waitedMs = 0; !pattern.test(stripVTControlCharacters(out)); waitedMs += LOOK_MS) {
        if (over || waitedMs > WAIT_MS_MAX)
          throw new Error(
            `accrete ${args.join(" ")} ${over ? "ended" : "goes on"} without saying ${pattern}:\n${out}${err}`,
          );
        await sleep(LOOK_MS);
      }
    },
  };
}

export function runCli(
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  as: RunAs = {},
): Promise<CliResult> {
  return startCli(cwd, args, env, as).ended;
}

export type Changes = readonly (readonly [from: string, to: string])[];

/** A workspace as `accrete init` makes it, quicker than one for people, with other values in its config. @returns its folder */
export async function initWorkspace(folder: string, name: string, changes: Changes = []): Promise<string> {
  const made = await runCli(folder, ["init", name]);
  if (made.code !== 0) throw new Error(made.err);
  const config = join(folder, name, "accrete.config.ts");
  let text = await readFile(config, "utf8");
  for (const [from, to] of [["3 s", "0.2 s"], ["epochs: 20", "epochs: 5"], ...changes] as const) {
    if (!text.includes(from)) throw new Error(`the config of init has no ${from}`);
    text = text.replace(from, to);
  }
  await writeFile(config, text);
  return join(folder, name);
}

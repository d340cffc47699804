/** The Python that LocalStack runs on. */
import { runProgram, type Ran } from "../adapters/native-tools.ts";

/** What plugin/pyproject.toml says: the list of packages holds for these. */
const MINORS = { from: 11, to: 13 } as const;
/** `python3` first, as a shim of pyenv for a version that is not chosen is there and does not run. */
const NAMES = ["python3", "python3.13", "python3.12", "python3.11"] as const;

export interface Python {
  readonly program: string;
  /** such as "3.11.7" */
  readonly version: string;
}

type Run = (program: string, args: readonly string[]) => Promise<Ran>;

/** ensurepip is what Debian has in a package of its own, without which there is no venv. */
const SAY_VERSION = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])";

/**
 * The one that PYTHON names, else the first that will do.
 * @throws {Error} one sentence that says what is missing, and what to install
 */
export async function findPython(env: NodeJS.ProcessEnv = process.env, run: Run = runProgram): Promise<Python> {
  const named = env["PYTHON"];
  const found: string[] = [];
  for (const program of named ? [named] : NAMES) {
    const ran = await run(program, ["-c", SAY_VERSION]);
    const [version, minor] = /^3\.(\d+)\.\d+$/.exec(ran.said.trim()) ?? [];
    if (ran.ok && version !== undefined && fits(Number(minor))) return { program, version };
    if (!ran.missing) found.push(`${program}: ${version ?? lastLineOf(ran.said)}`);
  }
  throw new Error(
    `LocalStack needs Python 3.${MINORS.from} to 3.${MINORS.to} with venv (${found.length === 0 ? `there is no ${named ?? "python3"}` : found.join("; ")}): ${
      process.platform === "darwin" ? "brew install python@3.13" : "apt-get install python3-venv"
    }, or name one in PYTHON`,
  );
}

const fits = (minor: number): boolean => minor >= MINORS.from && minor <= MINORS.to;
const lastLineOf = (said: string): string => said.trim().split("\n").at(-1)?.slice(0, 200) ?? "";

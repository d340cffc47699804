/** The programs that build TensorFlow's addon: Python with pip, a C++ compiler. What is missing is said with the package that brings it. */
import { execFile } from "node:child_process";
import { AccreteError } from "../protocol/errors.ts";

export interface Tools {
  /** PYTHON, else python3 */
  readonly python: string;
  /** CXX, which may have arguments, else the first of c++, g++ and clang++ */
  readonly compiler: readonly [program: string, ...args: string[]];
}

export interface Ran {
  readonly ok: boolean;
  /** there is no such program */
  readonly missing: boolean;
  /** stdout and stderr, as they came */
  readonly said: string;
}

const OUTPUT_BYTES_MAX = 16 * 2 ** 20;

/** Never throws, but for an abort. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { env = {}, signal }: { env?: Readonly<Record<string, string>>; signal?: AbortSignal | undefined } = {},
): Promise<Ran> {
  signal?.throwIfAborted();
  const ran = await new Promise<Ran>((resolve) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: OUTPUT_BYTES_MAX, signal };
    execFile(program, [...args], options, (error, out, err) => {
      const missing = error !== null && "code" in error && error.code === "ENOENT";
      resolve({ ok: error === null, missing, said: `${out}${err}` || (error?.message ?? "") });
    });
  });
  signal?.throwIfAborted();
  return ran;
}

export function notBuilt(message: string, cause?: unknown): AccreteError {
  return new AccreteError("NATIVE_NOT_BUILT", message, { cause });
}

/** @throws {AccreteError} NATIVE_NOT_BUILT: names the first that is missing, and what to install */
export async function findTools(signal?: AbortSignal): Promise<Tools> {
  return { python: await findPython(signal), compiler: await findCompiler(signal) };
}

const isMac = process.platform === "darwin";

async function findPython(signal?: AbortSignal): Promise<string> {
  const python = process.env["PYTHON"] || "python3";
  const pip = await runProgram(python, ["-m", "pip", "--version"], { signal });
  if (pip.ok) return python;
  if (pip.missing)
    throw notBuilt(
      `Python 3 with pip is missing (there is no ${python}): ${isMac ? "brew install python" : "apt-get install python3 python3-pip"}, or name one in PYTHON`,
    );
  throw notBuilt(
    `pip is missing (${python} -m pip: ${lastLine(pip.said)}): ${isMac ? "brew install python" : "apt-get install python3-pip"}, or name a Python that has it in PYTHON`,
  );
}

async function findCompiler(signal?: AbortSignal): Promise<Tools["compiler"]> {
  const [named, ...args] = (process.env["CXX"] ?? "").split(/\s+/).filter((word) => word !== "");
  const candidates: readonly Tools["compiler"][] =
    named === undefined ? [["c++"], ["g++"], ["clang++"]] : [[named, ...args]];
  let why = "";
  for (const [program, ...more] of candidates) {
    const found = await runProgram(program, [...more, "--version"], { signal });
    if (found.ok) return [program, ...more];
    why ||= found.missing ? `there is no ${program}` : `${program} --version: ${lastLine(found.said)}`;
  }
  throw notBuilt(
    `a C++ compiler is missing (${why}): ${isMac ? "xcode-select --install" : "apt-get install g++"}, or name one in CXX`,
  );
}

/** The last line that says something, without addresses: an index' name is nobody else's business. */
export function lastLine(said: string): string {
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  const last = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? "it says nothing";
  return withoutAddresses(last).trim().slice(0, 300);
}

function withoutAddresses(text: string): string {
  return text.replace(/\bhttps?:\/\/[^\s'")]+/g, "the index").replace(/host='[^']*'/g, "host of the index");
}

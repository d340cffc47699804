/**
 * Makes localstack/requirements*.txt anew: the whole tree of what plugin/pyproject.toml asks for, each version with its hashes. With uv, in a
 * virtual environment of its own by the list that is there. No name of an index gets into the files.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lastLine, runProgram } from "../adapters/native-tools.ts";
import { findPython } from "../localstack/python.ts";

const FOLDER = fileURLToPath(new URL("../localstack/", import.meta.url));
const PROJECT = join(FOLDER, "plugin", "pyproject.toml");

const temporary = mkdtempSync(join(tmpdir(), "accrete-requirements-"));
try {
  const { program } = await findPython();
  await must(program, ["-m", "venv", temporary]);
  const python = join(temporary, "bin", "python");
  await must(python, [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--require-hashes",
    "-r",
    join(FOLDER, "requirements-tools.txt"),
  ]);
  // upgrade: else what the file says stays
  const compile = ["-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--project", join(FOLDER, "plugin")];
  const list = join(FOLDER, "requirements.txt");
  await must(python, [...compile, "--no-emit-package", "setuptools", PROJECT, "-o", list]);
  await must(python, [...compile, "--group", `${PROJECT}:tools`, "-o", join(FOLDER, "requirements-tools.txt")]);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

async function must(python: string, args: readonly string[]): Promise<void> {
  const ran = await runProgram(python, args);
  if (!ran.ok) throw new Error(`${args.slice(0, 4).join(" ")}: ${lastLine(ran.said)}`);
}

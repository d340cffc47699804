/** Python programs that tests use: put into the user's cache folder by pip once, in the versions of a file that names them all. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { nativeRoot } from "../adapters/native-library.ts";
import { runProgram } from "../adapters/native-tools.ts";

export const PYTHON = process.env["PYTHON"] || "python3";

export interface PythonPackages {
  readonly name: string;
  /** path of a requirements file; with hashes, nothing else gets in */
  readonly requirements: string;
}

/** @returns why they can't be there; undefined if they are */
export async function installPackages(packages: PythonPackages): Promise<string | undefined> {
  const { name, requirements } = packages;
  const folder = packagesFolder(packages);
  if (existsSync(folder)) return undefined;
  const pip = await runProgram(PYTHON, ["-m", "pip", "--version"]);
  if (!pip.ok) return `${name} needs Python 3 with pip: ${PYTHON} -m pip does not run`;
  mkdirSync(dirname(folder), { recursive: true });
  const temporary = mkdtempSync(`${folder}.`);
  const options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"];
  const put = ["-m", "pip", "install", ...options, "--target", temporary, "-r", requirements];
  const installed = await runProgram(PYTHON, put);
  try {
    if (installed.ok) renameSync(temporary, folder);
  } catch {
    // another process was first
  }
  rmSync(temporary, { recursive: true, force: true });
  return installed.ok ? undefined : `${name} could not be installed: ${installed.said.trim().split("\n").at(-1) ?? ""}`;
}

/** Another set of versions gets another folder. */
export function packagesFolder({ name, requirements }: PythonPackages): string {
  const digest = createHash("sha256").update(readFileSync(requirements)).update(PYTHON).digest("hex");
  return join(dirname(nativeRoot()), `${name}-${digest.slice(0, 12)}`);
}

/** Python packages that tests use, in the versions of a requirements file: put into the user's cache folder by pip, once. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { nativeRoot } from "../adapters/native-library.ts";
import { runProgram } from "../adapters/native-tools.ts";

export const PYTHON = process.env["PYTHON"] || "python3";

/** Where they are, or will be. Another set of versions gets another folder. @param requirements path of NAME-requirements.txt */
export function packagesFolder(requirements: string): string {
  const digest = createHash("sha256").update(readFileSync(requirements)).update(PYTHON).digest("hex");
  const name = basename(requirements).replace(/-requirements\.txt$/, "");
  return join(dirname(nativeRoot()), `${name}-${digest.slice(0, 12)}`);
}

/** @returns why they can't be had; undefined: they are there */
export async function installPackages(requirements: string): Promise<string | undefined> {
  const folder = packagesFolder(requirements);
  if (existsSync(folder)) return undefined;
  const name = basename(requirements).replace(/-requirements\.txt$/, "");
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

/** cfn-lint, of one version, in a virtual environment of the user's cache folder. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const VERSION = "1.51.0";

/**
 * Its path; it is installed the first time.
 * @returns why it can't be had, where it can't
 */
export function cfnLint(): { readonly path: string } | { readonly missing: string } {
  const folder = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "accrete", `cfn-lint-${VERSION}`);
  const path = join(folder, "bin/cfn-lint");
  const done = join(folder, "done");
  if (existsSync(done)) return { path };
  if (spawnSync("python3", ["-c", "import venv, ensurepip"]).status !== 0)
    return { missing: "there is no python3 with venv here" };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  try {
    execFileSync("python3", ["-m", "venv", folder], { stdio: "pipe" });
    const options = ["--quiet", "--disable-pip-version-check", "--no-input"];
    execFileSync(join(folder, "bin/pip"), ["install", ...options, `cfn-lint==${VERSION}`], { stdio: "pipe" });
    mkdirSync(`${done}.part`);
    renameSync(`${done}.part`, done);
  } catch (error) {
    return { missing: `cfn-lint ${VERSION} could not be installed: ${error instanceof Error ? error.message : ""}` };
  }
  return { path };
}

/**
 * Makes a clone ready, once: the dependencies of package-lock.json, and Node 24 by the npm package `node`. Plain JavaScript, as
 * it runs with whatever Node the machine has (whoever runs it names Node 24 by its path afterwards: a shell remembers where the first `node` was). Does nothing if it was done for this package-lock.json.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const stamp = `${root}node_modules/.accrete-setup`;
const wanted = createHash("sha256")
  .update(readFileSync(`${root}package-lock.json`))
  .update(process.platform)
  .update(process.arch)
  .digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  // to stderr: what the command itself prints stays what a script reads
  const npm = (...args) =>
    execFileSync(process.platform === "win32" ? "npm.cmd" : "npm", args, {
      cwd: root,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    });
  process.stderr.write("Setting up: installing the dependencies (once)...\n");
  try {
    npm("ci", "--no-audit", "--no-fund", "--loglevel=error");
    // .npmrc switches install scripts off, and rebuild honours that silently: so by name, and with the option
    npm("rebuild", "--ignore-scripts=false", "--loglevel=error", "node");
  } catch (error) {
    process.stderr.write(
      `\nSetting up failed: ${error.message}\nMend what npm says above, then run the same command again.\n`,
    );
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

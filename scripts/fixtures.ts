/**
 * npm run fixtures -- PYTHON: numbers and files of other libraries that tests compare ours with, made anew: each scripts/fixtures/NAME.py,
 * run by a Python that has torch, keras, tensorflow and pyarrow, gives test/fixtures/NAME.json. Its tests need no Python.
 */
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const [python] = process.argv.slice(2);
if (python === undefined) {
  console.error("npm run fixtures -- PYTHON: the path of a Python that has torch, keras, tensorflow and pyarrow");
  process.exit(64);
}

const folder = join(ROOT, "test/fixtures");
mkdirSync(folder, { recursive: true });
for (const script of globSync("scripts/fixtures/*.py", { cwd: ROOT }).sort()) {
  const found = execFileSync(python, [join(ROOT, script)], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const file = join(folder, `${basename(script, ".py")}.json`);
  JSON.parse(found);
  writeFileSync(file, found);
  console.log(`${script} -> ${file}: ${found.length} bytes`);
}
execFileSync(join(ROOT, "node_modules/.bin/oxfmt"), [folder], { stdio: "inherit" });

/**
 * Makes dist/, what is published: compiled JavaScript with types (Node strips no types under node_modules), and the trainer bundled
 * with TensorFlow.js, so that nobody who installs the package needs its packages or their install scripts.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, globSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DIST = join(ROOT, "dist");
const require = createRequire(import.meta.url);

rmSync(DIST, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", join(ROOT, "tsconfig.build.json")],
  {
    stdio: "inherit",
  },
);
// the bundle takes the place of the compiled trainer
rmSync(join(DIST, "trainer"), { recursive: true, force: true });
mkdirSync(join(DIST, "trainer"));
await build({
  entryPoints: [join(ROOT, "trainer/main.ts"), join(ROOT, "trainer/reader.ts")],
  outdir: join(DIST, "trainer"),
  bundle: true,
  splitting: true, // so that what a round does not need is not loaded
  minify: true,
  format: "esm",
  platform: "node",
  target: "node24",
  external: ["@duckdb/node-api", "sharp"], // native: dependencies of the package
  banner: {
    js: 'import{createRequire as __accreteRequire}from"node:module";var require=__accreteRequire(import.meta.url);',
  },
  logLevel: "warning",
});
const wasm = dirname(require.resolve("@tensorflow/tfjs-backend-wasm"));
for (const file of globSync("*.wasm", { cwd: wasm }))
  copyFileSync(join(wasm, file), join(DIST, "trainer", basename(file)));

/**
 * Makes dist/, what is published: compiled JavaScript with types (Node strips no types under node_modules), the trainer bundled
 * with TensorFlow.js, so that nobody who installs the package needs its packages or their install scripts, and the functions of the stack
 * on AWS as they are deployed.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildFunction } from "../adapters/bundle-function.ts";
import { buildTrainer } from "../adapters/bundle-trainer.ts";

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
cpSync(join(ROOT, "infra/host"), join(DIST, "infra/host"), {
  recursive: true,
  filter: (path) => !path.endsWith(".ts"),
});
// the bundle takes the place of the compiled trainer
rmSync(join(DIST, "trainer"), { recursive: true, force: true });
mkdirSync(join(DIST, "trainer"));
for (const [name, contents] of await buildTrainer()) writeFileSync(join(DIST, "trainer", name), contents);
const wasm = dirname(require.resolve("@tensorflow/tfjs-backend-wasm"));
for (const file of globSync("*.wasm", { cwd: wasm }))
  copyFileSync(join(wasm, file), join(DIST, "trainer", basename(file)));
// what `accrete native` compiles: nobody who installs the package gets tfjs-node itself, whose install script would run
const NATIVE = join(DIST, "native");
const tfjsNode = dirname(require.resolve("@tensorflow/tfjs-node-gpu/package.json"));
const nodeApi = dirname(require.resolve("node-api-headers/package.json"));
cpSync(join(tfjsNode, "binding"), join(NATIVE, "binding"), { recursive: true });
cpSync(join(nodeApi, "include"), join(NATIVE, "node-api"), { recursive: true });
copyFileSync(join(nodeApi, "LICENSE"), join(NATIVE, "node-api", "LICENSE"));
copyFileSync(join(ROOT, "adapters/native/mute.cc"), join(NATIVE, "mute.cc"));
// what `accrete image` builds with
copyFileSync(join(ROOT, "image/Dockerfile"), join(DIST, "image/Dockerfile"));
mkdirSync(join(DIST, "functions"), { recursive: true });
for (const name of ["intake", "ledger"] as const)
  writeFileSync(join(DIST, `functions/${name}.mjs`), await buildFunction(name));

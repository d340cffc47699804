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
import { build, type Plugin } from "esbuild";
import { buildFunction } from "../adapters/bundle-function.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DIST = join(ROOT, "dist");
const require = createRequire(import.meta.url);

/** Of the trainer: processes and threads of their own. */
const PROGRAMS = [
  ...["main", "reader", "batches-worker", "save-worker", "watchdog-worker", "export"].map((name) => `trainer/${name}`),
  ...["native-open", "native-self-test"].map((name) => `adapters/${name}`),
];

/**
 * tfjs-node's kernels ask for the whole of TensorFlow.js, with WebGL, converters and data sets, and for the messages of TensorBoard. They use what
 * the trainer has anyway, and no message.
 */
const kernels: Plugin = {
  name: "kernels",
  setup(bundle) {
    const contents = new Map([
      [
        "@tensorflow/tfjs",
        'module.exports={...require("@tensorflow/tfjs-core"),...require("@tensorflow/tfjs-layers")}',
      ],
      ["./proto/api_pb", ""],
    ]);
    bundle.onResolve({ filter: /^(@tensorflow\/tfjs|\.\/proto\/api_pb)$/ }, ({ path }) => ({
      path,
      namespace: "kernels",
    }));
    bundle.onLoad({ filter: /./, namespace: "kernels" }, ({ path }) => ({
      contents: contents.get(path) ?? "",
      resolveDir: ROOT,
    }));
  },
};

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
await build({
  entryPoints: PROGRAMS.map((path) => ({ in: join(ROOT, `${path}.ts`), out: basename(path) })),
  outdir: join(DIST, "trainer"),
  bundle: true,
  splitting: true, // so that what a round does not need is not loaded
  minify: true,
  format: "esm",
  platform: "node",
  target: "node24",
  external: ["sharp"], // native: a dependency of the package
  // what CommonJS modules take for granted: without __dirname the wasm backend does not start
  banner: {
    js: 'import{createRequire as __accreteRequire}from"node:module";var require=__accreteRequire(import.meta.url),__dirname=import.meta.dirname,__filename=import.meta.filename;',
  },
  plugins: [kernels],
  logLevel: "warning",
});
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
mkdirSync(join(DIST, "functions"), { recursive: true });
for (const name of ["intake", "ledger"] as const)
  writeFileSync(join(DIST, `functions/${name}.mjs`), await buildFunction(name));

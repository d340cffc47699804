/** The trainer as a few files that need no package but sharp: with TensorFlow.js, whose own install scripts nobody runs. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const IS_SOURCE = import.meta.url.endsWith(".ts");
const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Programs: processes and threads of the trainer's. What they share is in files whose names are chosen by their content. */
const PROGRAMS = [
  ...["main", "reader", "batches-worker", "save-worker", "watchdog-worker", "export"].map((name) => `trainer/${name}`),
  ...["native-open", "native-self-test"].map((name) => `adapters/${name}`),
];

/**
 * JavaScript by file names, sorted: `main.js` and what it starts. From the sources it is bundled anew, and the same sources give the same
 * bytes in whatever folder they lie; a published package has it already.
 */
export async function bundleTrainer(): Promise<ReadonlyMap<string, Uint8Array>> {
  if (IS_SOURCE) return buildTrainer();
  const folder = fileURLToPath(new URL("../trainer/", import.meta.url));
  const names = (await readdir(folder)).filter((name) => name.endsWith(".js")).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)));
}

/** From the sources. */
export async function buildTrainer(): Promise<ReadonlyMap<string, Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: PROGRAMS.map((path) => ({ in: `${path}.ts`, out: basename(path) })),
    absWorkingDir: ROOT,
    outdir: "dist/trainer",
    write: false,
    bundle: true,
    splitting: true, // so that what a round does not need is not loaded
    minify: true,
    format: "esm",
    platform: "node",
    target: "node24",
    tsconfigRaw: "{}",
    preserveSymlinks: true, // a path would tell where packages are kept, and choose the order of what is bundled
    external: ["sharp"], // native: a dependency of the package
    // what CommonJS modules take for granted: without __dirname the wasm backend does not start
    banner: {
      js: 'import{createRequire as __accreteRequire}from"node:module";var require=__accreteRequire(import.meta.url),__dirname=import.meta.dirname,__filename=import.meta.filename;',
    },
    plugins: [kernels],
    logLevel: "warning",
  });
  const files = outputFiles.map(({ path, contents }) => [basename(path), contents] as const);
  return new Map(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}

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

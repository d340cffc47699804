/** tfjs-node's addon, its sources unchanged, compiled for TensorFlow's library beside it. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ADDON, MUTE } from "./native-library.ts";
import { lastLine, notBuilt, runProgram, type Tools } from "./native-tools.ts";

/** Node-API's version that tfjs-node's sources are written for: each Node from 12 on has it. */
const NAPI_VERSION = 8;

/** Of the compiler, on each platform. */
export const FLAGS = ["-O2", "-std=c++17", "-fPIC", "-shared", "-w", `-DNAPI_VERSION=${NAPI_VERSION}`];

interface Sources {
  /** has tfjs-node's binding/ in it */
  readonly tfjs: string;
  /** Node-API's headers */
  readonly headers: string;
  /** of mute.cc */
  readonly own: string;
}

/** In the published package they lie beside the compiled code, in a clone in their packages. */
function sources(): Sources {
  const packed = fileURLToPath(new URL("../native/", import.meta.url));
  if (existsSync(join(packed, "binding"))) return { tfjs: packed, headers: join(packed, "node-api"), own: packed };
  const require = createRequire(import.meta.url);
  return {
    tfjs: dirname(require.resolve("@tensorflow/tfjs-node-gpu/package.json")),
    headers: join(dirname(require.resolve("node-api-headers/package.json")), "include"),
    own: join(import.meta.dirname, "native"),
  };
}

/** All that the addons are compiled of but TensorFlow's own headers: texts by names, which are the same on each machine. */
export async function addonSources(): Promise<ReadonlyMap<string, Uint8Array>> {
  const { tfjs, headers, own } = sources();
  const found = new Map<string, Uint8Array>();
  for (const [name, folder] of [
    ["binding", join(tfjs, "binding")],
    ["node-api", headers],
  ] as const)
    for (const file of (await readdir(folder)).filter((one) => /\.(cc|h)$/.test(one)).sort())
      found.set(`${name}/${file}`, await readFile(join(folder, file)));
  return found.set("mute.cc", await readFile(join(own, "mute.cc")));
}

/** @param part has the library and its headers; gets the addons @throws {AccreteError} NATIVE_NOT_BUILT */
export async function compileAddon(part: string, { compiler }: Tools, signal?: AbortSignal): Promise<void> {
  const isMac = process.platform === "darwin";
  const { tfjs, headers, own } = sources();
  const library = join(part, "tensorflow");
  const end = isMac ? "2.dylib" : "so.2";
  const common = [...FLAGS, "-I", headers];
  if (isMac) common.push("-undefined", "dynamic_lookup");
  const binding = [
    "-I",
    tfjs,
    "-I",
    join(library, "include"),
    // its assertions name the files that they are in: the image would tell where it was made
    `-ffile-prefix-map=${tfjs}=tfjs-node`,
    ...["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => join(tfjs, "binding", name)),
    ...["cc", "framework"].map((name) => join(library, `libtensorflow_${name}.${end}`)),
    // the folder is moved once all is well
    `-Wl,-rpath,${isMac ? "@loader_path" : "$ORIGIN"}/tensorflow`,
  ];
  const [program, ...before] = compiler;
  const compile = async (args: readonly string[], output: string): Promise<void> => {
    const ran = await runProgram(program, [...before, ...common, ...args, "-o", join(part, output)], { signal });
    if (!ran.ok) throw notBuilt(`the C++ compiler ${program} can't compile tfjs-node's addon: ${lastLine(ran.said)}`);
  };
  await Promise.all([compile(binding, ADDON), compile([join(own, "mute.cc")], MUTE)]);
}

/** Symbols for debuggers are a quarter of the library. On macOS they stay: its signature would be broken. @returns false if strip is missing */
export async function stripLibrary(part: string, signal?: AbortSignal): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const files = ["cc", "framework"].map((name) => join(part, "tensorflow", `libtensorflow_${name}.so.2`));
  return (await runProgram("strip", ["--strip-unneeded", ...files], { signal })).ok;
}

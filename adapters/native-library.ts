/** Where `accrete native` has put TensorFlow's C library with tfjs-node's addon over it, and which one a training uses. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod/mini";

/** A whole installation: the folder is moved into its place once everything in it works. */
export interface NativeLibrary {
  readonly folder: string;
  /** path of the addon, to be required */
  readonly addon: string;
  /** of TensorFlow: "2.21.0" */
  readonly tensorflow: string;
  /** built for CUDA */
  readonly gpu: boolean;
}

const About = z.strictObject({
  format: z.literal(1),
  tensorflow: z.string(),
  platform: z.string(),
  gpu: z.boolean(),
});

/** ACCRETE_NATIVE_DIR, or accrete/native in the user's cache folder. */
export function nativeRoot(env: NodeJS.ProcessEnv = process.env): string {
  return env["ACCRETE_NATIVE_DIR"] || join(cacheRoot(env), "native");
}

/** accrete/ in the user's cache folder: what can be made or fetched anew. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env["XDG_CACHE_HOME"];
  if (cache?.startsWith("/")) return join(cache, "accrete");
  return process.platform === "darwin"
    ? join(homedir(), "Library", "Caches", "accrete")
    : join(homedir(), ".cache", "accrete");
}

/** The TensorFlow that this version is built for, and tested with. */
export const TENSORFLOW = "2.21.0";

/** Name of an installation's folder: another TensorFlow or platform gets another one. */
export function nativeFolder(kind: { readonly gpu: boolean }, root = nativeRoot()): string {
  return join(root, `tensorflow-${TENSORFLOW}-${process.platform}-${process.arch}${kind.gpu ? "-gpu" : ""}`);
}

/** tfjs-node's addon, and the one that keeps what TensorFlow says while it is loaded off stderr. */
export const ADDON = "tfjs_binding.node";
export const MUTE = "mute.node";

/** undefined: it is not there. Whether it works says only a try. */
export function nativeAt(kind: { readonly gpu: boolean }, root = nativeRoot()): NativeLibrary | undefined {
  const folder = nativeFolder(kind, root);
  const [about, addon] = [join(folder, "native.json"), join(folder, ADDON)];
  if (![about, addon, join(folder, MUTE)].every((path) => existsSync(path))) return undefined;
  const parsed = z.safeParse(About, parseOrNull(readFileSync(about, "utf8")));
  return parsed.success ? { folder, addon, tensorflow: parsed.data.tensorflow, gpu: kind.gpu } : undefined;
}

/** The one for GPUs where it is there, else the one for CPUs; undefined: there is none for this machine. */
export function findNative(root = nativeRoot()): NativeLibrary | undefined {
  return nativeAt({ gpu: true }, root) ?? nativeAt({ gpu: false }, root);
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What keeps TensorFlow's library for GPUs from seeing one: it says so in a warning, if at all. */
import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { GPU_LIBRARIES, type Unopened } from "../protocol/gpu-libraries.ts";

const EXTENSION = import.meta.url.endsWith(".ts") ? "ts" : "js";
const PROGRAM = join(import.meta.dirname, `native-open.${EXTENSION}`);
const LIMIT_MS = 60_000;

/** All in one folder: one of those that TensorFlow looks into (`rpath`). */
export const CUDA_FOLDER = "nvidia/cuda_runtime/lib";

const Found = z.array(z.strictObject({ name: z.string(), why: z.string() }));

/**
 * The libraries of protocol/gpu-libraries.ts that can't be opened, each tried in a process of its own: about 0.4 s. Never throws: what can't be told
 * is left to TensorFlow.
 * @param addon path of tfjs-node's addon beside them
 */
export function unopenedLibraries(
  addon: string,
  env: NodeJS.ProcessEnv = process.env,
  names: readonly string[] = GPU_LIBRARIES,
): Promise<Unopened[]> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, join(dirname(addon), CUDA_FOLDER), ...names],
      { timeout: LIMIT_MS, killSignal: "SIGKILL", env: { ...env, NODE_OPTIONS: "" } },
      (error, out) => resolve(error === null ? parsed(out) : []),
    );
  });
}

function parsed(text: string): Unopened[] {
  try {
    return Found.parse(JSON.parse(text));
  } catch {
    return [];
  }
}

/**
 * GPUs that the job's definition promises (ACCRETE_GPUS). TensorFlow skips a GPU with a warning that nobody sees, and a training on the
 * processor would take days of a machine that is paid for its GPU: so it ends, and says what is missing.
 */
import { AccreteError } from "../protocol/errors.ts";
import { lacksDriver, missingForGpu, type Unopened } from "../protocol/gpu-libraries.ts";
import { usesGpu } from "./environment.ts";
import { loadTf, type LoadOptions, type Loaded } from "./tf.ts";

export interface PromisedGpus {
  readonly count: number;
  /** of the libraries that TensorFlow needs to see one, those that can't be opened */
  readonly unopened: (addon: string) => Promise<readonly Unopened[]>;
  /** TensorFlow's own words, where all can be opened and it sees none all the same */
  readonly saysWhy: (addon: string) => Promise<string>;
}

/** @throws {AccreteError} GPU_NOT_SEEN; what loadTf throws */
export async function loadWithGpu(options: LoadOptions, promised: PromisedGpus): Promise<Loaded> {
  const { addon, gpu = false, backend, say } = options;
  if (backend === "wasm" || backend === "cpu") throw notSeen(promised, `ACCRETE_BACKEND=${backend} never uses one`);
  if (addon === null) throw notSeen(promised, "TensorFlow's library is not installed");
  if (!gpu) throw notSeen(promised, `TensorFlow's library is the one for processors (${addon})`);
  // before it is loaded: without some of them it ends the process
  const unopened = await promised.unopened(addon);
  const missing = missingForGpu(unopened);
  if (missing !== null) throw notSeen(promised, missing, lacksDriver(unopened) ? MACHINE : undefined);
  const said: string[] = [];
  const loaded = await loadTf({ ...options, say: (line) => void said.push(line) });
  if (loaded.backend !== "native") throw notSeen(promised, said.join("; "));
  if (!usesGpu(loaded)) throw notSeen(promised, await promised.saysWhy(addon));
  said.forEach(say);
  if (promised.count > 1) say(`${promised.count} GPUs are promised: one of them is used`);
  return loaded;
}

const MACHINE = "its machine needs the GPU image (ECS_AL2023_NVIDIA) and the container resourceRequirements GPU";

function notSeen({ count }: PromisedGpus, why: string, then?: string): AccreteError {
  const promise = `the job's definition promises ${count} GPU${count === 1 ? "" : "s"}`;
  return new AccreteError("GPU_NOT_SEEN", `${why}; ${promise}${then === undefined ? "" : `: ${then}`}`);
}

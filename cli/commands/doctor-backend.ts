/** What `accrete doctor` says of TensorFlow and the GPU: which backend a training will use, and why. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BACKENDS, isBackend } from "../../protocol/backend.ts";
import { openNative, type Native } from "../compose-native.ts";
import { outputOf, type Check } from "./doctor-check.ts";

type Tried = Awaited<ReturnType<Native["check"]>>;

/** @param env ACCRETE_BACKEND is what jobs inherit */
export function backendChecks(env: NodeJS.ProcessEnv): Promise<Check>[] {
  const native = openNative();
  const tried = native.check();
  return [tensorflow(native, tried, env["ACCRETE_BACKEND"]), gpu(tried, env["ACCRETE_BACKEND"])];
}

/** The trainer as it is published: one bundle with TensorFlow.js in it. */
const TRAINER = fileURLToPath(new URL("../../trainer/", import.meta.url));
const WASM = "tfjs-backend-wasm-simd.wasm";

/** Whether a training finds the .wasm files: beside its bundle, or in their package where it runs from source. */
function hasWasm(): boolean {
  if (existsSync(join(TRAINER, WASM))) return true;
  try {
    const packageFolder = dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm/package.json"));
    return existsSync(join(packageFolder, "dist", WASM));
  } catch {
    return false;
  }
}

/** The first that is found is the one that a training loads, as trainer/tf.ts does. */
async function tensorflow(native: Native, tried: Promise<Tried>, asked: string | undefined): Promise<Check> {
  const name = "TensorFlow";
  if (asked !== undefined && !isBackend(asked))
    return {
      name,
      state: "missing",
      found: `ACCRETE_BACKEND=${asked}: each training ends at once`,
      needed: true,
      advice: `leave ACCRETE_BACKEND away, or name one of ${BACKENDS.join(", ")} in it`,
    };
  if (asked !== "native" && asked !== "cpu" && !hasWasm())
    return { name, state: "missing", found: `${WASM} is missing`, advice: "install accrete anew", needed: true };
  if (asked === "wasm" || asked === "cpu")
    return { name, state: "ok", found: `trainings use ${wordsOf(asked)}, as ACCRETE_BACKEND=${asked} says` };
  const first = (await tried)[0];
  if (first?.check.works === true) {
    const { folder, tensorflow: version, gpu: forGpus } = first.library;
    return {
      name,
      state: "ok",
      found: `trainings use TensorFlow ${version}${forGpus ? " for GPUs" : ""}, in ${folder}`,
    };
  }
  const why =
    first === undefined
      ? `TensorFlow's library is not in ${native.root}`
      : `TensorFlow's library in ${first.library.folder} does not work: ${first.check.problem}`;
  const instead =
    asked === "native"
      ? "trainings end at once, as ACCRETE_BACKEND=native says"
      : `trainings use ${wordsOf("wasm")}, which is slower, for convolutions and embeddings hundreds of times`;
  const lacking = await native.missing();
  const advice = `run \`accrete native\`${lacking === undefined ? "" : `; but first: ${lacking}`}`;
  return { name, state: "missing", found: `${why}: ${instead}`, advice, needed: asked === "native" };
}

function wordsOf(backend: "wasm" | "cpu"): string {
  return backend === "wasm" ? "TensorFlow.js on WebAssembly" : "TensorFlow.js in plain JavaScript";
}

async function gpu(tried: Promise<Tried>, asked: string | undefined): Promise<Check> {
  const name = "GPU";
  const smi = await outputOf("nvidia-smi", ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]);
  const card = "text" in smi ? smi.text.split("\n").join("; ") : undefined;
  const forGpus = (await tried).find(({ library }) => library.gpu);
  const check = forGpus?.check.works === true ? forGpus.check : undefined;
  if (asked === "wasm" || asked === "cpu")
    return { name, state: "info", found: `${card ?? "none"}; not used, as ACCRETE_BACKEND=${asked} says` };
  if (check?.gpuSeen === true) return { name, state: "ok", found: `${card ?? "a GPU"}: TensorFlow sees it` };
  const smiFailed = "failed" in smi ? `nvidia-smi ${smi.failed}` : "";
  if (check !== undefined)
    return {
      name,
      state: "missing",
      found: `${card ?? smiFailed}; TensorFlow sees none, and trains on the processor: ${check.whyNoGpu}`,
      advice:
        card === undefined
          ? "nothing, if this machine has no GPU; `accrete native --remove`, then `accrete native --cpu` frees disk space"
          : "mend the driver of the GPU: TensorFlow needs one for CUDA 12.5 or newer",
    };
  if (card === undefined) return { name, state: "info", found: `${smiFailed}: trainings use the processor` };
  return {
    name,
    state: "missing",
    found: `${card}, but TensorFlow's library for GPUs is not installed, or does not work`,
    advice: "run `accrete native --gpu`",
  };
}

/** The one place that loads TensorFlow.js. Dynamic, so that the signal handlers are there before it. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DataType, Tensor } from "@tensorflow/tfjs-core";
import type { Backend } from "../protocol/backend.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { TensorFlow } from "../protocol/model.ts";
import { exportsOf } from "./exports-of.ts";
import { nativeBackendOf, useNative } from "./native-backend.ts";

export type Tf = TensorFlow;
export type { Scalar, Tensor, Variable } from "@tensorflow/tfjs-core";
export type { LayersModel } from "@tensorflow/tfjs-layers";
export type { Backend } from "../protocol/backend.ts";

export interface LoadOptions {
  /** path of tfjs-node's addon over TensorFlow's library; null: without it */
  readonly addon: string | null;
  /** of one of TensorFlow's operations */
  readonly threads: number;
  readonly say: (line: string) => void;
  /** the addon's library is for GPUs: it is said if it sees none */
  readonly gpu?: boolean;
  /** this one or none; undefined: the fastest that can be loaded */
  readonly backend?: Backend | undefined;
}

export interface Loaded {
  readonly tf: Tf;
  readonly backend: Backend;
  /** of TensorFlow where the backend is native, else of TensorFlow.js */
  readonly version: string;
}

/**
 * TensorFlow.js with the fastest backend that this machine can run, or with the one that is asked for.
 * @throws {AccreteError} BACKEND_NOT_USABLE if that one can't be loaded
 */
export async function loadTf({ addon, threads, say, gpu = false, backend }: LoadOptions): Promise<Loaded> {
  const [core, layers] = await Promise.all([
    import("@tensorflow/tfjs-core").then(exportsOf),
    import("@tensorflow/tfjs-layers").then(exportsOf),
  ]);
  const tf: Tf = { ...core, ...layers };
  chainOperations(core);
  tf.env().set("PROD", true); // no advice about other packages on the console
  if (backend === "native" && addon === null) throw notUsable(backend, "TensorFlow's library is not installed");
  if (addon !== null && (backend ?? "native") === "native") {
    try {
      const version = await useNative(tf, addon, { threads, gpu });
      if (gpu && !nativeBackendOf(tf).isUsingGpuDevice)
        say("backend: TensorFlow sees no GPU, and trains on the processor; `accrete doctor` says why");
      return { tf, backend: "native", version };
    } catch (error) {
      if (backend === "native") throw notUsable(backend, messageOf(error), error);
      say(`backend: TensorFlow's library can't be used: ${messageOf(error)}`);
    }
  }
  const version = core.version_core;
  if (backend === "cpu") return { tf, backend: await useCpu(tf), version };
  const wasm = await import("@tensorflow/tfjs-backend-wasm").then(exportsOf);
  const folder = wasmFolder();
  if (folder !== undefined) wasm.setWasmPaths(folder);
  const works = folder !== undefined && (await tf.setBackend("wasm").catch(() => false));
  if (!works && backend === "wasm")
    throw notUsable(backend, "its .wasm files can't be loaded (the trainer's image has none)");
  return { tf, backend: works ? "wasm" : await useCpu(tf), version };
}

function notUsable(backend: Backend, why: string, cause?: unknown): AccreteError {
  return new AccreteError("BACKEND_NOT_USABLE", `ACCRETE_BACKEND=${backend} can't be used: ${why}`, { cause });
}

/** What TensorFlow.js calls its operations: `mul__op`. */
const OPERATION_SUFFIX = "__op";

/** x.mul(y) for mul(x, y), as users of the whole package @tensorflow/tfjs know it; the core alone leaves it out. */
function chainOperations(core: typeof import("@tensorflow/tfjs-core")): void {
  for (const [name, operation] of Object.entries(core)) {
    if (typeof operation !== "function" || !operation.name.endsWith(OPERATION_SUFFIX) || name in core.Tensor.prototype)
      continue;
    Object.defineProperty(core.Tensor.prototype, name, {
      configurable: true,
      writable: true, // the whole package, which tfjs-node loads, sets the same
      value(this: Tensor, ...more: unknown[]): unknown {
        return Reflect.apply(operation, undefined, [this, ...more]);
      },
    });
  }
  for (const [name, value] of Object.entries(chainedOf(core)))
    Object.defineProperty(core.Tensor.prototype, name, { configurable: true, writable: true, value });
}

/** Those whose first argument is no tensor, and those that are no operation of their own. */
function chainedOf(
  core: typeof import("@tensorflow/tfjs-core"),
): Record<string, (this: Tensor, ...more: never[]) => Tensor> {
  return {
    flatten() {
      return core.reshape(this, [this.size]);
    },
    asScalar() {
      return core.reshape(this, []);
    },
    as1D() {
      return core.reshape(this, [this.size]);
    },
    as2D(...shape: number[]) {
      return core.reshape(this, shape);
    },
    as3D(...shape: number[]) {
      return core.reshape(this, shape);
    },
    as4D(...shape: number[]) {
      return core.reshape(this, shape);
    },
    as5D(...shape: number[]) {
      return core.reshape(this, shape);
    },
    reshapeAs(like: Tensor) {
      return core.reshape(this, like.shape);
    },
    asType(dtype: DataType) {
      return core.cast(this, dtype);
    },
    toBool() {
      return core.cast(this, "bool");
    },
    toFloat() {
      return core.cast(this, "float32");
    },
    toInt() {
      return core.cast(this, "int32");
    },
    concat(more: Tensor | Tensor[], axis?: number) {
      return core.concat([this, ...[more].flat()], axis);
    },
    stack(more: Tensor | Tensor[], axis?: number) {
      return core.stack([this, ...[more].flat()], axis);
    },
    where(condition: Tensor, otherwise: Tensor) {
      return core.where(condition, this, otherwise);
    },
  };
}

/** The plain backend: every operation, slower. Tensors move to it as they are used. */
export async function useCpu(tf: Tf): Promise<Backend> {
  await import("@tensorflow/tfjs-backend-cpu");
  await tf.setBackend("cpu");
  return "cpu";
}

/** The .wasm files lie beside the bundle when published, in their package otherwise. undefined: they are not here, as in the trainer's image */
function wasmFolder(): string | undefined {
  const here = dirname(fileURLToPath(import.meta.url));
  if (existsSync(join(here, "tfjs-backend-wasm-simd.wasm"))) return `${here}/`;
  try {
    return `${dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm"))}/`;
  } catch {
    return undefined;
  }
}

/**
 * TensorFlow.js on TensorFlow's own C library. tfjs-node's kernels are taken one by one, not its entry point: that one looks for the
 * addon where its install script would have put it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { exportsOf } from "./exports-of.ts";
import type { Tensor, Tf } from "./tf.ts";

const require = createRequire(import.meta.url);

/** A tensor of TensorFlow's, as the addon hands it out. */
export interface TensorHandle {
  readonly id: number;
  readonly shape: number[];
  /** TensorFlow's number of the type: 1 float32, 3 int32, 10 bool */
  readonly dtype: number;
}

export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

export type TensorValues = Float32Array | Int32Array | Uint8Array;

/** What of tfjs-node's addon is used beside its own kernels. Its ids are of tensors that it holds until they are deleted. */
export interface Binding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  readonly TF_BOOL: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
  createTensor(shape: readonly number[], dtype: number, data: TensorValues): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): TensorValues;
  executeOp(op: string, attributes: readonly OpAttribute[], inputs: readonly number[], outputs: number): TensorHandle[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(session: number): void;
  /** @param inputs,outputs names, separated by commas */
  runSavedModel(session: number, ids: readonly number[], inputs: string, outputs: string): TensorHandle[];
  isUsingGpuDevice(): boolean;
}

/** What the backend knows of a tensor's values. */
export interface HeldTensor {
  /** of the addon; below 0: it has none */
  id: number;
  /** not handed to the addon yet */
  values: TensorValues | null;
  /** of tensors that share it */
  readonly refCount: number;
}

/** tfjs-node's backend, as far as the graph step looks inside it. */
export interface NativeBackend {
  binding: Binding;
  readonly isUsingGpuDevice: boolean;
  /** by Tensor.dataId */
  readonly tensorMap: { get(dataId: object): HeldTensor };
  getDTypeInteger(type: string): number;
  getInputTensorIds(tensors: readonly object[]): number[];
  /** The handle's owner from here on. */
  createOutputTensor(handle: TensorHandle): object;
  executeSingleOutput(op: string, attributes: readonly OpAttribute[], inputs: readonly object[]): object;
  executeMultipleOutputs(
    op: string,
    attributes: readonly OpAttribute[],
    inputs: readonly object[],
    outputs: number,
  ): object[];
}

/** The backend in use. @throws {Error} if it is another one */
export function nativeBackendOf(tf: Tf): NativeBackend {
  if (tf.getBackend() !== "tensorflow") throw new Error(`the backend is ${tf.getBackend()}, not TensorFlow`);
  return tf.backend() as unknown as NativeBackend;
}

export interface ThreadSettings {
  /** of one operation; the bits depend on it */
  readonly threads: number;
  /** the library is for GPUs */
  readonly gpu?: boolean | undefined;
}

/**
 * Registers and chooses the backend. TensorFlow reads its settings from the environment, once, as its library is loaded.
 * @param addon path
 * @returns the version of TensorFlow
 * @throws {Error} if the library can't be loaded, or does not work
 */
export async function useNative(tf: Tf, addon: string, { threads, gpu = false }: ThreadSettings): Promise<string> {
  polyfillUtil();
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2";
  process.env["TF_NUM_INTRAOP_THREADS"] = String(threads);
  process.env["TF_NUM_INTEROP_THREADS"] ??= "1";
  process.env["TF_FORCE_GPU_ALLOW_GROWTH"] ??= "true";
  // else some of CUDA's sums are added up in the order in which they happen to come: a resume would not be exact
  if (gpu) process.env["TF_DETERMINISTIC_OPS"] ??= "1";
  const [{ NodeJSKernelBackend }] = await Promise.all([
    import("@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js").then(exportsOf),
    import("@tensorflow/tfjs-node-gpu/dist/register_all_kernels.js"),
  ]);
  const binding = loadQuietly(addon);
  tf.registerBackend("tensorflow", () => new NodeJSKernelBackend(binding as never, "@tensorflow/tfjs-node-gpu"));
  useGatherWithoutLook(tf);
  if (!(await tf.setBackend("tensorflow"))) throw new Error("its backend does not start");
  return binding.TF_Version;
}

/**
 * While it is loaded, TensorFlow says on stderr what no setting of its own keeps it from saying. A failure is thrown and not said: nothing of it is
 * lost, unless the library ends the process, which `accrete doctor` tells of.
 */
function loadQuietly(addon: string): Binding {
  const path = join(dirname(addon), "mute.node");
  const quiet = process.env["TF_CPP_MIN_LOG_LEVEL"] !== "0" && existsSync(path);
  const stderr = quiet ? (require(path) as { mute(): void; unmute(): void }) : undefined;
  stderr?.mute();
  try {
    return require(addon) as Binding;
  } finally {
    stderr?.unmute();
  }
}

/**
 * tfjs-node's own reads each index back into JavaScript to see whether it is in range, which a graph can't do and which takes a while.
 * TensorFlow looks by itself (on GPUs: what is out of range gives 0).
 */
function useGatherWithoutLook(tf: Tf): void {
  tf.unregisterKernel("GatherV2", "tensorflow");
  tf.registerKernel({
    kernelName: "GatherV2",
    backendName: "tensorflow",
    kernelFunc: ({ inputs, backend, attrs }) => {
      const native = backend as unknown as NativeBackend;
      const { TF_ATTR_INT, TF_ATTR_TYPE, TF_INT32 } = native.binding;
      const [x, indices] = [inputs["x"]!, inputs["indices"]!];
      const axis = tf.scalar(attrs?.["axis"] as number, "int32");
      const result = native.executeSingleOutput(
        "GatherV2",
        [
          { name: "batch_dims", type: TF_ATTR_INT, value: attrs?.["batchDims"] },
          { name: "Tparams", type: TF_ATTR_TYPE, value: native.getDTypeInteger(x.dtype) },
          { name: "Tindices", type: TF_ATTR_TYPE, value: native.getDTypeInteger(indices.dtype) },
          { name: "Taxis", type: TF_ATTR_TYPE, value: TF_INT32 },
        ],
        [x, indices, axis],
      );
      axis.dispose();
      return result as Tensor;
    },
  });
}

/**
 * tfjs-node calls these two: Node 23 has dropped the one, and warns of the other in the training's log. The object that require gives
 * can be added to, an import's can't.
 */
function polyfillUtil(): void {
  const util = require("node:util") as { isNullOrUndefined?: unknown; isArray?: unknown };
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray = Array.isArray;
}

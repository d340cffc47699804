/**
 * The libraries that TensorFlow 2.21 opens before it registers a GPU. One of them missing, and it goes on without the GPU, with a warning at
 * most (without cudnn_graph it ends the process). adapters/native-gpu.slow.test.ts derives the list from TensorFlow itself.
 */

/** Of the driver, which the machine has and the container's runtime puts into the container. */
const DRIVER = "libcuda.so.1";
const MANAGEMENT = "libnvidia-ml.so.1";

/** Of CUDA, which come with TensorFlow's library. One that another one opens in turn stands before it. */
export const CUDA_LIBRARIES = [
  "libcudart.so.12",
  "libcublasLt.so.12",
  "libcublas.so.12",
  "libcufft.so.11",
  "libnvJitLink.so.12",
  "libcusparse.so.12",
  "libcusolver.so.11",
  "libcudnn_graph.so.9",
  "libcudnn.so.9",
] as const;

/** In the order in which one that is missing is named. */
export const GPU_LIBRARIES: readonly string[] = [DRIVER, MANAGEMENT, ...CUDA_LIBRARIES];

/** What the system's loader says of a library that it can't open. */
export interface Unopened {
  /** of GPU_LIBRARIES */
  readonly name: string;
  readonly why: string;
}

/** Of the loader's words: "libz.so.1: cannot open shared object file: No such file or directory". */
const NOT_THERE = /^(?:.*\/)?([^/:]+): cannot open shared object file/;

/** What keeps TensorFlow from a GPU, as a sentence without its end; null: nothing of it. */
export function missingForGpu(unopened: readonly Unopened[]): string | null {
  const of = (name: string): Unopened | undefined => unopened.find((one) => one.name === name);
  if (of(DRIVER) !== undefined) return `no NVIDIA driver: ${DRIVER} can't be opened`;
  if (of(MANAGEMENT) !== undefined)
    return `of the NVIDIA driver ${MANAGEMENT} can't be opened: in a container NVIDIA_DRIVER_CAPABILITIES has to be compute,utility`;
  const missing = [...new Set(unopened.map(({ name, why }) => NOT_THERE.exec(why)?.[1] ?? name))];
  const [first] = unopened;
  if (first === undefined) return null;
  return `TensorFlow skips the GPU without ${missing.join(", ")}: ${first.why}`;
}

/** Whether it is the driver that is missing, so that the machine is at fault and not what is installed. */
export function lacksDriver(unopened: readonly Unopened[]): boolean {
  return unopened.some(({ name }) => name === DRIVER);
}

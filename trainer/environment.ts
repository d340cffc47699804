/** What the bits of a training depend on beside its plan and its data, as each manifest records it. */
import { cpus } from "node:os";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Manifest } from "../protocol/types.ts";
import { nativeBackendOf } from "./native-backend.ts";
import type { Loaded } from "./tf.ts";

type Environment = Manifest["environment"];

/** What the machine says of its first GPU. */
export interface Gpu {
  readonly model: string;
  readonly driver: string;
  /** 8.0 and more: it has bfloat16 */
  readonly computeCapability?: number | undefined;
  /** of its memory, by all processes */
  readonly usedBytes: number;
}

export interface EnvironmentOptions {
  /** of one of TensorFlow's operations */
  readonly threads: number;
  readonly readGpu?: (() => Gpu | undefined) | undefined;
}

/** TensorFlow computes on a GPU. */
export function usesGpu({ backend, tf }: Pick<Loaded, "backend" | "tf">): boolean {
  return backend === "native" && nativeBackendOf(tf).isUsingGpuDevice;
}

/**
 * @param loaded null: nothing was loaded, as there is nothing to train on
 * @param stepper its kind: one graph rounds otherwise than op by op where the optimizer has a kernel
 */
export function environment(
  { threads, readGpu }: EnvironmentOptions,
  loaded: Loaded | null,
  stepper: string | null,
): Environment {
  const used = loaded !== null && usesGpu(loaded) ? readGpu?.() : undefined;
  const values = {
    ...(loaded === null
      ? { backend: "none" }
      : {
          backend: loaded.backend,
          ...(loaded.backend === "native" ? { tensorflow: loaded.version } : {}),
          tensorflowjs: loaded.tf.version_core,
          threads: loaded.backend === "native" ? String(threads) : "1",
        }),
    ...(stepper === null ? {} : { stepper }),
    ...(used === undefined ? {} : { gpu: used.model, gpuDriver: used.driver }),
    cpu: cpus()[0]?.model ?? "unknown",
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim().slice(0, 256)]));
}

/** "threads 2 -> 4, cpu A -> B": what differs; empty where nothing does. */
export function differenceText(then: Environment, now: Environment): string {
  return [...new Set([...Object.keys(then), ...Object.keys(now)])]
    .sort()
    .filter((name) => then[name] !== now[name])
    .map((name) => `${name} ${then[name] ?? "none"} -> ${now[name] ?? "none"}`)
    .join(", ");
}

/** The least that computes in bfloat16: Ampere. */
const BFLOAT16_FROM = 8;

/** Mixed precision, as far as this machine has it. @param say told why not, where it is asked for */
export function usesBfloat16(
  { precision }: Pick<TrainerConfig, "precision">,
  { readGpu }: EnvironmentOptions,
  loaded: Pick<Loaded, "backend" | "tf">,
  say: (line: string) => void,
): boolean {
  if (precision === "float32") return false;
  const gpu = usesGpu(loaded) ? readGpu?.() : undefined;
  if (gpu !== undefined && (gpu.computeCapability ?? 0) >= BFLOAT16_FROM) return true;
  say(`precision: float32, as ${gpu === undefined ? "there is no GPU" : `${gpu.model} has no bfloat16`}`);
  return false;
}

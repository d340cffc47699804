/** What the bits of a training depend on beside its plan and its data, as each manifest records it. */
import { cpus } from "node:os";
import type { Manifest } from "../protocol/types.ts";
import { nativeBackendOf } from "./native-backend.ts";
import type { Loaded } from "./tf.ts";

type Environment = Manifest["environment"];

/** What the machine says of its first GPU. */
export interface Gpu {
  readonly model: string;
  readonly driver: string;
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

/** @param loaded null: nothing was loaded, as there is nothing to train on */
export function environment({ threads, readGpu }: EnvironmentOptions, loaded: Loaded | null): Environment {
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

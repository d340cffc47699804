/** TensorFlow's own library on this machine, put together as compose.ts does the rest. */
import type { NativeCheck } from "../adapters/native-check.ts";
import {
  checkInstalled,
  hasNvidia,
  installNative,
  removeNative,
  type Installed,
  type InstallOptions,
} from "../adapters/native-install.ts";
import { nativeRoot, type NativeLibrary } from "../adapters/native-library.ts";
import { findTools } from "../adapters/native-tools.ts";
import { messageOf } from "../protocol/errors.ts";

/** One for all pipelines. */
export interface Native {
  /** where it is installed */
  readonly root: string;
  /** this machine has a GPU of NVIDIA's */
  readonly hasNvidia: boolean;
  /** each installation, tried; the first that works is the one that a training uses */
  check(): Promise<{ library: NativeLibrary; check: NativeCheck }[]>;
  /** @throws {AccreteError} NATIVE_NOT_BUILT */
  install(options: Omit<InstallOptions, "root">): Promise<Installed>;
  /** @returns the folders that are gone */
  remove(): Promise<string[]>;
  /** What `install` needs and this machine lacks; undefined: nothing. */
  missing(): Promise<string | undefined>;
}

export function openNative(): Native {
  const root = nativeRoot();
  return {
    root,
    hasNvidia: hasNvidia(),
    check: () => checkInstalled(root),
    install: (options) => installNative({ ...options, root }),
    remove: () => removeNative(root),
    missing: () =>
      findTools().then(
        () => undefined,
        (error: unknown) => messageOf(error),
      ),
  };
}

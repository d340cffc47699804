/** For tests on machines without a GPU: a driver that claims one, and libraries that only can be opened. They are compiled by `cc`. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { CUDA_FOLDER } from "../adapters/native-gpu.ts";
import { nativeFolder, type NativeLibrary } from "../adapters/native-library.ts";

export const CAN_COMPILE = process.platform === "linux" && spawnSync("cc", ["--version"]).status === 0;

function compile(source: string, path: string): void {
  execFileSync("cc", ["-shared", "-fPIC", "-w", `-Wl,-soname,${basename(path)}`, "-o", path, source, "-ldl"]);
}

/** Libraries with nothing in them. */
export function writeEmptyLibraries(folder: string, names: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  const source = join(folder, "empty.c");
  writeFileSync(source, "int nothing;\n");
  for (const name of names) compile(source, join(folder, name));
}

/** A folder for LD_LIBRARY_PATH. @param names of the two, those that are there */
export function writeFakeDriver(
  folder: string,
  names: readonly string[] = ["libcuda.so.1", "libnvidia-ml.so.1"],
): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) compile(join(import.meta.dirname, "fake-driver.c"), join(folder, name));
  return folder;
}

/**
 * The library for processors under the name of the one for GPUs: it never sees any. @param root of the installation that is made
 * @param cuda libraries that are beside it, with nothing in them
 */
export function writeFakeGpuLibrary(root: string, cpu: NativeLibrary, cuda: readonly string[]): NativeLibrary {
  const folder = nativeFolder({ gpu: true }, root);
  writeEmptyLibraries(join(folder, CUDA_FOLDER), cuda);
  for (const name of ["tensorflow", basename(cpu.addon), "mute.node"])
    symlinkSync(join(cpu.folder, name), join(folder, name));
  writeFileSync(
    join(folder, "native.json"),
    JSON.stringify({ format: 1, tensorflow: cpu.tensorflow, platform: "test", gpu: true }),
  );
  return { ...cpu, folder, addon: join(folder, basename(cpu.addon)), gpu: true };
}

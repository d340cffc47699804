/** A GPU that is promised and not seen: each way to it, with the library for processors under the name of the one for GPUs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkNative } from "../adapters/native-check.ts";
import { unopenedLibraries } from "../adapters/native-gpu.ts";
import { nativeAt } from "../adapters/native-library.ts";
import { CUDA_LIBRARIES } from "../protocol/gpu-libraries.ts";
import { CAN_COMPILE, writeFakeDriver, writeFakeGpuLibrary } from "../test/fake-gpu.ts";
import { loadWithGpu, type PromisedGpus } from "./promised-gpus.ts";
import type { LoadOptions } from "./tf.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-promised-"));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const cpu = nativeAt({ gpu: false });

/** @param path where the system looks for libraries */
function promised(path: string, count = 1): PromisedGpus {
  return {
    count,
    unopened: (addon) => unopenedLibraries(addon, { ...process.env, LD_LIBRARY_PATH: path }),
    saysWhy: () => Promise.resolve("TensorFlow's own words"),
  };
}

async function refused(options: Partial<LoadOptions>, given: PromisedGpus): Promise<string> {
  const said: string[] = [];
  const load = loadWithGpu({ addon: null, threads: 1, say: (line) => said.push(line), ...options }, given);
  const error: unknown = await load.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "GPU_NOT_SEEN" });
  expect(said).toEqual([]); // that it would train on the processor
  return error instanceof Error ? error.message : "";
}

describe("a GPU that is promised is not seen", () => {
  it("by a backend that never uses one", async () => {
    expect(await refused({ backend: "cpu" }, promised("", 2))).toBe(
      "ACCRETE_BACKEND=cpu never uses one; the job's definition promises 2 GPUs",
    );
  });

  it("without TensorFlow's library, and with the one for processors", async () => {
    expect(await refused({}, promised(""))).toMatch(/^TensorFlow's library is not installed; the job's .* 1 GPU$/);
    expect(await refused({ addon: "/a/b.node", gpu: false }, promised(""))).toMatch(
      /^TensorFlow's library is the one for processors \(\/a\/b.node\); /,
    );
  });
});

describe.skipIf(!CAN_COMPILE || cpu === undefined)(
  "a GPU that is promised is not seen (needs cc and TensorFlow's library: npm run native)",
  () => {
    const driver = (): string => writeFakeDriver(mkdtempSync(join(temporary, "driver-")));
    const library = (cuda: readonly string[]): Partial<LoadOptions> => {
      const { addon, gpu } = writeFakeGpuLibrary(mkdtempSync(join(temporary, "root-")), cpu!, cuda);
      return { addon, gpu };
    };

    it("without a driver: the machine is at fault", async () => {
      expect(await refused(library(CUDA_LIBRARIES), promised(""))).toBe(
        "no NVIDIA driver: libcuda.so.1 can't be opened; the job's definition promises 1 GPU: its machine needs the GPU image (ECS_AL2023_NVIDIA) and the container resourceRequirements GPU",
      );
    });

    it("without a library of CUDA, which is named", async () => {
      const rest = CUDA_LIBRARIES.filter((name) => name !== "libcusparse.so.12");
      expect(await refused(library(rest), promised(driver()))).toMatch(
        /^TensorFlow skips the GPU without libcusparse\.so\.12: .*; the job's definition promises 1 GPU$/,
      );
    });

    it("with all of them: TensorFlow's own words are told", async () => {
      expect(await refused(library(CUDA_LIBRARIES), promised(driver()))).toBe(
        "TensorFlow's own words; the job's definition promises 1 GPU",
      );
    });

    it("and `accrete doctor` gives the same reason", async () => {
      const { addon } = library([]);
      expect(await checkNative({ addon: addon!, gpu: true })).toMatchObject({
        works: true,
        gpuSeen: false,
        whyNoGpu: expect.stringMatching(/^no NVIDIA driver: libcuda\.so\.1/),
      });
    });
  },
);

/** With libraries that have nothing in them: whether one can be opened is all that is asked. */
import { mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CUDA_LIBRARIES, missingForGpu } from "../protocol/gpu-libraries.ts";
import { CAN_COMPILE, writeEmptyLibraries, writeFakeDriver } from "../test/fake-gpu.ts";
import { CUDA_FOLDER, unopenedLibraries } from "./native-gpu.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-gpu-"));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

describe.skipIf(!CAN_COMPILE)("what TensorFlow needs to see a GPU (needs Linux and cc)", () => {
  const driver = writeFakeDriver(join(temporary, "driver"));
  const cuda = join(temporary, CUDA_FOLDER);
  writeEmptyLibraries(cuda, CUDA_LIBRARIES);
  const addon = join(temporary, "tfjs_binding.node");
  const namesIn = async (folders: string): Promise<string[]> =>
    (await unopenedLibraries(addon, { ...process.env, LD_LIBRARY_PATH: folders })).map(({ name }) => name);

  it("is all there: nothing is named", async () => {
    expect(await namesIn(driver)).toEqual([]);
  });

  it("is looked for where the system would, too, if it is not beside TensorFlow's library", async () => {
    const elsewhere = join(temporary, "elsewhere", "tfjs_binding.node");
    const env = { ...process.env, LD_LIBRARY_PATH: `${driver}:${cuda}` };
    expect(await unopenedLibraries(elsewhere, env)).toEqual([]);
    expect((await unopenedLibraries(elsewhere, { ...env, LD_LIBRARY_PATH: driver })).map(({ name }) => name)).toEqual(
      CUDA_LIBRARIES,
    );
  });

  it("lacks the driver, or a part of it", async () => {
    const none = join(temporary, "none");
    expect(await namesIn(none)).toEqual(["libcuda.so.1", "libnvidia-ml.so.1"]);
    expect(await namesIn(writeFakeDriver(join(temporary, "part"), ["libcuda.so.1"]))).toEqual(["libnvidia-ml.so.1"]);
  });

  it("has a library that is no whole file: the loader's own words say so", async () => {
    truncateSync(join(cuda, "libcufft.so.11"), 10);
    const unopened = await unopenedLibraries(addon, { ...process.env, LD_LIBRARY_PATH: driver });
    expect(missingForGpu(unopened)).toMatch(/without libcufft\.so\.11: .*libcufft\.so\.11: file too short$/);
  });
});

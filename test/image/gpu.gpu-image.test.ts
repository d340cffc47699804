/** The image for GPUs where there is none: all that it brings is there, opens, and it says what it lacks. */
import { describe, expect, it } from "vitest";
import { CUDA_FOLDER } from "../../adapters/native-gpu.ts";
import { TENSORFLOW } from "../../adapters/native-library.ts";
import { CUDA_LIBRARIES } from "../../protocol/gpu-libraries.ts";
import { SKIPPED, WHY, IMAGE, start, stored } from "./container.ts";
import { docker, LOCKED } from "./engine.ts";

const SIZE_MAX = 4.7e9;

describe.skipIf(SKIPPED)(`the trainer's image for GPUs${WHY}`, () => {
  it("is small enough to be pulled by a machine that has just started", async () => {
    const size = Number(await docker("image", "inspect", "--format", "{{.Size}}", IMAGE));
    console.log(`the GPU image ${(size / 1e9).toFixed(2)} GB`);
    expect(size).toBeLessThanOrEqual(SIZE_MAX);
  });

  it.for(CUDA_LIBRARIES)("opens %s, each in a process of its own", async (library) => {
    const folder = `/opt/accrete/native/tensorflow-${TENSORFLOW}-linux-x64-gpu/${CUDA_FOLDER}`;
    const program = ["--entrypoint", "/opt/accrete/bin/node", IMAGE, "/opt/accrete/app/native-open.js"];
    expect(await docker("run", ...LOCKED, ...program, folder, library)).toBe("[]");
  });

  it("says which library can't be opened: the check before can fail", async () => {
    const program = ["--entrypoint", "/opt/accrete/bin/node", IMAGE, "/opt/accrete/app/native-open.js"];
    expect(await docker("run", ...LOCKED, ...program, "/", "libcuda.so.1")).toMatch(/"libcuda\.so\.1".*No such file/);
  });

  it("trains on the processor where no GPU is promised", async () => {
    const at = await stored();
    const { exit, log } = await (await start(at)).ended();
    expect(exit, log).toBe(0);
    const { environment } = await at.place.manifest((await at.place.result()).checkpoint.manifest);
    expect(environment).toMatchObject({ backend: "native" });
  });

  it("ends with 69 where one is promised and the driver is missing, and names the driver", async () => {
    const at = await stored();
    const { exit, log } = await (await start(at, { env: { ACCRETE_GPUS: "1" } })).ended();
    expect(exit, log).toBe(69);
    expect(log).toMatch(/GPU_NOT_SEEN: .*libcuda\.so\.1/);
    expect(await at.place.failure(1)).toMatchObject({ code: "GPU_NOT_SEEN", exit: 69 });
  });
});

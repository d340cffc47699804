import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readNvidiaGpu } from "./nvidia-smi.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-smi-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program of that name which says this, and after it its arguments. */
function smi(script: string, more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const path = join(folder, "nvidia-smi");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return { PATH: `${folder}:${process.env["PATH"]}`, ...more };
}

describe("nvidia-smi", () => {
  it("tells the model, the driver and the memory of the first GPU", () => {
    expect(
      readNvidiaGpu(smi('echo "NVIDIA H100 80GB HBM3, 570.86.15, 1234, 9.0"; echo "NVIDIA T4, 570.86.15, 1, 7.5"')),
    ).toEqual({
      model: "NVIDIA H100 80GB HBM3",
      driver: "570.86.15",
      usedBytes: 1_234 * 2 ** 20,
      computeCapability: 9,
    });
  });

  it("is asked for the one that CUDA shows to this process", () => {
    const env = smi('echo "asked $3 $4, 1, 2"', { CUDA_VISIBLE_DEVICES: "3,1" });
    expect(readNvidiaGpu(env)?.model).toBe("asked -i 3");
  });

  it.each([
    ["fails", "echo 'NVIDIA-SMI has failed because it could not communicate with the driver.'; exit 9"],
    ["says something else", "echo 'No devices were found'"],
    ["does not know the memory", "echo 'NVIDIA T4, 570, [N/A]'"],
  ])("that %s tells nothing", (_, script) => {
    expect(readNvidiaGpu(smi(script))).toBeUndefined();
  });

  it("that is not there tells nothing", () => {
    expect(readNvidiaGpu({ PATH: join(folder, "none") })).toBeUndefined();
  });
});

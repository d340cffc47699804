import { describe, expect, it } from "vitest";
import { differenceText, environment, usesBfloat16 } from "./environment.ts";
import type { Loaded } from "./tf.ts";

const loaded = (backend: Loaded["backend"], isUsingGpuDevice = false): Loaded => {
  const tf = { version_core: "4.22.0", getBackend: () => "tensorflow", backend: () => ({ isUsingGpuDevice }) };
  return { tf: tf as unknown as Loaded["tf"], backend, version: backend === "native" ? "2.21.0" : "4.22.0" };
};
const gpu = (): { model: string; driver: string; usedBytes: number } => ({
  model: "NVIDIA T4",
  driver: "570.1",
  usedBytes: 1,
});

describe("what the bits depend on", () => {
  it("is all recorded, of a GPU only where TensorFlow computes on it", () => {
    const machine = {
      cpu: expect.stringMatching(/\S/),
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
    };
    const native = {
      backend: "native",
      tensorflow: "2.21.0",
      tensorflowjs: "4.22.0",
      threads: "8",
      stepper: "one graph",
    };
    expect(environment({ threads: 8, readGpu: gpu }, loaded("native"), "one graph")).toEqual({
      ...native,
      ...machine,
    });
    expect(environment({ threads: 8, readGpu: gpu }, loaded("native", true), "one graph")).toEqual({
      ...native,
      ...machine,
      gpu: "NVIDIA T4",
      gpuDriver: "570.1",
    });
    expect(environment({ threads: 8, readGpu: gpu }, loaded("wasm"), "op by op")).toEqual({
      backend: "wasm",
      tensorflowjs: "4.22.0",
      threads: "1",
      stepper: "op by op",
      ...machine,
    });
    expect(environment({ threads: 8 }, null, null)).toEqual({ backend: "none", ...machine });
  });

  it("is compared by name, from -> to", () => {
    const then = { backend: "native", threads: "8", tensorflow: "2.21.0" };
    expect(differenceText(then, then)).toBe("");
    expect(differenceText(then, { backend: "wasm", threads: "1", tensorflowjs: "4.22.0" })).toBe(
      "backend native -> wasm, tensorflow 2.21.0 -> none, tensorflowjs none -> 4.22.0, threads 8 -> 1",
    );
  });
});

describe("mixed precision", () => {
  const said: string[] = [];
  const asked = (computeCapability: number | undefined, onGpu = true): boolean => {
    said.length = 0;
    const readGpu = (): ReturnType<typeof gpu> & { computeCapability: number | undefined } => ({
      ...gpu(),
      computeCapability,
    });
    return usesBfloat16(
      { precision: "mixed" },
      { threads: 1, readGpu },
      loaded("native", onGpu),
      (line) => void said.push(line),
    );
  };

  it("is had on a GPU that has bfloat16", () => {
    expect([asked(8), asked(9)]).toEqual([true, true]);
    expect(said).toEqual([]);
    expect(usesBfloat16({ precision: "float32" }, { threads: 1, readGpu: gpu }, loaded("native", true), () => {})).toBe(
      false,
    );
  });

  it("is float32 elsewhere, and that is said", () => {
    expect(asked(7.5)).toBe(false);
    expect(said).toEqual(["precision: float32, as NVIDIA T4 has no bfloat16"]);
    expect(asked(undefined)).toBe(false);
    expect(asked(9, false)).toBe(false);
    expect(said).toEqual(["precision: float32, as there is no GPU"]);
  });
});

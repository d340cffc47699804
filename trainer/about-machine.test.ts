import { expect, it } from "vitest";
import { aboutMachine } from "./about-machine.ts";

const facts = {
  version: "0.1.0",
  node: "v24.21.0",
  backend: "TensorFlow 2.21.0 native",
  gpu: { model: "Tesla T4", driver: "550.54" },
  threads: 4,
  memoryBytes: 14 * 2 ** 30,
  scratchFreeBytes: 98.1 * 2 ** 30,
  scratch: "/scratch",
};

it("is one line of versions, devices, threads, memory and disk", () => {
  expect(aboutMachine(facts)).toBe(
    "accrete 0.1.0, node 24.21.0, TensorFlow 2.21.0 native, GPU Tesla T4 (driver 550.54), 4 threads, memory 14 GiB, scratch 98.1 GiB free in /scratch",
  );
});

it("says what is not there, and leaves out what can't be told", () => {
  expect(aboutMachine({ ...facts, gpu: undefined, threads: 1, scratchFreeBytes: undefined })).toMatch(
    /, no GPU, 1 thread, memory 14 GiB, scratch in \/scratch$/,
  );
});

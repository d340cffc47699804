/** The first line of a training's log: what it runs with, as one can't ask a machine that is gone. */
import { sizeText } from "../protocol/units.ts";

export interface MachineFacts {
  /** of accrete */
  readonly version: string;
  /** "v24.21.0" */
  readonly node: string;
  /** "TensorFlow 2.21.0 native", "TensorFlow.js on wasm" */
  readonly backend: string;
  readonly gpu: { readonly model: string; readonly driver: string } | undefined;
  readonly threads: number;
  /** that it may use: the container's, else the machine's */
  readonly memoryBytes: number;
  /** undefined: it can't be told */
  readonly scratchFreeBytes: number | undefined;
  readonly scratch: string;
}

export function aboutMachine(facts: MachineFacts): string {
  const { version, node, backend, gpu, threads, memoryBytes, scratchFreeBytes, scratch } = facts;
  return [
    `accrete ${version}`,
    `node ${node.replace(/^v/, "")}`,
    backend,
    gpu === undefined ? "no GPU" : `GPU ${gpu.model} (driver ${gpu.driver})`,
    `${threads} thread${threads === 1 ? "" : "s"}`,
    `memory ${sizeText(memoryBytes)}`,
    scratchFreeBytes === undefined
      ? `scratch in ${scratch}`
      : `scratch ${sizeText(scratchFreeBytes)} free in ${scratch}`,
  ].join(", ");
}

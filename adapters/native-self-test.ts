/**
 * A program of its own, as a library that does not fit this machine may end its process: `node native-self-test.ts ADDON`. Loads tfjs-node's
 * addon, lets TensorFlow multiply two matrices, and prints what it found as JSON.
 */
import { createRequire } from "node:module";

interface Addon {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  createTensor(shape: readonly number[], dtype: number, data: Float32Array): number;
  executeOp(op: string, attributes: readonly object[], inputs: readonly number[], outputs: number): { id: number }[];
  tensorDataSync(id: number): Float32Array;
  isUsingGpuDevice(): boolean;
}

const addon = createRequire(import.meta.url)(process.argv[2] ?? "") as Addon;
const left = addon.createTensor([2, 3], addon.TF_FLOAT, Float32Array.of(1, 2, 3, 4, 5, 6));
const right = addon.createTensor([3, 1], addon.TF_FLOAT, Float32Array.of(1, 10, 100));
const product = addon.executeOp(
  "MatMul",
  [
    { name: "transpose_a", type: addon.TF_ATTR_BOOL, value: false },
    { name: "transpose_b", type: addon.TF_ATTR_BOOL, value: false },
    { name: "T", type: addon.TF_ATTR_TYPE, value: addon.TF_FLOAT },
  ],
  [left, right],
  1,
);
const values = product.map(({ id }) => [...addon.tensorDataSync(id)]).flat();
console.log(JSON.stringify({ tensorflow: addon.TF_Version, gpu: addon.isUsingGpuDevice(), values }));

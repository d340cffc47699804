import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import type { FileDigest } from "../protocol/ports.ts";
import { emptyHoldout, holdoutOf, holdoutTensors } from "./holdout-state.ts";
import { dtypeOf, parseSafetensors, readSafetensors, writeSafetensors, type NamedTensor } from "./safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "x.safetensors");

const tensor = (name: string, shape: number[], data: NamedTensor["data"]): NamedTensor => ({
  name,
  dtype: dtypeOf(data),
  shape,
  data,
});

const write = (to: string, tensors: readonly NamedTensor[]): Promise<FileDigest> =>
  writeSafetensors(to, tensors, ({ data }) => data);

const TENSORS = [
  tensor("bytes", [3], Uint8Array.of(1, 2, 255)), // the ones after it begin at no multiple of their size
  tensor("dense/kernel", [2, 3], Float32Array.of(1, -2.5, 3e-40, NaN, Infinity, -0)),
  tensor("scalar", [], Float64Array.of(Math.PI)),
  tensor("nothing", [0, 4], new Float32Array(0)),
  tensor("größe", [2], Int32Array.of(-(2 ** 31), 2 ** 31 - 1)),
  tensor("unsigned", [1, 1], Uint32Array.of(2 ** 32 - 1)),
];

const bits = ({ data }: NamedTensor): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

describe("safetensors", () => {
  it("come back as they were written, in every bit", async () => {
    const { sha256: digest, size } = await write(path, TENSORS);
    const bytes = readFileSync(path);
    expect({ digest, size }).toEqual({ digest: sha256(bytes), size: bytes.length });
    const read = [...readSafetensors(path, "x").values()];
    const known = (list: readonly NamedTensor[]): unknown =>
      list.map((each) => ({ ...each, data: bits(each) })).sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(known(read)).toEqual(known(TENSORS));
    for (const { dtype, data } of read) expect(dtypeOf(data)).toBe(dtype);
  });

  it("follow the published format: u64 length, JSON, tensors from a multiple of 8 on", async () => {
    await write(path, [tensor("w", [2], Float32Array.of(1, 2))]);
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    expect(JSON.parse(bytes.toString("utf8", 8, 8 + length))).toEqual({
      w: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    });
    expect(bytes.subarray(8 + length).toString("hex")).toBe("0000803f00000040");
  });

  it("are read from a Buffer of a pool, and keep nothing of it", async () => {
    await write(path, TENSORS);
    const file = readFileSync(path);
    const pool = Buffer.alloc(file.length + 24, 0xee);
    const part = pool.subarray(5, 5 + file.length);
    file.copy(part);
    const read = parseSafetensors(part, "x");
    const before = [...read.values()].map(bits);
    pool.fill(0);
    expect([...read.values()].map(bits)).toEqual(before);
    for (const { data } of read.values()) expect(data.buffer.byteLength).toBe(data.byteLength);
    // and no byte beyond its own end
    file.copy(pool, 5);
    expect(() => parseSafetensors(pool.subarray(5, 5 + file.length - 1), "x")).toThrow("it is cut off");
  });

  it("a list that is a mistake of the caller is not written", async () => {
    const one = tensor("w", [1], Float32Array.of(1));
    await expect(write(path, [one, one])).rejects.toThrow("two tensors named w");
    await expect(write(path, [{ ...one, name: "__metadata__" }])).rejects.toThrow(RangeError);
    await expect(write(path, [{ ...one, shape: [2] }])).rejects.toThrow("1 values of F32 for F32 [2]");
    await expect(write(path, [{ ...one, dtype: "I32" }])).rejects.toThrow("1 values of F32 for I32 [1]");
  });
});

function fileOf(header: unknown, data: Uint8Array = new Uint8Array(8)): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}
const w = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
const lengthOnly = (length: bigint): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(length);
  return bytes;
};

/** With safetensors and NumPy. */
const PYTHON = process.env["ACCRETE_PYTHON"];

it.skipIf(PYTHON === undefined)(
  "Python's safetensors opens what is written (skipped without ACCRETE_PYTHON)",
  async () => {
    await write(path, TENSORS);
    const program = `
import json, sys
from safetensors.numpy import load_file
found = load_file(sys.argv[1])
print(json.dumps({name: [list(value.shape), str(value.dtype), value.tobytes().hex()] for name, value in found.items()}))`;
    const found: unknown = JSON.parse(execFileSync(PYTHON!, ["-c", program, path], { encoding: "utf8" }));
    const dtypes = { F64: "float64", F32: "float32", I32: "int32", U32: "uint32", U8: "uint8" } as const;
    expect(found).toEqual(
      Object.fromEntries(TENSORS.map((each) => [each.name, [each.shape, dtypes[each.dtype], bits(each)]])),
    );
  },
);

describe("a bad file is refused by its name:", () => {
  it.each([
    ["empty", Buffer.alloc(0), "0 bytes"],
    ["shorter than a length", Buffer.alloc(7), "7 bytes"],
    ["a header longer than the file", lengthOnly(9n), "a header of 9 bytes in a file of 16"],
    ["a header of 2^64-1 bytes", lengthOnly(2n ** 64n - 1n), "a header of"],
    ["a header that is not JSON", fileOf("{"), "its header is not JSON"],
    [
      "a header that is not UTF-8",
      Buffer.concat([fileOf("").subarray(0, 8).fill(1, 0, 1), Buffer.from([0xff])]),
      "its header is not JSON",
    ],
    ["a header that is a list", fileOf([w]), "its header is not an object"],
    ["a header that is null", fileOf(null), "its header is not an object"],
    ["an unknown type", fileOf({ w: { ...w, dtype: "F16" } }), "tensor w: dtype"],
    ["a negative size", fileOf({ w: { ...w, shape: [-2] } }), "tensor w: shape.0"],
    ["a size that is no integer", fileOf({ w: { ...w, shape: [1.5] } }), "tensor w: shape.0"],
    ["a size beyond exact numbers", fileOf({ w: { ...w, shape: [2 ** 40, 2 ** 40] } }), "tensor w"],
    ["a name too many", fileOf({ w: { ...w, more: 1 } }), "tensor w"],
    ["a tensor that is a number", fileOf({ w: 1 }), "tensor w"],
    ["a shape that does not fit the offsets", fileOf({ w: { ...w, shape: [3] } }), "tensor w: F32 [3] at 0..8"],
    ["offsets that go backwards", fileOf({ w: { ...w, data_offsets: [8, 0] } }), "tensor w"],
    ["a gap before a tensor", fileOf({ w: { ...w, data_offsets: [4, 12] } }, new Uint8Array(12)), "tensor w"],
    ["two tensors in one place", fileOf({ v: w, w }), "tensor w"],
    ["data that is cut off", fileOf({ w }, new Uint8Array(7)), "it is cut off"],
    ["data that nobody lists", fileOf({ w }, new Uint8Array(9)), "where its header lists"],
  ])("%s", async (_, bytes, why) => {
    writeFileSync(path, bytes);
    const read = (): unknown => readSafetensors(path, "round 1: weights");
    expect(read).toThrow(
      expect.objectContaining({ code: "STORED_NOT_READABLE", message: expect.stringContaining(why) }),
    );
    expect(read).toThrow("round 1: weights: not a safetensors file");
  });

  it("while metadata and tensors in any order are fine", () => {
    const second = { dtype: "U8", shape: [1], data_offsets: [8, 9] };
    const read = parseSafetensors(fileOf({ __metadata__: { format: "pt" }, second, w }, new Uint8Array(9)), "x");
    expect([...read.keys()]).toEqual(["w", "second"]);
  });
});

describe("a holdout", () => {
  it.each(["classification", "regression"] as const)("of %s comes back as it was written", async (task) => {
    const holdout = {
      ...emptyHoldout(2, task),
      count: 1,
      features: Float32Array.of(1, 2),
      labels: task === "regression" ? Float32Array.of(0.5) : Int32Array.of(3),
      rounds: Int32Array.of(9),
    };
    for (const each of [holdout, emptyHoldout(2, task)]) {
      await write(path, holdoutTensors(each));
      expect(holdoutOf(parseSafetensors(readFileSync(path), "x"), "x")).toEqual(each);
    }
  });

  it("that is something else is refused", async () => {
    await write(path, [tensor("features", [1, 2], Float32Array.of(1, 2))]);
    expect(() => holdoutOf(parseSafetensors(readFileSync(path), "x"), "round 1")).toThrow(
      expect.objectContaining({ code: "STORED_NOT_READABLE", message: "round 1: not a holdout" }),
    );
    const lacking = {
      count: 1,
      width: 2,
      features: new Float32Array(2),
      labels: new Float32Array(0),
      rounds: Int32Array.of(1),
    };
    await write(
      path,
      holdoutTensors(lacking).map((part) => (part.name === "labels" ? { ...part, shape: [0] } : part)),
    );
    expect(() => holdoutOf(parseSafetensors(readFileSync(path), "x"), "round 1")).toThrow("round 1: not a holdout");
    for (const features of [[2], [2, 2]]) {
      const parts = holdoutTensors({
        ...emptyHoldout(2, "regression"),
        count: 1,
        features: new Float32Array(features[0]! * (features[1] ?? 1)),
        labels: new Float32Array(1),
        rounds: new Int32Array(1),
      });
      await write(
        path,
        parts.map((part) => (part.name === "features" ? { ...part, shape: features } : part)),
      );
      expect(() => holdoutOf(parseSafetensors(readFileSync(path), "x"), "round 1")).toThrow("round 1: not a holdout");
    }
  });
});

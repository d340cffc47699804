/** Whole safetensors files: written from arrays, and read into them. */
import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import {
  elementsOf,
  LENGTH_BYTES,
  parseSafetensorsHeader,
  safetensorsHeader,
  tensorsBegin,
  type Dtype,
  type TensorKind,
} from "../protocol/safetensors.ts";

const ARRAYS = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array } as const;
export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array;

export interface NamedTensor extends TensorKind {
  readonly data: TensorData;
}

/** Of an array as it lies in memory. */
export function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Int32Array) return "I32";
  return data instanceof Uint32Array ? "U32" : "U8";
}

/**
 * Writes and syncs a file; hashed on the way, with no second copy of the tensors.
 * @returns its digest and size in bytes
 * @throws {RangeError} if a name comes twice or a shape does not fit its data: a mistake of the caller
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
): Promise<{ sha256: string; size: number }> {
  for (const { name, dtype, shape, data } of tensors) {
    if (dtypeOf(data) !== dtype || data.length !== elementsOf(shape))
      throw new RangeError(
        `safetensors: ${name}: ${data.length} values of ${dtypeOf(data)} for ${dtype} [${shape.join(",")}]`,
      );
  }
  const hash = createHash("sha256");
  let size = 0;
  const parts = [
    safetensorsHeader(tensors),
    ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ];
  const file = await open(path, "w");
  try {
    for (const part of parts) {
      hash.update(part);
      for (let at = 0; at < part.length;) at += (await file.write(part, at)).bytesWritten;
      size += part.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest("hex"), size };
}

/**
 * Reads a whole file.
 * @throws {AccreteError} STORED_NOT_READABLE for whatever is not exactly a header and the tensors it lists
 */
export async function readSafetensors(path: string, what: string): Promise<ReadonlyMap<string, NamedTensor>> {
  return parseSafetensors(await readFile(path), what);
}

/**
 * The tensors in the order in which they lie.
 * @param what for the message: which file it was
 * @throws {AccreteError} STORED_NOT_READABLE
 */
export function parseSafetensors(bytes: Uint8Array, what: string): ReadonlyMap<string, NamedTensor> {
  const begin = tensorsBegin(bytes.subarray(0, LENGTH_BYTES), bytes.length, what);
  const tensors = new Map<string, NamedTensor>();
  for (const place of parseSafetensorsHeader(bytes.subarray(0, begin), bytes.length, what)) {
    const { name, dtype, shape } = place;
    // a copy, as a view must begin at a multiple of its element's size (slice() of a Buffer would be a view)
    const own = Uint8Array.from(bytes.subarray(place.begin, place.end));
    tensors.set(name, { name, dtype, shape, data: new ARRAYS[dtype](own.buffer) });
  }
  return tensors;
}

/** Whole safetensors files: written from arrays, and read into them. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import type { FileDigest } from "../protocol/ports.ts";
import {
  elementsOf,
  LENGTH_BYTES,
  parseSafetensorsHeader,
  safetensorsHeader,
  tensorsBegin,
  type Dtype,
  type TensorKind,
} from "../protocol/safetensors.ts";

/** Linux writes and reads at most 2 GiB at once. */
const CALL_BYTES_MAX = 2 ** 30;

const ARRAYS = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array } as const;
export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array;

export interface NamedTensor extends TensorKind {
  readonly data: TensorData;
}

/** A tensor of a file. */
export interface StoredTensor extends TensorKind {
  /** Its values, in memory of their own, read at each call. */
  read(): TensorData;
}

/** Of an array as it lies in memory. */
export function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Int32Array) return "I32";
  return data instanceof Uint32Array ? "U32" : "U8";
}

/**
 * Writes and syncs a file; hashed on the way, while the system writes, with no second copy of the tensors.
 * @param tensors what comes, in its order
 * @param next asked for each tensor's values in turn, so that no two need be in memory at once
 * @throws {RangeError} if a name comes twice or a shape does not fit its data: a mistake of the caller
 */
export async function writeSafetensors<Tensor extends TensorKind>(
  path: string,
  tensors: readonly Tensor[],
  next: (tensor: Tensor) => TensorData | Promise<TensorData>,
): Promise<FileDigest> {
  const header = safetensorsHeader(tensors);
  const hash = createHash("sha256");
  let size = 0;
  const file = await open(path, "w");
  const put = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      const writing = file.write(bytes, at, Math.min(bytes.length - at, CALL_BYTES_MAX));
      if (at === 0) hash.update(bytes); // meanwhile: the write is on a thread of its own
      at += (await writing).bytesWritten;
    }
    size += bytes.length;
  };
  try {
    await put(header);
    for (const tensor of tensors) {
      const { name, dtype, shape } = tensor;
      const data = await next(tensor);
      if (dtypeOf(data) !== dtype || data.length !== elementsOf(shape))
        throw new RangeError(
          `safetensors: ${name}: ${data.length} values of ${dtypeOf(data)} for ${dtype} [${shape.join(",")}]`,
        );
      await put(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest("hex"), size };
}

/**
 * What a file has. The values are read as they are asked for: a large model's need not be there at once.
 * @param path of a file that stays as it is
 * @param what for the message: which file it was
 * @throws {AccreteError} STORED_NOT_READABLE for whatever is not exactly a header and the tensors it lists
 */
export function openSafetensors(path: string, what: string): ReadonlyMap<string, StoredTensor> {
  const places = withFile(path, (file) => {
    const { size } = fstatSync(file);
    const begin = tensorsBegin(bytesAt(file, 0, Math.min(LENGTH_BYTES, size)), size, what);
    return parseSafetensorsHeader(bytesAt(file, 0, begin), size, what);
  });
  return new Map(
    places.map((place) => {
      const { name, dtype, shape, begin, end } = place;
      const read = (): TensorData =>
        tensorOf(place, withFile(path, (file) => bytesAt(file, begin, end - begin)).buffer).data;
      return [name, { name, dtype, shape, read }];
    }),
  );
}

/**
 * Reads a whole file, each tensor into memory of its own.
 * @throws {AccreteError} STORED_NOT_READABLE as openSafetensors
 */
export function readSafetensors(path: string, what: string): ReadonlyMap<string, NamedTensor> {
  const tensors = openSafetensors(path, what);
  return new Map([...tensors].map(([name, { read, ...kind }]) => [name, { ...kind, data: read() }]));
}

function withFile<T>(path: string, work: (file: number) => T): T {
  const file = openSync(path, "r");
  try {
    return work(file);
  } finally {
    closeSync(file);
  }
}

/** @throws {Error} if the file was cut off meanwhile */
function bytesAt(file: number, position: number, count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count;) {
    const read = readSync(file, bytes, at, Math.min(count - at, CALL_BYTES_MAX), position + at);
    if (read === 0) throw new Error(`a file of ${position + count} bytes ends at ${position + at}`);
    at += read;
  }
  return bytes;
}

/**
 * The tensors in the order in which they lie.
 * @param what for the message: which file it was
 * @throws {AccreteError} STORED_NOT_READABLE
 */
export function parseSafetensors(bytes: Uint8Array, what: string): ReadonlyMap<string, NamedTensor> {
  const begin = tensorsBegin(bytes.subarray(0, LENGTH_BYTES), bytes.length, what);
  const tensors = new Map<string, NamedTensor>();
  for (const place of parseSafetensorsHeader(bytes.subarray(0, begin), bytes.length, what))
    // a copy, as a view must begin at a multiple of its element's size (slice() of a Buffer would be a view)
    tensors.set(place.name, tensorOf(place, Uint8Array.from(bytes.subarray(place.begin, place.end)).buffer));
  return tensors;
}

function tensorOf({ name, dtype, shape }: TensorKind, buffer: ArrayBuffer): NamedTensor {
  return { name, dtype, shape, data: new ARRAYS[dtype](buffer) };
}

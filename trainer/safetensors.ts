/**
 * The safetensors format: u64 length of the header, a JSON header, the tensors back to back, all little-endian. No code,
 * and every number in the header is checked before it is used.
 * @see https://github.com/huggingface/safetensors#format
 */
import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import * as z from "zod/mini";
import { AccreteError, messageOf } from "../protocol/errors.ts";

const ARRAYS = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array } as const;
export type Dtype = keyof typeof ARRAYS;
export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array;

export interface NamedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** The limit of the reference implementation. */
const HEADER_BYTES_MAX = 100_000_000;

const Size = z.int().check(z.gte(0));
const Entry = z.strictObject({
  dtype: z.enum(["F64", "F32", "I32", "U32", "U8"]),
  shape: z.array(Size).check(z.maxLength(16)),
  data_offsets: z.tuple([Size, Size]),
});

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

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
  const header: Record<string, z.infer<typeof Entry>> = {};
  let end = 0;
  for (const { name, dtype, shape, data } of tensors) {
    if (Object.hasOwn(header, name) || name === "__metadata__")
      throw new RangeError(`safetensors: two tensors named ${name}`);
    if (dtypeOf(data) !== dtype || data.length !== elementsOf(shape))
      throw new RangeError(
        `safetensors: ${name}: ${data.length} values of ${dtypeOf(data)} for ${dtype} [${shape.join(",")}]`,
      );
    header[name] = { dtype, shape: [...shape], data_offsets: [end, (end += data.byteLength)] };
  }
  let json = JSON.stringify(header);
  json += " ".repeat(-Buffer.byteLength(json) & 7); // the tensors begin at a multiple of 8
  const prefix = Buffer.alloc(8 + Buffer.byteLength(json));
  prefix.writeBigUInt64LE(BigInt(prefix.length - 8));
  prefix.write(json, 8);

  const hash = createHash("sha256");
  let size = 0;
  const file = await open(path, "w");
  try {
    for (const part of [
      prefix,
      ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ]) {
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

/** @param what for the message: which file it was */
export function parseSafetensors(bytes: Uint8Array, what: string): ReadonlyMap<string, NamedTensor> {
  const bad = (why: string, cause?: unknown): AccreteError =>
    new AccreteError("STORED_NOT_READABLE", `${what}: not a safetensors file: ${why}`, { cause });
  if (bytes.length < 8) throw bad(`${bytes.length} bytes`);
  const headerBytes = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  const start = 8 + headerBytes;
  if (headerBytes > HEADER_BYTES_MAX || start > bytes.length)
    throw bad(`a header of ${headerBytes} bytes in a file of ${bytes.length}`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, start)));
  } catch (cause) {
    throw bad(`its header is not JSON: ${messageOf(cause)}`, cause);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) throw bad("its header is not an object");
  const tensors = new Map<string, NamedTensor>();
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]): [string, z.infer<typeof Entry>] => {
      const parsed = z.safeParse(Entry, value);
      if (!parsed.success)
        throw bad(
          `tensor ${name}: ${parsed.error.issues[0]?.path.join(".") ?? ""} ${parsed.error.issues[0]?.message ?? ""}`,
        );
      return [name, parsed.data];
    })
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const size = elementsOf(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT;
    if (!Number.isSafeInteger(size) || offsets[0] !== end || offsets[1] - offsets[0] !== size)
      throw bad(`tensor ${name}: ${dtype} [${shape.join(",")}] at ${offsets.join("..")}`);
    if (start + offsets[1] > bytes.length)
      throw bad(`it is cut off: ${bytes.length} bytes, tensor ${name} ends at ${start + offsets[1]}`);
    // a copy, as a view must begin at a multiple of its element's size (slice() of a Buffer would be a view)
    const own = Uint8Array.from(bytes.subarray(start + offsets[0], start + offsets[1]));
    tensors.set(name, { name, dtype, shape, data: new ARRAYS[dtype](own.buffer) });
    end = offsets[1];
  }
  if (start + end !== bytes.length) throw bad(`${bytes.length} bytes where its header lists ${start + end}`);
  return tensors;
}

/**
 * The header of a safetensors file: u64 length, JSON that names each tensor's type, shape and place, the tensors back to back; all
 * little-endian. No code, and every number is checked before it is used.
 * @see https://github.com/huggingface/safetensors#format
 */
import * as z from "zod/mini";
import { AccreteError, messageOf } from "./errors.ts";

export const BYTES_OF = { F64: 8, F32: 4, I32: 4, U32: 4, U8: 1 } as const;
export type Dtype = keyof typeof BYTES_OF;

export interface TensorKind {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** Where its bytes lie, counted from the file's first byte. */
export interface TensorPlace extends TensorKind {
  readonly begin: number;
  readonly end: number;
}

/** The limit of the reference implementation. */
const HEADER_BYTES_MAX = 100_000_000;
/** Bytes of the length that comes first. */
export const LENGTH_BYTES = 8;

const Size = z.int().check(z.gte(0));
const Entry = z.strictObject({
  dtype: z.enum(["F64", "F32", "I32", "U32", "U8"]),
  shape: z.array(Size).check(z.maxLength(16)),
  data_offsets: z.tuple([Size, Size]),
});

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/**
 * All that comes before the tensors, which follow in the order given.
 * @throws {RangeError} if a name comes twice: a mistake of the caller
 */
export function safetensorsHeader(tensors: readonly TensorKind[]): Uint8Array {
  const header: Record<string, z.infer<typeof Entry>> = {};
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    if (Object.hasOwn(header, name) || name === "__metadata__")
      throw new RangeError(`safetensors: two tensors named ${name}`);
    header[name] = {
      dtype,
      shape: [...shape],
      data_offsets: [end, (end += elementsOf(shape) * BYTES_OF[dtype])],
    };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padding = -json.length & 7; // the tensors begin at a multiple of 8
  const bytes = new Uint8Array(LENGTH_BYTES + json.length + padding).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length + padding), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}

function bad(what: string, why: string, cause?: unknown): AccreteError {
  return new AccreteError("STORED_NOT_READABLE", `${what}: not a safetensors file: ${why}`, { cause });
}

/**
 * Where the tensors begin.
 * @param first the file's first 8 bytes; fewer if it has fewer
 * @param what for the message: which file it was
 * @throws {AccreteError} STORED_NOT_READABLE
 */
export function tensorsBegin(first: Uint8Array, fileBytes: number, what: string): number {
  if (first.length < LENGTH_BYTES) throw bad(what, `${fileBytes} bytes`);
  const headerBytes = Number(new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true));
  const begin = LENGTH_BYTES + headerBytes;
  if (headerBytes > HEADER_BYTES_MAX || begin > fileBytes)
    throw bad(what, `a header of ${headerBytes} bytes in a file of ${fileBytes}`);
  return begin;
}

/**
 * The tensors in the order in which they lie.
 * @param head the file's bytes up to `tensorsBegin`
 * @throws {AccreteError} STORED_NOT_READABLE for whatever does not list exactly the file's bytes
 */
export function parseSafetensorsHeader(head: Uint8Array, fileBytes: number, what: string): TensorPlace[] {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(head.subarray(LENGTH_BYTES)));
  } catch (cause) {
    throw bad(what, `its header is not JSON: ${messageOf(cause)}`, cause);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    throw bad(what, "its header is not an object");
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]): [string, z.infer<typeof Entry>] => {
      const parsed = z.safeParse(Entry, value);
      if (parsed.success) return [name, parsed.data];
      const [issue] = parsed.error.issues;
      throw bad(what, `tensor ${name}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
    })
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  const places: TensorPlace[] = [];
  let at = head.length;
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const size = elementsOf(shape) * BYTES_OF[dtype];
    const [begin, end] = [head.length + offsets[0], head.length + offsets[1]];
    if (!Number.isSafeInteger(size) || begin !== at || end - begin !== size)
      throw bad(what, `tensor ${name}: ${dtype} [${shape.join(",")}] at ${offsets.join("..")}`);
    if (end > fileBytes) throw bad(what, `it is cut off: ${fileBytes} bytes, tensor ${name} ends at ${end}`);
    places.push({ name, dtype, shape, begin, end });
    at = end;
  }
  if (at !== fileBytes) throw bad(what, `${fileBytes} bytes where its header lists ${at}`);
  return places;
}

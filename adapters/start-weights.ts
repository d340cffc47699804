/**
 * The weights of a warm start, from files of the user's: a TensorFlow.js layers model, or safetensors. Whatever they were, one safetensors
 * file with sorted names comes of it. Its bytes pass through; they are never all in memory.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdtemp, open, readFile, rm, stat, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import * as z from "zod/mini";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { StartFile, StartWeights } from "../protocol/ports.ts";
import {
  BYTES_OF,
  elementsOf,
  LENGTH_BYTES,
  parseSafetensorsHeader,
  safetensorsHeader,
  tensorsBegin,
  type Dtype,
  type TensorPlace,
} from "../protocol/safetensors.ts";

/** The topology and the list of weights; the weights themselves lie in its shards. */
const MODEL_JSON_BYTES_MAX = 64 * 1_048_576;
/** What a weight of TensorFlow.js can be. */
const DTYPES: ReadonlyMap<string, Dtype> = new Map([
  ["float32", "F32"],
  ["int32", "I32"],
  ["uint8", "U8"],
]);

const ModelJson = z.looseObject({
  format: z.literal("layers-model"),
  weightsManifest: z
    .array(
      z.looseObject({
        paths: z.array(z.string()).check(z.minLength(1)),
        weights: z.array(
          z.looseObject({
            name: z.string().check(z.minLength(1), z.maxLength(1_024)),
            shape: z.array(z.int().check(z.gte(0))).check(z.maxLength(16)),
            dtype: z.string(),
            quantization: z.optional(z.unknown()),
          }),
        ),
      }),
    )
    .check(z.minLength(1)),
});
type WeightGroup = z.infer<typeof ModelJson>["weightsManifest"][number];

/** @param folder what `from` is relative to */
export function openStartWeights(
  folder: string,
  start: { readonly from: string; readonly sha256: string | null },
): StartWeights {
  return {
    read: async () => {
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(start.from) || !/\.(json|safetensors)$/i.test(start.from))
        throw notReadable(start.from, "expected is a path to a TensorFlow.js model.json or to a .safetensors file");
      return read(resolve(folder, start.from), start.sha256);
    },
  };
}

async function read(file: string, expected: string | null): Promise<StartFile> {
  const scratch = await mkdtemp(join(tmpdir(), "accrete-start-"));
  const remove = (): Promise<void> => rm(scratch, { recursive: true, force: true });
  const checkDigest = (found: string): void => {
    if (expected !== null && found !== expected)
      throw new AccreteError("START_NOT_MATCHING", `${file}: its sha256 is ${found}, expected is ${expected}`);
  };
  try {
    const path = join(scratch, "start.safetensors");
    const sha256 = await convert(file, { path, joined: join(scratch, "joined"), checkDigest });
    return { sha256, path, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    if (error instanceof AccreteError && error.code === "STORED_NOT_READABLE")
      throw new AccreteError("START_NOT_READABLE", error.message, { cause: error });
    throw error;
  }
}

interface Into {
  /** the safetensors file to write */
  readonly path: string;
  /** a scratch file */
  readonly joined: string;
  readonly checkDigest: (found: string) => void;
}

/** @returns the digest of what was written */
async function convert(file: string, into: Into): Promise<string> {
  const stats = await stat(file).catch((cause: unknown) => {
    throw notReadable(file, messageOf(cause), cause);
  });
  if (!stats.isFile()) throw notReadable(file, "it is no file");
  return /\.json$/i.test(file) ? fromLayersModel(file, stats.size, into) : fromSafetensors(file, into);
}

function notReadable(file: string, why: string, cause?: unknown): AccreteError {
  return new AccreteError("START_NOT_READABLE", `${file}: ${why}`, { cause });
}

// ------------------------------------------------------------------------------------------------ safetensors

async function fromSafetensors(file: string, { path, checkDigest }: Into): Promise<string> {
  const hash = createHash("sha256");
  const size = await withFile(path, "w", (to) => append(to, file, hash));
  const sha256 = hash.digest("hex");
  checkDigest(sha256);
  const places = await withFile(path, "r", async (from) => {
    const begin = tensorsBegin(await bytesOf(from, Math.min(LENGTH_BYTES, size)), size, file);
    return parseSafetensorsHeader(await bytesOf(from, begin), size, file);
  });
  if (places.length === 0) throw notReadable(file, "it has no weights");
  const odd = places.find(({ dtype }) => ![...DTYPES.values()].includes(dtype));
  if (odd !== undefined) throw notReadable(file, `${odd.name} is of type ${odd.dtype}: a weight is F32, I32 or U8`);
  return sha256;
}

async function bytesOf(from: FileHandle, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count;) {
    const { bytesRead } = await from.read(bytes, at, count - at, at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

// ------------------------------------------------------------------------------------------------ TensorFlow.js

async function fromLayersModel(file: string, size: number, { path, joined, checkDigest }: Into): Promise<string> {
  if (size > MODEL_JSON_BYTES_MAX)
    throw notReadable(file, `${size} bytes, at most ${MODEL_JSON_BYTES_MAX} are expected`);
  const text = await readFile(file);
  const groups = parseModelJson(file, text);
  const hash = createHash("sha256").update(text);
  // joined first, so that what is checked is what is used
  const sizes = await withFile(joined, "w", async (to) => {
    const found: number[] = [];
    for (const { paths } of groups) {
      let bytes = 0;
      for (const name of paths) bytes += await append(to, await shardOf(file, name), hash);
      found.push(bytes);
    }
    return found;
  });
  checkDigest(hash.digest("hex"));
  const places = placesOf(file, groups, sizes).sort((a, b) => (a.name < b.name ? -1 : 1));
  const written = createHash("sha256");
  await withFile(path, "w", async (to) => {
    const header = safetensorsHeader(places);
    written.update(header);
    await to.writeFile(header);
    for (const place of places) await append(to, joined, written, place);
  });
  await rm(joined);
  return written.digest("hex");
}

function parseModelJson(file: string, text: Uint8Array): readonly WeightGroup[] {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw notReadable(file, `it is not JSON: ${messageOf(cause)}`, cause);
  }
  const parsed = z.safeParse(ModelJson, value);
  if (parsed.success) return parsed.data.weightsManifest;
  const format = typeof value === "object" && value !== null && "format" in value ? value.format : undefined;
  if (typeof format === "string" && format !== "layers-model")
    throw notReadable(file, `it is a ${format}: expected is a "layers-model"`);
  const [issue] = parsed.error.issues;
  throw notReadable(file, `no layers model of TensorFlow.js: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
}

/** A shard lies beside model.json: a model from elsewhere can't have other files read. */
async function shardOf(file: string, name: string): Promise<string> {
  if (name !== basename(name) || name.includes("\\") || name.includes("\0") || [".", "..", ""].includes(name))
    throw notReadable(file, `the shard ${JSON.stringify(name)} does not lie beside it`);
  const path = join(dirname(file), name);
  const stats = await lstat(path).catch((cause: unknown) => {
    throw notReadable(file, `its shard: ${messageOf(cause)}`, cause);
  });
  if (!stats.isFile()) throw notReadable(file, `its shard ${name} is no regular file`);
  return path;
}

/** Where the weights lie in the shards one after the other; a group's lie back to back. */
function placesOf(file: string, groups: readonly WeightGroup[], sizes: readonly number[]): TensorPlace[] {
  const places = new Map<string, TensorPlace>();
  let begin = 0;
  for (const [i, { paths, weights }] of groups.entries()) {
    let at = begin;
    for (const { name, shape, dtype: given, quantization } of weights) {
      if (quantization !== undefined)
        throw notReadable(file, `${name} is quantized: convert the model without quantization`);
      const dtype = DTYPES.get(given);
      if (dtype === undefined)
        throw notReadable(file, `${name} is of type ${given}: a weight is ${[...DTYPES.keys()].join(", ")}`);
      if (places.has(name)) throw notReadable(file, `two weights are named ${name}`);
      if (name === "__metadata__" || name === "__proto__") throw notReadable(file, `no weight can be named ${name}`);
      places.set(name, { name, dtype, shape, begin: at, end: (at += elementsOf(shape) * BYTES_OF[dtype]) });
    }
    const end = begin + sizes[i]!;
    if (at !== end)
      throw notReadable(file, `${paths.join(", ")}: ${sizes[i]} bytes, but its weights take ${at - begin}`);
    begin = end;
  }
  if (places.size === 0) throw notReadable(file, "it has no weights");
  return [...places.values()];
}

// ------------------------------------------------------------------------------------------------ files

async function withFile<T>(path: string, flags: "r" | "w", work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** @returns how many bytes were written */
async function append(
  to: FileHandle,
  path: string,
  hash: Hash,
  part?: { readonly begin: number; readonly end: number },
): Promise<number> {
  if (part !== undefined && part.begin === part.end) return 0;
  let size = 0;
  for await (const chunk of createReadStream(
    path,
    part === undefined ? {} : { start: part.begin, end: part.end - 1 },
  )) {
    if (!(chunk instanceof Uint8Array)) continue;
    hash.update(chunk);
    await to.writeFile(chunk);
    size += chunk.length;
  }
  return size;
}

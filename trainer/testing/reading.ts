/** Files for the tests of the readers, in a folder that is removed at the end. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { DataConfig } from "../../protocol/data-config.ts";
import { itemId, sha256 } from "../../protocol/digest.ts";
import { BadItem } from "../item-records.ts";
import { Reader } from "../reader-process.ts";
import { unpacked, type Unpacked } from "./packing.ts";
import { readRecords } from "../records.ts";
import type { StagedItem } from "../stage.ts";
import type { Schema } from "../schema.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-read-"));
const files = join(folder, "items");
mkdirSync(files);
let readers = 0;

export const CRASHING_READER = join(import.meta.dirname, "crashing-reader.ts");

/** For the files of this module; with the program of the tests, or limits of its own. */
export function newReader(options: { memory?: number; program?: string } = {}): Reader {
  const reader = new Reader({
    scratch: join(folder, `reader-${readers++}`),
    memory: 2 ** 31,
    ...options,
  });
  opened.push(reader);
  return reader;
}
const opened: Reader[] = [];
const shared = newReader();
afterAll(async () => {
  for (const reader of opened) await reader.close();
  rmSync(folder, { recursive: true, force: true });
});

export function file(key: string, body: string | Uint8Array): StagedItem {
  const item = { bucket: "data", key, etag: sha256(body), size: body.length };
  const path = join(files, itemId(item));
  writeFileSync(path, body);
  return { item, path };
}

/** With as many zero bytes after its start as it takes; they need no disk. */
export function largeFile(key: string, start: string, size: number): StagedItem {
  const { item, path } = file(key, start);
  truncateSync(path, size);
  return { item: { ...item, size }, path };
}

export type DataInput = Partial<DataConfig> & Pick<DataConfig, "format">;

/** As readRecords, with the records as arrays. */
export async function read(
  files: readonly StagedItem[],
  input: DataInput,
  schema: Schema | null = null,
  reader: Reader = shared,
): Promise<Omit<Awaited<ReturnType<typeof readRecords>>, "records"> & { records: Unpacked }> {
  const data = DataConfig.parse({ holdout: 0, ...input });
  const packed = join(folder, `packed-${reads++}`);
  const found = await readRecords(files, { data, schema, reader, packed, known: new Set() });
  const records = unpacked(found.records);
  rmSync(packed);
  return { ...found, records };
}
let reads = 0;

/** What data.holdout chooses the file's records by. */
export async function marksOf({ item, path }: StagedItem, input: DataInput): Promise<number[]> {
  const [outcome] = await shared.read([{ key: item.key, path }], DataConfig.parse(input), null);
  if (outcome === undefined || outcome instanceof BadItem) throw new Error("not readable", { cause: outcome });
  return [...(outcome.marks ?? [])];
}

/** Features as rows, rounded: 32-bit floats are compared as what they were written as. */
export function rows({ count, width, features }: Pick<Unpacked, "count" | "width" | "features">): number[][] {
  return Array.from({ length: count }, (_, row) =>
    Array.from(features.subarray(row * width, (row + 1) * width), (value) => Number(value.toPrecision(6))),
  );
}

/** The message of the only rejected file. */
export async function whyBad(
  body: string | Uint8Array,
  input: DataInput,
  schema: Schema | null = null,
  key = "some/file",
): Promise<string> {
  const { rejected, records } = await read([file(key, body)], input, schema);
  if (rejected.length !== 1 || records.count !== 0) return `not rejected: ${records.count} records`;
  return `${rejected[0]!.code} ${rejected[0]!.message}`;
}

const CODES = { u8: 0x08, i8: 0x09, i16: 0x0b, i32: 0x0c, f32: 0x0d, f64: 0x0e } as const;

export function idxArray(type: keyof typeof CODES, shape: readonly number[], values: readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt8(CODES[type], 2);
  header.writeUInt8(shape.length, 3);
  shape.forEach((size, i) => header.writeUInt32BE(size, 4 + 4 * i));
  if (type === "u8") return Buffer.concat([header, Uint8Array.from(values)]);
  const write = {
    i8: "writeInt8",
    i16: "writeInt16BE",
    i32: "writeInt32BE",
    f32: "writeFloatBE",
    f64: "writeDoubleBE",
  } as const;
  const size = { i8: 1, i16: 2, i32: 4, f32: 4, f64: 8 }[type];
  const body = Buffer.alloc(size * values.length);
  values.forEach((value, i) => body[write[type]](value, i * size));
  return Buffer.concat([header, body]);
}

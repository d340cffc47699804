/** Parquet for the tests: the cells of a file as a scan gives them, and files that no library would write. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openParquet } from "../parquet-scan.ts";
import { AS_LIST, AS_NUMBER, AS_STRING, Cells } from "../table-scan.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-parquet-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let written = 0;

/** @returns the path of a file of the tests */
export function parquetFile(bytes: Uint8Array = new Uint8Array(0)): string {
  const path = join(folder, `${written++}.parquet`);
  writeFileSync(path, bytes);
  return path;
}

export const AS_STRINGS = AS_STRING | AS_LIST;

/** All values of some columns, by name. @param as AS_NUMBER or AS_STRINGS @param columns undefined: all */
export async function cellsOf(
  path: string,
  as: number,
  columns?: readonly string[],
  limits: { readonly bytesMax?: number; readonly memory?: number } = {},
): Promise<Record<string, unknown[]>> {
  const scan = await openParquet(path, { scratch: folder, bytesMax: 2 ** 32, memory: 2 ** 31, ...limits });
  const asked = (columns ?? scan.names).map((name) => ({ name, column: scan.names.indexOf(name), as }));
  const cells = new Cells(scan.names.length, asked);
  const found: Record<string, unknown[]> = Object.fromEntries(asked.map(({ name }) => [name, []]));
  await scan.read(cells, () => {
    for (const { name, column } of asked)
      found[name]!.push(as === AS_NUMBER ? cells.numbers[column] : (cells.strings[column] ?? scan.cell(column)));
    return true;
  });
  return found;
}

/** Thrift's compact protocol, with fields in order: a number is an i32, a bigint an i64. */
export type Field = number | bigint | boolean | string | Bytes | Fields | readonly Fields[] | undefined;
export interface Fields {
  readonly [id: number]: Field;
}
type Bytes = Uint8Array;

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left >>= 7n) {
    if (left < 128n) return [...bytes, Number(left)];
    bytes.push(Number(left & 127n) | 128);
  }
}

const zigzag = (value: bigint): number[] => varint(value < 0n ? -2n * value - 1n : 2n * value);

export function thrift(fields: Fields): Buffer {
  const parts: Uint8Array[] = [];
  let last = 0;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const [type, body] = encoded(value);
    parts.push(Uint8Array.of(((Number(key) - last) << 4) | type), body);
    last = Number(key);
  }
  return Buffer.concat([...parts, Uint8Array.of(0)]);
}

function encoded(value: Exclude<Field, undefined>): [type: number, body: Uint8Array] {
  if (typeof value === "boolean") return [value ? 1 : 2, new Uint8Array(0)];
  if (typeof value === "number") return [5, Uint8Array.from(zigzag(BigInt(value)))];
  if (typeof value === "bigint") return [6, Uint8Array.from(zigzag(value))];
  if (typeof value === "string") return encoded(Buffer.from(value));
  if (value instanceof Uint8Array) return [8, Buffer.concat([Uint8Array.from(varint(BigInt(value.length))), value])];
  if (Array.isArray(value)) {
    const head = Uint8Array.from([0xf0 | 12, ...varint(BigInt(value.length))]);
    return [9, Buffer.concat([head, ...value.map((one: Fields) => thrift(one))])];
  }
  return [12, thrift({ ...value })];
}

/** A file of one column x, as its parts say. @param physical INT32 is 1, INT64 2, BYTE_ARRAY 6 */
export function oneColumn(options: {
  readonly pages: readonly Uint8Array[];
  readonly rows: bigint;
  readonly physical?: number;
  readonly codec?: number;
  readonly repetition?: number;
  readonly footer?: Fields;
}): Buffer {
  const { pages, rows, physical = 1, codec = 0, repetition = 0 } = options;
  const body = Buffer.concat(pages);
  const meta = { 1: physical, 4: codec, 5: rows, 6: BigInt(body.length), 7: BigInt(body.length), 9: 4n };
  const text = physical === 6 ? 0 : undefined;
  return withFooter(
    body,
    thrift({
      1: 1,
      2: [
        { 4: "schema", 5: 1 },
        { 1: physical, 3: repetition, 4: "x", 6: text },
      ],
      3: rows,
      4: [{ 1: [{ 2: 0n, 3: meta }], 2: BigInt(body.length), 3: rows }],
      ...options.footer,
    }),
  );
}

export function withFooter(body: Uint8Array, footer: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([Buffer.from("PAR1"), body, footer, length, Buffer.from("PAR1")]);
}

/** @param size that it claims to have once it is decompressed */
export function dataPage(
  bytes: Uint8Array,
  { values, encoding = 0, size = bytes.length }: { values: number; encoding?: number; size?: number },
): Buffer {
  const header = thrift({ 1: 0, 2: size, 3: bytes.length, 5: { 1: values, 2: encoding, 3: 3, 4: 3 } });
  return Buffer.concat([header, bytes]);
}

export function dictionaryPage(bytes: Uint8Array, values: number): Buffer {
  return Buffer.concat([thrift({ 1: 2, 2: bytes.length, 3: bytes.length, 7: { 1: values, 2: 0 } }), bytes]);
}

/**
 * IDX: big-endian arrays with a small header, as MNIST comes in. One file holds an array of records and, right after it,
 * an array of as many labels; the whole, or each of the two, may be packed by gzip or zstd.
 * @see https://yann.lecun.org/exdb/mnist/ "The IDX file format"
 */
import { sizeText } from "../protocol/units.ts";
import { chunksOf, openBytes } from "./byte-source.ts";
import { BadItem, labelBuilder, type LabelKind, type RecordsOfItem } from "./item-records.ts";

/** Values of one file; they are held as 32-bit floats. */
const VALUES_MAX = 2 ** 30;

interface ElementType {
  readonly name: string;
  readonly bytes: number;
  readonly get: (view: DataView, at: number) => number;
}
const TYPES: ReadonlyMap<number, ElementType> = new Map([
  [0x08, { name: "u8", bytes: 1, get: (view: DataView, at: number) => view.getUint8(at) }],
  [0x09, { name: "i8", bytes: 1, get: (view: DataView, at: number) => view.getInt8(at) }],
  [0x0b, { name: "i16", bytes: 2, get: (view: DataView, at: number) => view.getInt16(at) }],
  [0x0c, { name: "i32", bytes: 4, get: (view: DataView, at: number) => view.getInt32(at) }],
  [0x0d, { name: "f32", bytes: 4, get: (view: DataView, at: number) => view.getFloat32(at) }],
  [0x0e, { name: "f64", bytes: 8, get: (view: DataView, at: number) => view.getFloat64(at) }],
]);

interface Header {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** where the values start, and where they end */
  readonly start: number;
  readonly end: number;
}

/**
 * @param bytesMax of the whole, after it was decompressed
 * @throws {BadItem} with what was found, and the record's number where there is one (from 1)
 */
export async function readIdx(path: string, kind: LabelKind, bytesMax: number): Promise<RecordsOfItem> {
  const bytes = await readWhole(path, bytesMax);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records = readHeader(view, 0, "records");
  const count = checkRecords(records, bytesMax);
  if (records.end > view.byteLength)
    throw new BadItem(`it ends after ${view.byteLength} bytes, its records need ${records.end}`);
  const labels = readHeader(view, records.end, "labels");
  checkLabels(labels, count, kind);
  if (labels.end > view.byteLength)
    throw new BadItem(`it ends after ${view.byteLength} bytes, with its labels it needs ${labels.end}`);
  if (labels.end < view.byteLength) throw new BadItem(`${view.byteLength - labels.end} bytes follow its labels`);
  const shape = records.shape.length === 3 ? [...records.shape.slice(1), 1] : records.shape.slice(1);
  const builder = labelBuilder(kind, count);
  for (let record = 0; record < count; record++) {
    builder.add(record, labels.type.get(view, labels.start + record * labels.type.bytes), idxRecord(record));
  }
  return { count, shape, features: readValues(view, records, count), ...builder.done() };
}

export const idxRecord = (record: number): string => `record ${record + 1}`;

function readHeader(view: DataView, at: number, what: string): Header {
  if (at + 4 > view.byteLength)
    throw new BadItem(
      `there is no array of ${what}: it ends after ${view.byteLength} bytes; records and labels are one file: cat RECORDS LABELS > ONE`,
    );
  const type = TYPES.get(view.getUint8(at + 2));
  const rank = view.getUint8(at + 3);
  if (view.getUint16(at) !== 0 || type === undefined) {
    const magic = view.getUint32(at).toString(16).padStart(8, "0");
    throw new BadItem(
      `the array of ${what} at byte ${at} starts with 0x${magic}: an IDX array starts with 0x0000, type (08, 09, 0b..0e), number of dimensions`,
    );
  }
  const start = at + 4 + 4 * rank;
  if (start > view.byteLength) throw new BadItem(`it ends within the header of its ${what}`);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(at + 4 + 4 * i));
  return { type, shape, start, end: start + shape.reduce((product, size) => product * size, type.bytes) };
}

function checkRecords({ shape, end }: Header, bytesMax: number): number {
  const count = shape[0] ?? 0;
  const found = `[${shape.join(", ")}]`;
  if (shape.length < 2 || shape.length > 4) {
    throw new BadItem(
      `its records have the shape ${found}: expected [n, width], [n, height, width] or [n, height, width, channels]`,
    );
  }
  if (shape.includes(0)) throw new BadItem(`it has no records: their shape is ${found}`);
  const values = shape.reduce((product, size) => product * size, 1);
  if (values > VALUES_MAX) throw new BadItem(`its records have the shape ${found}: more than ${VALUES_MAX} values`);
  if (end > bytesMax)
    throw new BadItem(`its records have the shape ${found}: more than ${sizeText(bytesMax)} (data.limits.bytes)`);
  return count;
}

function checkLabels({ type, shape }: Header, count: number, kind: LabelKind): void {
  if (shape.length !== 1) throw new BadItem(`its labels have ${shape.length} dimensions: expected 1`);
  if (shape[0] !== count) throw new BadItem(`it has ${count} records, but ${shape[0]} labels`);
  if (kind === "class" && type.name.startsWith("f"))
    throw new BadItem(`its labels are ${type.name}: classes are integers`);
}

function readValues(view: DataView, { type, start, end }: Header, count: number): Float32Array | Uint8Array {
  if (type.name === "u8") return new Uint8Array(view.buffer, view.byteOffset + start, end - start);
  const values = new Float32Array((end - start) / type.bytes);
  const width = values.length / count;
  for (let i = 0; i < values.length; i++) {
    const value = type.get(view, start + i * type.bytes);
    values[i] = value;
    if (!Number.isFinite(values[i]))
      throw new BadItem(
        `${idxRecord(Math.floor(i / width))}: value ${(i % width) + 1} is ${value}: not finite as a 32-bit float`,
      );
  }
  return values;
}

/** The file's bytes, decompressed; no more is read than the header of the records allows. */
async function readWhole(path: string, bytesMax: number): Promise<Uint8Array> {
  let bytes = Buffer.alloc(0);
  let length = 0;
  let limit: number | undefined;
  for await (const chunk of chunksOf(openBytes(path, Infinity))) {
    if (length + chunk.length > bytes.length)
      bytes = Buffer.concat([bytes.subarray(0, length)], Math.max(2 * bytes.length, length + chunk.length));
    bytes.set(chunk, length);
    length += chunk.length;
    limit ??= limitOf(bytes.subarray(0, length), bytesMax);
    if (limit !== undefined && length > limit)
      throw new BadItem(`it has more bytes than its header says: ${limit} at most`);
  }
  if (length < 2) throw new BadItem("it is empty");
  return bytes.subarray(0, length);
}

/** Where a file that starts so has to end at the latest: labels have 8 bytes at most. */
function limitOf(start: Uint8Array, bytesMax: number): number | undefined {
  if (start.length < 4 || start.length < 4 + 4 * start[3]!) return undefined;
  const header = readHeader(new DataView(start.buffer, start.byteOffset, start.byteLength), 0, "records");
  const count = checkRecords(header, bytesMax);
  return header.end + 8 + 8 * count;
}

/**
 * Event files of TensorBoard: records of TensorFlow's framing, each a protocol buffer of type Event. Only what scalars need.
 * @see https://github.com/tensorflow/tensorboard tensorboard/compat/proto/{event,summary}.proto
 */

export type Scalars = Readonly<Record<string, number>>;

/** The first record of each file: says how the others are read. */
export function versionRecord(wallMs: number): Uint8Array {
  return record(event(wallMs, 0, bytesField(3, utf8("brain.Event:2"))));
}

export function scalarsRecord(wallMs: number, step: number, scalars: Scalars): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytesField(1, Buffer.concat([bytesField(1, utf8(tag)), floatField(2, value)])),
  );
  return record(event(wallMs, step, bytesField(5, Buffer.concat(values))));
}

/** What was said of this step and of later ones is not so any more: training has gone back, and comes again. */
export function restartRecord(wallMs: number, step: number): Uint8Array {
  const SESSION_START = 1;
  return record(event(wallMs, step, bytesField(7, varintField(1, SESSION_START))));
}

function event(wallMs: number, step: number, what: Uint8Array): Uint8Array {
  return Buffer.concat([doubleField(1, wallMs / 1_000), step === 0 ? Buffer.alloc(0) : varintField(2, step), what]);
}

/** Length and data, each followed by its checksum. */
function record(data: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.byteLength));
  return Buffer.concat([length, checksum(length), data, checksum(data)]);
}

/** CRC-32C, rotated and moved, as TensorFlow does so that a checksum of checksums is one too. */
function checksum(data: Uint8Array): Uint8Array {
  const crc = crc32c(data);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return bytes;
}

const CASTAGNOLI = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1;
  return crc;
});

/** @see RFC 3720, appendix B.4 */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Types of fields on the wire. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const tag = (field: number, type: number): Uint8Array => Uint8Array.of((field << 3) | type);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Uint8Array.of(...bytes, rest);
}

function varintField(field: number, value: number): Uint8Array {
  return Buffer.concat([tag(field, VARINT), varint(value)]);
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([tag(field, BYTES), varint(bytes.byteLength), bytes]);
}

function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, FIXED64), bytes]);
}

function floatField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(field, FIXED32), bytes]);
}

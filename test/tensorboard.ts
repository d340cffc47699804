/** Reads event files: by a few lines of our own, and by TensorBoard itself where ACCRETE_PYTHON names a Python that has it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../cli/event-file.ts";

/** Path of a Python with the package tensorboard; undefined: what needs it is skipped. */
export const PYTHON = process.env["ACCRETE_PYTHON"];

export interface Read {
  readonly step: number;
  readonly wallSeconds: number;
  readonly scalars: Readonly<Record<string, number>>;
  readonly restart: boolean;
}

/** The events of the one file of a run, each checksum checked. */
export function readRun(folder: string): Read[] {
  const [name, ...others] = readdirSync(folder);
  if (name === undefined || others.length > 0) throw new Error(`${folder}: ${readdirSync(folder).join(", ")}`);
  const bytes = readFileSync(join(folder, name));
  const events: Read[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + size);
    const sums = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12 + size)];
    if (sums[0] !== masked(bytes.subarray(at, at + 8)) || sums[1] !== masked(data)) throw new Error("a wrong checksum");
    events.push(readEvent(data));
    at += 16 + size;
  }
  return events;
}

function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function readEvent(data: Buffer): Read {
  const fields = readFields(data);
  const bytesOf = (field: number): Buffer | undefined => fields.find(([of]) => of === field)?.[1] as Buffer | undefined;
  const scalars: Record<string, number> = {};
  for (const [, value] of readFields(bytesOf(5) ?? Buffer.alloc(0))) {
    const [name, number] = readFields(value as Buffer).map(([, of]) => of as Buffer);
    scalars[name!.toString()] = number!.readFloatLE();
  }
  return {
    step: Number(fields.find(([of]) => of === 2)?.[1] ?? 0),
    wallSeconds: bytesOf(1)!.readDoubleLE(),
    scalars,
    restart: bytesOf(7) !== undefined,
  };
}

function readFields(data: Buffer): [field: number, value: number | Buffer][] {
  const fields: [number, number | Buffer][] = [];
  let at = 0;
  const varint = (): number => {
    for (let [value, scale] = [0, 1]; ; scale *= 128) {
      const byte = data[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < data.length) {
    const [key, type] = [data[at]! >> 3, data[at++]! & 7];
    if (type === 0) fields.push([key, varint()]);
    else {
      const size = type === 1 ? 8 : type === 5 ? 4 : varint();
      fields.push([key, data.subarray(at, (at += size))]);
    }
  }
  return fields;
}

const SCRIPT = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))
`;

/** What TensorBoard itself finds in a run: for each tag its [step, value]. */
export function readByTensorBoard(python: string, folder: string): Record<string, [number, number][]> {
  const out = execFileSync(python, ["-c", SCRIPT, folder], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return JSON.parse(out) as Record<string, [number, number][]>;
}

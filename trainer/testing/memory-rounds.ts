/** A round by the trainer's process on data of a chosen size: the most memory that the process had, and the bits of its result. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import { planKey } from "../../protocol/keys.ts";
import { dense, INPUT, moduleOf, newFolder, Place } from "./rounds.ts";

const WIDTH = 1_024;
const MIB = 2 ** 20;
const ITEM_RECORDS = 1_024; // 4 MiB

/** An IDX file of floats, and labels 0 to 9. */
function idx(item: number): Buffer {
  const header = Buffer.from(Uint8Array.of(0, 0, 0x0d, 2, 0, 0, 0, 0, 0, 0, 0, 0));
  header.writeUInt32BE(ITEM_RECORDS, 4);
  header.writeUInt32BE(WIDTH, 8);
  const values = Buffer.alloc(4 * ITEM_RECORDS * WIDTH);
  for (let i = 0; i < ITEM_RECORDS * WIDTH; i++) values.writeFloatBE(((i * 7_919 + item * 31) % 1_009) / 1_009, 4 * i);
  const labelHeader = Buffer.from(Uint8Array.of(0, 0, 0x08, 1, 0, 0, 0, 0));
  labelHeader.writeUInt32BE(ITEM_RECORDS, 4);
  return Buffer.concat([
    header,
    values,
    labelHeader,
    Buffer.from(Uint8Array.from({ length: ITEM_RECORDS }, (_, i) => (i + item) % 10)),
  ]);
}

/** @param memoryMib what data.memory says */
export async function roundOf(
  dataFolder: string,
  memoryMib: number,
): Promise<{ peakMib: number; bits: Record<string, string> }> {
  const state = newFolder();
  const place = new Place(openDirectoryStore(state), dataFolder);
  await place.plan({
    module: moduleOf(dense("classes", "out", INPUT)),
    data: { format: "idx", holdout: 0, memory: memoryMib * MIB },
    trainer: { epochs: 1, batchSize: 256 },
  });
  const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts")], {
    env: {
      ...process.env,
      ACCRETE_PLAN: planKey(1),
      ACCRETE_SCRATCH: newFolder(),
      ACCRETE_STATE: pathToFileURL(state).href,
      ACCRETE_DATA: pathToFileURL(dataFolder).href,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  let peakMib = 0;
  const looks = setInterval(() => (peakMib = Math.max(peakMib, peakOf(child.pid!))), 20);
  await once(child, "close");
  clearInterval(looks);
  if (child.exitCode !== 0) throw new Error(`exit ${child.exitCode}: ${said}`);
  return { peakMib: Math.round(peakMib), bits: await place.bits() };
}

/** Since its start, in MiB; 0: it is gone. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

/** Files of so many MiB of packed records. */
export function dataOf(mib: number): string {
  const folder = newFolder();
  const place = new Place(undefined, folder);
  for (let item = 0; item < mib / 4; item++) place.put(`${item}.idx`, idx(item));
  return folder;
}

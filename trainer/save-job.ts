/** One checkpoint written: tensors to files, hashed on the way, then all of it into the store. On the training thread, or beside it. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Store } from "../protocol/ports.ts";
import type { TensorKind } from "../protocol/safetensors.ts";
import type { Checkpoint } from "../protocol/types.ts";
import { save, type About, type FileToSave, type Saved } from "./checkpoint.ts";
import { writeSafetensors, type TensorData } from "./safetensors.ts";

export interface TensorFile {
  readonly name: string;
  readonly tensors: readonly TensorKind[];
  /** a value that is not finite is an error: no later run could go on from it */
  readonly finite: boolean;
}

/** All of a checkpoint but the tensors' values, which come in the order in which they are listed here. */
export interface SaveJob {
  readonly about: About;
  readonly texts: readonly { readonly name: string; readonly text: string }[];
  readonly tensorFiles: readonly TensorFile[];
  /** files that are as in `before`, and need not be looked at */
  readonly unchanged: readonly string[];
  readonly before: Saved;
  /** for the message: "step 7 of the round" */
  readonly after: string;
}

export interface Written {
  readonly checkpoint: Checkpoint;
  /** its files, for the next save's `before` */
  readonly saved: Saved;
}

/**
 * Nothing is in the store before all of its files are on disk.
 * @param folder of this save alone; it is made, and gone afterwards
 * @param next gives the next tensor's values
 * @throws {AccreteError} LOSS_NOT_FINITE, before anything is in the store
 */
export async function writeCheckpoint(
  store: Store,
  folder: string,
  job: SaveJob,
  next: () => Promise<TensorData>,
): Promise<Written> {
  await mkdir(folder, { recursive: true });
  try {
    const files: FileToSave[] = [];
    for (const { name, text } of job.texts) {
      const path = join(folder, name);
      await writeFile(path, text, { flush: true });
      files.push({ name, path, sha256: sha256(text), size: Buffer.byteLength(text) });
    }
    for (const { name, tensors, finite } of job.tensorFiles) {
      const path = join(folder, name);
      const values = async ({ name: tensor }: TensorKind): Promise<TensorData> => {
        const data = await next();
        if (finite && !isFiniteAll(data))
          throw new AccreteError("LOSS_NOT_FINITE", `${tensor} is not finite after ${job.after}`);
        return data;
      };
      files.push({ name, path, ...(await writeSafetensors(path, tensors, values)) });
    }
    return await save(store, files, job);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** All ones: infinite, or not a number. */
const EXPONENT = 0x7f80_0000;

/** By the bits: several times as fast as asking each number. */
export function isFiniteAll(data: TensorData): boolean {
  if (data instanceof Float64Array) return data.every(Number.isFinite);
  if (!(data instanceof Float32Array)) return true;
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & EXPONENT) === EXPONENT) return false;
  return true;
}

/** The weights of a warm start, from the state store. */
import { join } from "node:path";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { startKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { isBroken } from "./begin.ts";
import type { SavedTensors } from "./restore.ts";
import { openSafetensors } from "./safetensors.ts";

/** @param sha256 that the plan names @throws {AccreteError} START_NOT_WHOLE */
export async function readStart(store: Store, sha256: string, scratch: string): Promise<SavedTensors> {
  const key = startKey(sha256);
  const broken = (why: string, cause?: unknown): AccreteError => new AccreteError("START_NOT_WHOLE", why, { cause });
  const path = join(scratch, "start.safetensors");
  const read = await store.readToFile(key, path, { readOnly: true });
  if (read === undefined) throw broken(`${key} is not there`);
  if (read.sha256 !== sha256) throw broken(`${key} is not what its name says`);
  try {
    return openSafetensors(path, key);
  } catch (cause) {
    if (isBroken(cause)) throw broken(messageOf(cause), cause);
    throw cause;
  }
}

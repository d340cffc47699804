/** The weights of a warm start that were made ready before, as a deploy does it: one safetensors file. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { StartWeights } from "../protocol/ports.ts";

/** @param path of the file, which stays where it is */
export function openStartFile(path: string): StartWeights {
  return {
    async read() {
      const hash = createHash("sha256");
      try {
        await pipeline(createReadStream(path), hash);
      } catch (cause) {
        throw new AccreteError("START_NOT_READABLE", `${path}: ${messageOf(cause)}`, { cause });
      }
      return { path, sha256: hash.digest("hex"), [Symbol.asyncDispose]: async () => undefined };
    },
  };
}

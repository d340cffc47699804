/** A bundled model module from the state store. */
import { writeFile } from "node:fs/promises";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { codeKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";

/** Writes the module to a file, to be imported. @throws {AccreteError} CODE_MISMATCH if it is missing or damaged */
export async function fetchCode(store: Store, code: string, path: string): Promise<void> {
  const stored = await store.get(codeKey(code));
  if (stored === undefined || sha256(stored.body) !== code) {
    throw new AccreteError(
      "CODE_MISMATCH",
      `${codeKey(code)} ${stored === undefined ? "is not there" : "is not what its name says"}`,
    );
  }
  await writeFile(path, stored.body);
}

/** What the user's model throws while it computes, as against what the machine does to it. */
import { AccreteError, messageOf } from "../protocol/errors.ts";

/** @param when "in step 7 of 20" */
export function modelThrows(cause: unknown, when: string): AccreteError {
  return new AccreteError("MODEL_INVALID", `the model throws ${when}: ${messageOf(cause)}`, { cause });
}

/** A file or a process: no room on the disk, no right to write. */
export function isOfSystem(thrown: unknown): boolean {
  return thrown instanceof Error && "syscall" in thrown;
}

/** As TensorFlow says it, op by op and in a graph. */
const OUT_OF_MEMORY = /OOM when allocating|TF_Status: 8\b/;

/**
 * Runs what the model has computed before: on other records it throws each time. A machine that is short of memory or disk may have more next time.
 * @throws {AccreteError} MODEL_INVALID; what may pass as it was thrown
 */
export function modelComputes<T>(work: () => T, when: () => string): T {
  try {
    return work();
  } catch (thrown) {
    const mayPass = isOfSystem(thrown) || OUT_OF_MEMORY.test(messageOf(thrown));
    throw mayPass || thrown instanceof AccreteError ? thrown : modelThrows(thrown, when());
  }
}

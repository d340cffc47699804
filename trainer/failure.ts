/** How the trainer ends when it can't go on: its exit code, and whether trying again is of any use. */
import { AccreteError, EXIT, messageOf, type ErrorCode } from "../protocol/errors.ts";
import { failureKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes } from "../protocol/types.ts";

/** What can't go on as things are: a failure record is left, so nothing is tried again by itself. Anything else may pass. */
const LASTING: Partial<Record<ErrorCode, number>> = {
  CONFIG_INVALID: EXIT.config,
  CODE_MISMATCH: EXIT.config,
  MODEL_NOT_LOADABLE: EXIT.config,
  MODEL_INVALID: EXIT.config,
  PARENT_NOT_WHOLE: EXIT.bug,
  START_NOT_WHOLE: EXIT.bug,
  LOSS_NOT_FINITE: EXIT.bug,
  TOO_MANY_REJECTED: EXIT.dataUnusable,
  BACKEND_NOT_USABLE: EXIT.unavailable,
  SCRATCH_NOT_WRITABLE: EXIT.unavailable,
  GPU_NOT_SEEN: EXIT.unavailable,
};

/** The data is unusable; names the items, the first few. */
export class DataUnusable extends AccreteError {
  readonly items: readonly string[];
  constructor(message: string, items: readonly string[]) {
    super("TOO_MANY_REJECTED", message);
    this.items = items;
  }
}

/** @returns the exit code */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof AccreteError)) return EXIT.bug;
  if (error.code === "PLAN_NOT_FOUND") return EXIT.usage;
  return LASTING[error.code] ?? EXIT.bug;
}

/** Leaves a failure record if trying again is of no use. */
export async function recordFailure(
  store: Store,
  at: { round: number; attempt: number },
  error: unknown,
): Promise<void> {
  if (!(error instanceof AccreteError) || LASTING[error.code] === undefined) return;
  const key = failureKey(at.round, at.attempt);
  const items = error instanceof DataUnusable ? error.items.slice(0, 20) : [];
  const message = messageOf(error).slice(0, 4_000);
  await store.create(
    key,
    documentBytes("failure", key, { format: 1, code: error.code, message, items: [...items], exit: exitCodeOf(error) }),
  );
}

/** What the ledger's programs are given. */
import type { PipelineConfig } from "../protocol/config.ts";
import type { Clock, Jobs, Notify, StartWeights, Store, Ticks } from "../protocol/ports.ts";

export interface Ledger {
  readonly config: PipelineConfig;
  /** begins at the pipeline's own prefix */
  readonly store: Store;
  readonly jobs: Jobs;
  readonly ticks: Ticks;
  readonly clock: Clock;
  readonly notify: Notify;
  /** the bundled model module, and what Batch needs to know (null on one machine) */
  readonly code: { readonly sha256: string; readonly body: Uint8Array };
  /** null: none. Read when a plan begins with them, so that nothing depends on them once something was trained */
  readonly start: StartWeights | null;
  readonly image: string | null;
  readonly jobDefinition: string | null;
}

/** What a command is given: it writes an entry and plans nothing, so it needs no model. */
export type CommandLedger = Pick<Ledger, "config" | "store" | "jobs" | "ticks" | "clock" | "notify">;

/** A tick is asked for a little later than it is due: a store's clock may be coarse (S3: seconds). */
export const LATE_MS = 2_000;

/** Requests of one kind that are under way at once. */
const PARALLEL = 16;

/** Like Promise.all over `each`, but never more than PARALLEL at once; results in the order of `of`. */
export async function inParallel<T, R>(of: readonly T[], each: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < of.length) {
      const i = next++;
      results[i] = await each(of[i]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, of.length) }, worker));
  return results;
}

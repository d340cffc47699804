import { NOTHING_SPENT } from "./budget.ts";
import type { Checkpoint, Kept, LogEntry, Redo, Spent } from "./types.ts";

/** The state that the newest log entry says; before the first one `START`. */
export interface Head {
  readonly seq: number;
  /** digest of the entry's bytes: the next entry's `parent` */
  readonly sha256: string | null;
  /** null: there is no entry yet */
  readonly entry: LogEntry | null;
  readonly round: number;
  readonly checkpoint: Checkpoint | null;
  readonly redo: Redo | null;
  readonly live: Checkpoint | null;
  readonly keep: readonly Kept[];
  readonly scheduled: number;
  readonly spent: Spent;
  /** when the store got the entry, by its clock */
  readonly modifiedMs: number;
}

export const START: Head = {
  seq: 0,
  sha256: null,
  entry: null,
  round: 0,
  checkpoint: null,
  redo: null,
  live: null,
  keep: [],
  scheduled: 0,
  spent: NOTHING_SPENT,
  modifiedMs: 0,
};

export function headOf(entry: LogEntry, stored: { sha256: string; modifiedMs: number }): Head {
  const { seq, round, checkpoint, redo, live, keep, scheduled, spent } = entry;
  return { seq, round, checkpoint, redo, live, keep, scheduled, spent, entry, ...stored };
}

/** No weights yet: no round, or only such in which nothing could be trained. */
export function isUntrained({ checkpoint }: Pick<Head, "checkpoint">): boolean {
  return checkpoint === null || checkpoint.step === 0;
}

export function sameCheckpoint(a: Checkpoint | null, b: Checkpoint | null): boolean {
  return a === null || b === null ? a === b : a.manifest === b.manifest && a.sha256 === b.sha256;
}

/** The head is a round that the gate refused, and nobody has said yet how to go on. */
export function isRefused(head: Head): boolean {
  return head.entry?.kind === "round" && !head.entry.gate.passed;
}

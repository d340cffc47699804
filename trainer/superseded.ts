import { attemptsPrefix, logKey, LOG, parseAttemptKey, resultKey, seqOfLogKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { parseDocument } from "../protocol/types.ts";

/** Why this run is one too many; undefined if it is wanted. Only to save money: a run too many does no harm. */
export async function supersededBy(store: Store, at: { round: number; attempt: number }): Promise<string | undefined> {
  const [newest] = (await store.list(LOG, { limit: 1 })).objects;
  const seq = newest === undefined ? undefined : seqOfLogKey(newest.key);
  const stored = seq === undefined ? undefined : await store.get(logKey(seq));
  if (seq !== undefined && stored !== undefined) {
    const { round } = parseDocument("logEntry", logKey(seq), stored.body);
    if (round >= at.round) return `round ${at.round} is closed: the log is at round ${round}`;
  }
  if ((await store.head(resultKey(at.round))) !== undefined) return `round ${at.round} has its result`;
  const { objects } = await store.list(attemptsPrefix(at.round));
  // an intent alone proves no job
  const newer = objects
    .map(({ key }) => parseAttemptKey(key))
    .find((key) => key?.what === "job" && key.attempt > at.attempt);
  return newer === undefined ? undefined : `attempt ${newer.attempt} of round ${at.round} has a job`;
}

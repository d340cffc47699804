/** What a schedule needs of the state: from when on it is to be made up. */
import { logKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { listInbox, readHead } from "./read.ts";

/**
 * Due times up to this one need not be made up: the newest that was acted on; before there was any, when the pipeline
 * began, since nothing could be missed before.
 */
export async function scheduledUntil(store: Store): Promise<number> {
  const { head, nowMs } = await readHead(store);
  if (head.scheduled > 0) return head.scheduled;
  if (head.seq > 0) return (await store.head(logKey(1)))?.modifiedMs ?? nowMs;
  const { segments } = await listInbox(store);
  return Math.min(nowMs, ...segments.map(({ modifiedMs }) => modifiedMs));
}

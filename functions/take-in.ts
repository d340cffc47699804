/** One delivery of news becomes segments of the inbox. */
import { intake } from "../ledger/intake.ts";
import { inParallel, type Ledger } from "../ledger/ledger.ts";
import type { Arrival } from "../protocol/ports.ts";
import { SEGMENT_ITEMS_MAX } from "../protocol/types.ts";
import { parseNews } from "./arrivals.ts";
import type { Log } from "./log.ts";
import { messagesOf, responseOf, type BatchResponse } from "./sqs.ts";

export interface IntakePorts {
  readonly ledger: Pick<Ledger, "config" | "store" | "ticks" | "clock">;
  /** that of the data: news of another one are not this pipeline's */
  readonly bucket: string;
  readonly log: Log;
}

/** Requesters of one delivery that get segments of their own; strangers may be many, and each segment costs a request. */
const REQUESTERS_MAX = 16;
const OTHERS = "others";

interface Group {
  readonly requester: string;
  readonly arrivals: Arrival[];
  readonly messages: Set<string>;
}

/**
 * @param event an SQS batch
 * @returns the messages that are to come again: those of a group that could not be written, and those that can't be understood, which
 * end among the dead letters
 */
export async function takeIn({ ledger, bucket, log }: IntakePorts, event: unknown): Promise<BatchResponse> {
  const failed = new Set<string>();
  const dropped = new Map<string, number>();
  const drop = (why: string): void => void dropped.set(why, (dropped.get(why) ?? 0) + 1);
  const groups = new Grouped();
  const messages = messagesOf(event);
  for (const message of messages) {
    const parsed = parseNews(message.body);
    for (const what of parsed.dropped) drop(`no news: ${what}`.slice(0, 100));
    for (const { arrival, requester } of parsed.news) {
      if (arrival.bucket === bucket) groups.add(arrival, requester, message.id);
      else drop("other-bucket");
    }
    if (parsed.unreadable === undefined) continue;
    failed.add(message.id);
    log.warn("news-unreadable", { message: message.id, because: parsed.unreadable });
  }
  let accepted = 0;
  // beside each other: what one group waits for must not keep the others from being written
  await inParallel(groups.all(), async ({ requester, arrivals, messages }) => {
    try {
      const report = await intake(ledger, arrivals);
      accepted += report.accepted;
      for (const { because } of report.dropped) drop(because);
      if (report.segments.length > 0)
        log.info("taken-in", { requester, items: report.accepted, segments: report.segments });
    } catch (error) {
      for (const id of messages) failed.add(id);
      log.error("not-taken-in", error, { requester, news: arrivals.length });
    }
  });
  log.info("delivery", {
    messages: messages.length,
    accepted,
    failed: failed.size,
    dropped: Object.fromEntries([...dropped].slice(0, 20)),
  });
  return responseOf(failed);
}

/** By requester, so that a segment's line in the log says who put its items there; at most a segment's worth each. */
class Grouped {
  readonly #open = new Map<string, Group>();
  readonly #full: Group[] = [];
  readonly #requesters = new Set<string>();

  add(arrival: Arrival, requester: string, message: string): void {
    if (this.#requesters.size < REQUESTERS_MAX) this.#requesters.add(requester);
    const name = this.#requesters.has(requester) ? requester : OTHERS;
    const group = this.#open.get(name) ?? { requester: name, arrivals: [], messages: new Set<string>() };
    group.arrivals.push(arrival);
    group.messages.add(message);
    this.#open.set(name, group);
    if (group.arrivals.length < SEGMENT_ITEMS_MAX) return;
    this.#open.delete(name);
    this.#full.push(group);
  }

  all(): Group[] {
    return [...this.#full, ...this.#open.values()];
  }
}

/** Finds what the news missed: lists the data and takes in what is neither in the inbox nor consumed. */
import { itemId } from "../protocol/digest.ts";
import { dropReason, type DropReason } from "../protocol/intake.ts";
import type { Items } from "../protocol/ports.ts";
import { intake, type IntakeReport } from "./intake.ts";
import type { Ledger } from "./ledger.ts";
import { consumedOnce, inboxPages, readSegments } from "./read.ts";

export interface SweepReport extends Pick<IntakeReport, "accepted" | "segments"> {
  /** how many objects do not count, and why: they are met again at each sweep */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  readonly pages: number;
  readonly seen: number;
}

/** What it reads may be stale: an item taken in twice is one item, and costs a GET. */
export async function sweep(
  ledger: Pick<Ledger, "config" | "store" | "ticks" | "clock">,
  items: Items,
): Promise<SweepReport> {
  const { store, config } = ledger;
  const waiting = await itemsInInbox(ledger);
  // a page has items of nearly every shard: read anew for each, the shards would be most of what a sweep costs
  const readConsumed = consumedOnce(store);
  const segments: string[] = [];
  const dropped: Partial<Record<DropReason, number>> = {};
  let [pages, seen, accepted] = [0, 0, 0];
  let next: string | undefined;
  do {
    const page = await items.list(config.data.prefix, next);
    const wanted = page.items.filter((arrival) => {
      const because = dropReason(arrival, config.data);
      if (because !== undefined) dropped[because] = (dropped[because] ?? 0) + 1;
      return because === undefined && !waiting.has(itemId(arrival));
    });
    const consumed = await readConsumed(wanted.map(itemId));
    const report = await intake(
      ledger,
      wanted.filter((item) => !consumed.has(itemId(item))),
    );
    segments.push(...report.segments);
    accepted += report.accepted;
    seen += page.items.length;
    pages++;
    next = page.next;
  } while (next !== undefined);
  return { pages, seen, accepted, segments, dropped };
}

async function itemsInInbox({ store }: Pick<Ledger, "store">): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const page of inboxPages(store)) {
    const { whole } = await readSegments(store, page);
    for (const { items } of whole) for (const item of items) ids.add(itemId(item));
  }
  return ids;
}

/** Finds what the news missed: lists the data and takes in what is neither in the inbox nor consumed. */
import { itemId } from "../protocol/digest.ts";
import { dropReason, type DropReason } from "../protocol/intake.ts";
import type { Arrival, Items } from "../protocol/ports.ts";
import { intake, type IntakeReport } from "./intake.ts";
import type { Ledger } from "./ledger.ts";
import { consumedOnce, inboxPages, readSegments } from "./read.ts";

const SEGMENTS_AT_ONCE = 32;

export interface SweepReport extends Pick<IntakeReport, "accepted" | "segments"> {
  /** how many objects do not count, and why: they are met again at each sweep */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  readonly pages: number;
  readonly seen: number;
  /** there are more pages than it may list: nothing was taken in */
  readonly tooMany: boolean;
}

/**
 * What it reads may be stale: an item taken in twice is one item, and costs a GET.
 * @param options.pagesMax of more than so many pages it takes nothing in @default Infinity
 */
export async function sweep(
  ledger: Pick<Ledger, "config" | "store" | "ticks" | "clock">,
  items: Items,
  { pagesMax = Infinity }: { readonly pagesMax?: number } = {},
): Promise<SweepReport> {
  const { store, config } = ledger;
  const ahead = pagesMax === Infinity ? undefined : await listAhead(items, config.data.prefix, pagesMax);
  if (ahead?.tooMany === true)
    return {
      pages: ahead.pages.length,
      seen: ahead.pages.reduce((sum, page) => sum + page.length, 0),
      accepted: 0,
      segments: [],
      dropped: {},
      tooMany: true,
    };
  const waiting = await itemsInInbox(ledger);
  // a page has items of nearly every shard: read anew for each, the shards would be most of what a sweep costs
  const readConsumed = consumedOnce(store);
  const segments: string[] = [];
  const dropped: Partial<Record<DropReason, number>> = {};
  let [pages, seen, accepted] = [0, 0, 0];
  for await (const page of ahead?.pages ?? pagesOf(items, config.data.prefix)) {
    const wanted = page.filter((arrival) => {
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
    seen += page.length;
    pages++;
  }
  return { pages, seen, accepted, segments, dropped, tooMany: false };
}

async function* pagesOf(items: Items, prefix: string): AsyncGenerator<readonly Arrival[]> {
  let next: string | undefined;
  do {
    const page = await items.list(prefix, next);
    yield page.items;
    next = page.next;
  } while (next !== undefined);
}

/** So many pages and no more: whether there are others is known before anything else is read. */
async function listAhead(
  items: Items,
  prefix: string,
  pagesMax: number,
): Promise<{ pages: (readonly Arrival[])[]; tooMany: boolean }> {
  const pages: (readonly Arrival[])[] = [];
  let next: string | undefined;
  do {
    const page = await items.list(prefix, next);
    pages.push(page.items);
    next = page.next;
  } while (next !== undefined && pages.length < pagesMax);
  return { pages, tooMany: next !== undefined };
}

async function itemsInInbox({ store }: Pick<Ledger, "store">): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const page of inboxPages(store))
    // a few at a time: a page may name a million items
    for (let from = 0; from < page.length; from += SEGMENTS_AT_ONCE) {
      const { whole } = await readSegments(store, page.slice(from, from + SEGMENTS_AT_ONCE));
      for (const { items } of whole) for (const item of items) ids.add(itemId(item));
    }
  return ids;
}

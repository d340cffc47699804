/** What became of one object: each version (etag) ever seen of it, and where it is now. Reads all of the history, so it may take its time. */
import type { PipelineConfig } from "../protocol/config.ts";
import { itemId } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { arrivedItem, dropReason, type DropReason } from "../protocol/intake.ts";
import { planKey } from "../protocol/keys.ts";
import type { Arrival, Items, Store } from "../protocol/ports.ts";
import type { Item, RejectedItem } from "../protocol/types.ts";
import { readLine, readRedo } from "./line.ts";
import { inboxPages, readCommitted, readDocument, readEntry, readHead, readSegments } from "./read.ts";

/** Something that happened to a version, oldest first. */
export type Event =
  | {
      readonly what: "trained";
      readonly round: number;
      readonly seq: number;
      readonly atMs: number;
      readonly onLine: boolean;
    }
  | {
      readonly what: "rejected";
      readonly round: number;
      readonly seq: number;
      readonly atMs: number;
      readonly code: RejectedItem["code"];
      readonly message: string;
    }
  /** in the plan of a round that was closed without a commit */
  | { readonly what: "given-up"; readonly round: number }
  | {
      readonly what: "taken-out" | "asked-again";
      readonly seq: number;
      readonly atMs: number;
      readonly by: string;
      readonly reason: string;
    };

export type Whereabouts =
  /** the head's checkpoint has learned it */
  | { readonly is: "learned"; readonly round: number }
  | { readonly is: "being-learned"; readonly round: number }
  /** a rollback left it to be trained again */
  | { readonly is: "to-redo" }
  | { readonly is: "waiting"; readonly segment: string; readonly sinceMs: number }
  | { readonly is: "rejected"; readonly round: number; readonly code: RejectedItem["code"]; readonly message: string }
  | { readonly is: "taken-out"; readonly seq: number; readonly reason: string }
  /** consumed, but the head's checkpoint has not seen it: the rounds that trained it were left by a rollback */
  | { readonly is: "left-by-rollback"; readonly rounds: readonly number[] }
  /** in the data folder, and no news of it has come yet */
  | { readonly is: "not-taken-in" }
  /** in the data folder, but it does not count */
  | { readonly is: "ignored"; readonly because: DropReason }
  /** it was only in plans of rounds that were given up, and is in no inbox: its segment must have been damaged or deleted by hand */
  | { readonly is: "lost" };

export interface Version {
  readonly itemId: string;
  readonly item: Item;
  /** it is what lies in the data folder now */
  readonly present: boolean;
  readonly events: readonly Event[];
  readonly now: Whereabouts;
}

interface Found {
  readonly item: Item;
  present: boolean;
  /** of what lies in the data folder now */
  modifiedMs: number | undefined;
  readonly events: Event[];
  openPlan: number | undefined;
  segment: { key: string; sinceMs: number } | undefined;
  inRedo: boolean;
}

export interface WhyPorts {
  readonly store: Store;
  readonly items: Items;
  readonly config: PipelineConfig;
}

/**
 * All versions of an object, in the order in which they were seen.
 * @param query the object's key, or an itemId
 * @returns empty if nothing is known of it
 */
export async function why(ports: WhyPorts, query: string): Promise<Version[]> {
  return (await whyOf(ports, [query])).versions[0]!;
}

/**
 * The same of several objects, in one pass over the history.
 * @returns the versions of each query, and all keys that any entry, plan or segment has
 */
export async function whyOf(
  { store, items, config }: WhyPorts,
  queries: readonly string[],
): Promise<{ versions: Version[][]; keys: Set<string> }> {
  const found = new Map<string, Found>();
  const asked = new Set(queries);
  const keys = new Set<string>();
  const note = (item: Item): Found | undefined => {
    keys.add(item.key);
    const id = itemId(item);
    if (!asked.has(item.key) && !asked.has(id)) return undefined;
    const known = found.get(id) ?? {
      item,
      present: false,
      modifiedMs: undefined,
      events: [],
      openPlan: undefined,
      segment: undefined,
      inRedo: false,
    };
    found.set(id, known);
    return known;
  };

  const { head } = await readHead(store);
  const line = new Set((await readLine(store, head.seq)).rounds);
  await noteHistory(store, head, line, note);
  await noteOpenPlan(store, head, note);
  for (const item of (await readRedo(store, head.redo)).items.values()) {
    const one = note(item);
    if (one !== undefined) one.inRedo = true;
  }
  await noteInbox(store, note);

  for (const key of new Set([...queries, ...[...found.values()].map(({ item }) => item.key)])) {
    const arrival = await listed(items, key);
    if (arrival === undefined) continue;
    const one = note(arrivedItem(arrival));
    if (one === undefined) continue;
    one.present = true;
    one.modifiedMs = arrival.modifiedMs;
  }
  const versions = [...found].map(([id, one]) => ({
    itemId: id,
    item: one.item,
    present: one.present,
    events: one.events,
    now: whereabouts(one, config),
  }));
  return {
    versions: queries.map((query) => versions.filter((one) => one.item.key === query || one.itemId === query)),
    keys,
  };
}

/** The item that has this key now. */
async function listed(items: Items, key: string): Promise<Arrival | undefined> {
  try {
    // a LIST with the key as its prefix has the key itself first
    const page = await items.list(key);
    return page.items.find((item) => item.key === key);
  } catch (error) {
    // what can't be a key, as a path from the root, is not there
    if (error instanceof AccreteError && error.code === "UNSAFE_KEY") return undefined;
    throw error;
  }
}

type Note = (item: Item) => Found | undefined;

async function noteHistory(store: Store, head: Head, line: ReadonlySet<number>, note: Note): Promise<void> {
  for (let seq = 1; seq <= head.seq; seq++) {
    const entry = (await readEntry(store, seq)).document;
    if (entry.kind === "round") {
      const { plan, result } = await readCommitted(store, entry);
      const rejected = new Map(result.rejected.map((one) => [itemId(one.item), one]));
      for (const item of plan.items) {
        const refusal = rejected.get(itemId(item));
        const at = { round: entry.round, seq, atMs: entry.at };
        note(item)?.events.push(
          refusal === undefined
            ? { what: "trained", ...at, onLine: line.has(entry.round) }
            : { what: "rejected", ...at, code: refusal.code, message: refusal.message },
        );
      }
    } else if (entry.kind === "rollback") {
      // it closes the round that was open, if there was one
      const plan = await readDocument(store, "plan", planKey(entry.round));
      for (const item of plan?.document.items ?? []) note(item)?.events.push({ what: "given-up", round: entry.round });
      const said = { seq, atMs: entry.at, by: entry.by, reason: entry.reason };
      for (const item of entry.without) note(item)?.events.push({ what: "taken-out", ...said });
      for (const item of entry.with) note(item)?.events.push({ what: "asked-again", ...said });
    }
  }
}

async function noteOpenPlan(store: Store, head: Head, note: Note): Promise<void> {
  const round = head.round + 1;
  const plan = await readDocument(store, "plan", planKey(round));
  for (const item of plan?.document.items ?? []) {
    const one = note(item);
    if (one !== undefined) one.openPlan = round;
  }
}

async function noteInbox(store: Store, note: Note): Promise<void> {
  for await (const page of inboxPages(store)) {
    const modified = new Map(page.map(({ key, modifiedMs }) => [key, modifiedMs]));
    for (const { key, items } of (await readSegments(store, page)).whole) {
      for (const item of items) {
        const one = note(item);
        if (one !== undefined) one.segment ??= { key, sinceMs: modified.get(key)! };
      }
    }
  }
}

function whereabouts(found: Found, config: PipelineConfig): Whereabouts {
  const { events } = found;
  const trained = events.filter((event) => event.what === "trained");
  const onLine = trained.find((event) => event.onLine);
  if (onLine !== undefined) return { is: "learned", round: onLine.round };
  if (found.openPlan !== undefined) return { is: "being-learned", round: found.openPlan };
  if (found.inRedo) return { is: "to-redo" };
  // what an entry consumed is waiting no more, even if its segment is still there
  const last = events.findLast(
    (event) => event.what === "trained" || event.what === "rejected" || event.what === "taken-out",
  );
  if (last?.what === "rejected") return { is: "rejected", round: last.round, code: last.code, message: last.message };
  if (last?.what === "taken-out") return { is: "taken-out", seq: last.seq, reason: last.reason };
  if (last?.what === "trained") return { is: "left-by-rollback", rounds: trained.map(({ round }) => round) };
  if (found.segment !== undefined) return { is: "waiting", segment: found.segment.key, sinceMs: found.segment.sinceMs };
  const { item, modifiedMs } = found;
  const because = dropReason(modifiedMs === undefined ? item : { ...item, modifiedMs }, config.data);
  if (found.present && because !== undefined) return { is: "ignored", because };
  return found.present ? { is: "not-taken-in" } : { is: "lost" };
}

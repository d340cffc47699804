import { compareBytes, itemId, sha256 } from "./digest.ts";
import { segmentKey } from "./keys.ts";
import type { Arrival } from "./ports.ts";
import { documentBytes, Item, SEGMENT_ITEMS_MAX } from "./types.ts";

export interface IntakePolicy {
  readonly prefix: string;
  readonly suffixes: readonly string[];
  /** milliseconds; what was last written before does not count. null: all does */
  readonly since: number | null;
}

export type DropReason = "other-prefix" | "other-suffix" | "folder-marker" | "empty" | "too-old" | "not-an-item";

/** Why an arrival does not count; undefined if it does. */
export function dropReason(arrival: Arrival, policy: IntakePolicy): DropReason | undefined {
  const { modifiedMs } = arrival;
  const item = arrivedItem(arrival);
  if (!item.key.startsWith(policy.prefix)) return "other-prefix";
  if (item.key.endsWith("/")) return "folder-marker";
  if (policy.suffixes.length > 0 && !policy.suffixes.some((suffix) => item.key.endsWith(suffix))) return "other-suffix";
  if (item.size === 0) return "empty";
  if (policy.since !== null && modifiedMs !== undefined && modifiedMs < policy.since) return "too-old";
  return Item.safeParse(item).success ? undefined : "not-an-item";
}

/** What is stored of an arrival. */
export function arrivedItem(arrival: Arrival): Item {
  const item: Item & { modifiedMs?: number } = { ...arrival };
  delete item.modifiedMs;
  return item;
}

/** By key's bytes, then etag: the order of a plan and of a segment. */
export function compareItems(a: Item, b: Item): number {
  return compareBytes(a.key, b.key) || compareBytes(a.etag, b.etag) || compareBytes(a.bucket, b.bucket);
}

export interface SegmentToWrite {
  readonly key: string;
  readonly body: Uint8Array;
  readonly items: readonly Item[];
}

/**
 * One delivery as segments: each item once, in a fixed order, at most SEGMENT_ITEMS_MAX and at most maxBytes of data each (but
 * one item always fits). The same delivery at the same time has the same keys.
 */
export function segmentsOf(items: readonly Item[], options: { nowMs: number; maxBytes: number }): SegmentToWrite[] {
  const once = new Map(items.map((item) => [itemId(item), item]));
  const sorted = [...once.values()].sort(compareItems);
  const groups: Item[][] = [];
  let bytes = 0;
  for (const item of sorted) {
    const group = groups.at(-1);
    if (group === undefined || group.length >= SEGMENT_ITEMS_MAX || bytes + item.size > options.maxBytes) {
      groups.push([item]);
      bytes = item.size;
    } else {
      group.push(item);
      bytes += item.size;
    }
  }
  return groups.map((group) => toSegment(group, options.nowMs));
}

function toSegment(items: Item[], ms: number): SegmentToWrite {
  const body = documentBytes("segment", "segment", { format: 1, items });
  const bytes = items.reduce((sum, item) => sum + item.size, 0);
  return { key: segmentKey({ ms, count: items.length, bytes, sha256: sha256(body) }), body, items };
}

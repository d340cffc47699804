import { createHash } from "node:crypto";
import type { PipelineConfig } from "./config.ts";
import { itemId } from "./digest.ts";
import { isUntrained, type Head } from "./head.ts";
import { compareItems } from "./intake.ts";
import type { Item, Plan } from "./types.ts";

export interface SegmentRead {
  readonly key: string;
  readonly items: readonly Item[];
}

export interface PlanLimits {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/**
 * Whole segments, oldest first, up to the limits but at least one that has an item left. A segment is never taken in part:
 * it is deleted as a whole once its plan is committed.
 * @param segments in the order of their keys, oldest first
 * @param consumed ids of all consumed items among these
 */
export function chooseSegments(
  segments: readonly SegmentRead[],
  consumed: ReadonlySet<string>,
  limits: PlanLimits,
): { items: Item[]; segments: string[] } {
  const chosen = new Map<string, Item>();
  const keys: string[] = [];
  let bytes = 0;
  for (const segment of segments) {
    const added = new Map<string, Item>();
    for (const item of segment.items) {
      const id = itemId(item);
      if (!consumed.has(id) && !chosen.has(id)) added.set(id, item);
    }
    const addedBytes = [...added.values()].reduce((sum, item) => sum + item.size, 0);
    const fits = chosen.size + added.size <= limits.maxItems && bytes + addedBytes <= limits.maxBytes;
    if (chosen.size > 0 && added.size > 0 && !fits) break;
    for (const [id, item] of added) chosen.set(id, item);
    bytes += addedBytes;
    keys.push(segment.key);
  }
  return { items: [...chosen.values()].sort(compareItems), segments: keys };
}

/** 1..2^32-1 from config seed, pipeline and round: the same deliveries give the same plans everywhere. */
export function seedOf(configSeed: number, pipeline: string, round: number): number {
  const digest = createHash("sha256").update(`${configSeed}\0${pipeline}\0${round}`).digest();
  return digest.readUInt32BE(0) || 1; // 0 is no seed to some of tfjs's generators
}

/** What a deployment brings to each plan, beside the config. */
export interface Deployed {
  /** digest of the bundled model module */
  readonly code: string;
  /** digest of the weights of a warm start; null: none */
  readonly start: string | null;
  readonly image: string | null;
  readonly jobDefinition: string | null;
}

export function makePlan(
  head: Head,
  config: PipelineConfig,
  deployed: Deployed,
  work: { kind: Plan["kind"]; items: readonly Item[]; segments: readonly string[]; scheduled: number },
): Plan {
  const round = head.round + 1;
  return {
    format: 1,
    pipeline: config.name,
    round,
    kind: work.kind,
    items: [...work.items].sort(compareItems),
    segments: [...work.segments],
    parent: head.checkpoint,
    live: head.live,
    epochsToAdd: config.trainer.epochs,
    trainer: config.trainer,
    data: config.data,
    ...deployed,
    start: isUntrained(head) ? deployed.start : null,
    seed: seedOf(config.trainer.seed, config.name, round),
    scheduled: work.scheduled,
  };
}

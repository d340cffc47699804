/** Reading a line of history: what trained a checkpoint. Only commands and full retraining need it, so it may take its time. */
import { itemId } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { beforeOnLine, decodeRedo, itemSet, minus, union, type ItemSet } from "../protocol/history.ts";
import { planKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import type { Item, Plan, Redo } from "../protocol/types.ts";
import { readCommitted, readDocument, readEntry, readPlanItems } from "./read.ts";

/**
 * The plan of the round after the head's. Undefined also where it is damaged: what ends the round has to be able to end this one as well, and
 * loses nothing but the time of a schedule.
 */
export async function readOpenPlan(store: Store, head: Head): Promise<Plan | undefined> {
  try {
    return (await readDocument(store, "plan", planKey(head.round + 1)))?.document;
  } catch (error) {
    if (error instanceof AccreteError && error.code.startsWith("STORED_")) return undefined;
    throw error;
  }
}

export interface Line {
  /** rounds that trained the checkpoint, newest first */
  readonly rounds: readonly number[];
  /** what they trained: their plans' items less the rejected ones */
  readonly trained: ItemSet;
  /** the items of their plans, by round */
  readonly plans: ReadonlyMap<number, ItemSet>;
}

/** The line of the state after entry `seq`; 0: nothing trained. */
export async function readLine(store: Store, seq: number): Promise<Line> {
  const plans = new Map<number, ItemSet>();
  const trained = new Map<string, Item>();
  for (let at = seq; at > 0;) {
    const entry = (await readEntry(store, at)).document;
    if (entry.kind === "round") {
      const { plan, result } = await readCommitted(store, entry);
      const items = itemSet(plan.items);
      plans.set(entry.round, items);
      const rejected = new Set(result.rejected.map(({ item }) => itemId(item)));
      for (const [id, item] of minus(items, rejected)) trained.set(id, item);
    }
    at = beforeOnLine(entry);
  }
  return { rounds: [...plans.keys()], trained, plans };
}

/** How many items trained the state after entry `seq`: of each entry what it says, so no plan is read. */
export async function countTrained(store: Store, seq: number): Promise<number> {
  let trained = 0;
  for (let at = seq; at > 0;) {
    const entry = (await readEntry(store, at)).document;
    if (entry.kind === "round") trained += entry.items - entry.rejected;
    at = beforeOnLine(entry);
  }
  return trained;
}

/** The items that a redo means, and those of the plans it names. */
export async function readRedo(
  store: Store,
  redo: Redo | null,
): Promise<{ items: ItemSet; plans: ReadonlyMap<number, ItemSet> }> {
  const plans = new Map<number, ItemSet>();
  for (const round of redo?.rounds ?? []) plans.set(round, await readPlanItems(store, round));
  return { items: decodeRedo(redo, (round) => plans.get(round)!), plans };
}

/** All that the head's line has trained or was to redo, and the items of the plans it comes from. */
export async function readReplay(
  store: Store,
  head: Head,
): Promise<{ items: ItemSet; plans: ReadonlyMap<number, ItemSet> }> {
  const line = await readLine(store, head.seq);
  const redo = await readRedo(store, head.redo);
  return { items: union(line.trained, redo.items), plans: new Map([...line.plans, ...redo.plans]) };
}

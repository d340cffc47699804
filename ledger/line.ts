/** Reading a line of history: what trained a checkpoint. Only commands and full retraining need it, so it may take its time. */
import { itemId } from "../protocol/digest.ts";
import { beforeOnLine, decodeRedo, itemSet, minus, type ItemSet } from "../protocol/history.ts";
import type { Store } from "../protocol/ports.ts";
import type { Item, Redo } from "../protocol/types.ts";
import { readCommitted, readEntry, readPlanItems } from "./read.ts";

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

/** The items that a redo means, and those of the plans it names. */
export async function readRedo(
  store: Store,
  redo: Redo | null,
): Promise<{ items: ItemSet; plans: ReadonlyMap<number, ItemSet> }> {
  const plans = new Map<number, ItemSet>();
  for (const round of redo?.rounds ?? []) plans.set(round, await readPlanItems(store, round));
  return { items: decodeRedo(redo, (round) => plans.get(round)!), plans };
}

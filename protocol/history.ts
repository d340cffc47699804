/** Lines of history: which rounds trained a checkpoint, and what is to be trained again after a rollback. */
import { itemId } from "./digest.ts";
import type { Item, LogEntry, Redo } from "./types.ts";

/** Items by id. */
export type ItemSet = ReadonlyMap<string, Item>;

/**
 * The entry whose state this one's checkpoint goes back to: the one before, and from a rollback on its target. Followed down
 * to 0 it gives the line, whose `round` entries trained the checkpoint.
 */
export function beforeOnLine(entry: LogEntry): number {
  return entry.kind === "rollback" ? entry.to : entry.seq - 1;
}

export function itemSet(items: Iterable<Item>): Map<string, Item> {
  return new Map([...items].map((item) => [itemId(item), item]));
}

export function union(...sets: readonly ItemSet[]): Map<string, Item> {
  return new Map(sets.flatMap((set) => [...set]));
}

export function minus(set: ItemSet, ...others: readonly { has(id: string): boolean }[]): Map<string, Item> {
  return new Map([...set].filter(([id]) => !others.some((other) => other.has(id))));
}

/**
 * What a rollback leaves to be trained again: the target's own redo, with replay what the head's line has trained or was to
 * redo, all of it less what the target's line has trained; and what was asked for again, less what is taken out.
 */
export function redoItems(sets: {
  targetRedo: ItemSet;
  /** empty without replay */
  replayed: ItemSet;
  targetTrained: ItemSet;
  with: ItemSet;
  without: ItemSet;
}): Map<string, Item> {
  const base = minus(union(sets.targetRedo, sets.replayed), sets.targetTrained);
  return minus(union(base, minus(sets.with, sets.targetTrained)), sets.without);
}

/**
 * A set of items in the log's short form: whole plans of rounds, less these, plus these.
 * @param plans the items of the plans that may be named, by round
 */
export function encodeRedo(wanted: ItemSet, plans: ReadonlyMap<number, ItemSet>): Redo | null {
  if (wanted.size === 0) return null;
  const useful = [...plans].filter(([, items]) => {
    const shared = [...items.keys()].filter((id) => wanted.has(id)).length;
    return shared * 2 > items.size; // else naming its items one by one is shorter
  });
  const named = union(...useful.map(([, items]) => items));
  return {
    rounds: useful.map(([round]) => round).sort((a, b) => a - b),
    less: [...minus(named, wanted).keys()].sort(),
    plus: [...minus(wanted, named).values()],
  };
}

/** The items that a redo means. @param planItems the items of a round's plan, by id */
export function decodeRedo(redo: Redo | null, planItems: (round: number) => ItemSet): Map<string, Item> {
  if (redo === null) return new Map();
  const less = new Set(redo.less);
  const whole = minus(union(...redo.rounds.map(planItems)), less);
  return union(whole, itemSet(redo.plus));
}

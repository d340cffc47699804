/** Which ticks a batch of messages comes to: as few as say the same. */
import { canonicalJson } from "../protocol/digest.ts";
import type { Tick } from "../protocol/ports.ts";

/** Clocks of sender and receiver differ; what is due so soon is due. */
const EARLY_MS = 1_000;

/** A tick with the messages that ask for it. */
export interface Wish {
  readonly tick: Tick;
  readonly dueMs: number;
  readonly messages: readonly string[];
}

export interface Due {
  /** to be run now, in this order */
  readonly now: readonly Wish[];
  /** came too early: to be asked for again */
  readonly later: readonly Wish[];
}

/**
 * Equal ticks are one. Of segments' the newest stands for all, as it alone speaks for the inbox, and so does a schedule's newest: one
 * round, not one for each. The net's tick is needed only if there is no other. The rest, operators' and plain ones, keep the order in which
 * they came.
 */
export function dueTicks(wishes: readonly Wish[], nowMs: number): Due {
  const isEarly = ({ dueMs }: Wish): boolean => dueMs - nowMs > EARLY_MS;
  const now = together(
    wishes.filter((wish) => !isEarly(wish)),
    nameOf,
  );
  const others = now.filter(({ tick }) => tick.kind !== "net");
  const first = others[0];
  return {
    now:
      first === undefined
        ? now
        : [
            withMessages(
              first,
              now.filter(({ tick }) => tick.kind === "net"),
            ),
            ...others.slice(1),
          ],
    // of two that are equal but for their time, each may be the one that counts
    later: together(wishes.filter(isEarly), (wish) =>
      isForNewest(wish) ? nameOf(wish) : `${nameOf(wish)} ${wish.dueMs}`,
    ),
  };
}

function together(wishes: readonly Wish[], name: (wish: Wish) => string): Wish[] {
  const byName = new Map<string, Wish>();
  for (const wish of wishes) {
    const key = name(wish);
    const before = byName.get(key);
    if (before === undefined) byName.set(key, wish);
    // in the place of the first that came
    else byName.set(key, isNewer(wish, before) ? withMessages(wish, [before]) : withMessages(before, [wish]));
  }
  return [...byName.values()];
}

const isForNewest = ({ tick }: Wish): boolean => tick.kind === "segment" || tick.kind === "schedule";

function nameOf(wish: Wish): string {
  return isForNewest(wish) ? wish.tick.kind : canonicalJson(wish.tick);
}

/** Segments' keys are in the order of their times. */
function isNewer(a: Wish, b: Wish): boolean {
  if (a.tick.kind === "segment" && b.tick.kind === "segment") return a.tick.segment > b.tick.segment;
  if (a.tick.kind === "schedule" && b.tick.kind === "schedule") return a.tick.timeMs > b.tick.timeMs;
  return false;
}

function withMessages(wish: Wish, others: readonly Wish[]): Wish {
  return { ...wish, messages: [...wish.messages, ...others.flatMap(({ messages }) => messages)] };
}

/** A choice of combinations in which each two values of different axes meet. */
import type { Random } from "../test/simulation/random.ts";

export type Axes<Name extends string> = Readonly<Record<Name, readonly string[]>>;
export type Combination<Name extends string> = Readonly<Record<Name, string>>;

/** All of them. */
export function combinations<Name extends string>(axes: Axes<Name>): Combination<Name>[] {
  let made: Record<string, string>[] = [{}];
  for (const [axis, values] of Object.entries<readonly string[]>(axes))
    made = made.flatMap((one) => values.map((value) => ({ ...one, [axis]: value })));
  return made as Combination<Name>[];
}

/** Few of them, so that each pair is in one: always the one next that has the most new pairs. @param random among equals */
export function pairwise<Name extends string>(axes: Axes<Name>, random: Random): Combination<Name>[] {
  const left = combinations(axes);
  const open = new Set(left.flatMap(pairsOf));
  const chosen: Combination<Name>[] = [];
  while (open.size > 0) {
    const newPairs = left.map((one) => pairsOf(one).filter((pair) => open.has(pair)).length);
    const most = Math.max(...newPairs);
    const best = random.pick(left.filter((_, i) => newPairs[i] === most));
    for (const pair of pairsOf(best)) open.delete(pair);
    chosen.push(best);
  }
  return chosen;
}

export function pairsOf(of: Readonly<Record<string, string>>): string[] {
  const values = Object.entries(of).map(([axis, value]) => `${axis}=${value}`);
  return values.flatMap((a, i) => values.slice(i + 1).map((b) => `${a} ${b}`));
}

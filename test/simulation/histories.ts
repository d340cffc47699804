import { mutated, type Mutation } from "./mutations.ts";
import * as api from "./under-test.ts";
import { runHistory } from "./world.ts";

/**
 * Runs histories of fixed seeds, the same in each run, and of fresh ones.
 * @returns what was broken, with the seed that repeats it: SIM_SEEDS=<seed> npm run simulate
 */
export async function brokenHistories(seeds: { from: number; fixed: number; fresh: number }): Promise<string[]> {
  const fresh = 1_000_000 + Math.floor(Math.random() * 1_000_000_000);
  const broken: string[] = [];
  for (let i = 0; i < seeds.fixed + seeds.fresh && broken.length < 3; i++) {
    const seed = i < seeds.fixed ? seeds.from + i : fresh + i;
    const { violation } = await runHistory(seed, api);
    if (violation !== undefined) broken.push(`SIM_SEEDS=${seed} npm run simulate: ${violation}`);
  }
  return broken;
}

/** Histories until a mutation counts as escaped. */
const HISTORIES_MAX = 1_500;

/** What gives the mutation away; undefined: nothing does. */
export async function catches(mutation: Mutation): Promise<string | undefined> {
  const broken = await mutated(mutation);
  for (let seed = 1; seed <= HISTORIES_MAX; seed++) {
    const { violation } = await runHistory(seed, broken, mutation.profile);
    if (violation !== undefined) return violation;
  }
  return undefined;
}

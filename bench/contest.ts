/** Runs contestants side by side: round by round, each in a process of its own, so that whatever slows the machine slows all of them. */
import { spawnSync } from "node:child_process";

export interface Contestant {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Contest {
  readonly name: string;
  /** of the figure that each contestant prints: "ms of CPU a step" */
  readonly unit: string;
  readonly ours: Contestant;
  readonly peers: readonly Contestant[];
  /** ours divided by the peer's is to be at most so much; null: our figure itself */
  readonly goals: readonly { readonly peer: string | null; readonly atMost: number }[];
  /** on this core alone; null: on all */
  readonly core: number | null;
}

export interface Standing {
  readonly name: string;
  /** medians over the rounds */
  readonly figure: number;
  /** ours divided by it: the median of the rounds' own ratios; undefined for ours */
  readonly ratio?: number;
  readonly all: readonly number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** @throws {Error} if a contestant fails or prints no figure */
export function runContest(contest: Contest, rounds: number, say: (line: string) => void): Standing[] {
  const contestants = [contest.ours, ...contest.peers];
  const figures = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    // another one begins each time
    for (let i = 0; i < contestants.length; i++) {
      const at = (i + round) % contestants.length;
      figures[at]!.push(runOne(contestants[at]!, contest.core));
    }
    say(
      `${contest.name}, round ${round + 1} of ${rounds}: ${contestants.map(({ name }, i) => `${name} ${shown(figures[i]!.at(-1)!)}`).join(", ")}`,
    );
  }
  const [ours] = figures;
  return contestants.map(({ name }, i) => {
    const all = figures[i]!;
    const standing = { name, figure: median(all), all };
    return i === 0 ? standing : { ...standing, ratio: median(all.map((figure, round) => ours![round]! / figure)) };
  });
}

function runOne({ name, command, env }: Contestant, core: number | null): number {
  const pinned = core !== null && process.platform === "linux" ? ["taskset", "-c", String(core), ...command] : command;
  const [program, ...args] = pinned;
  const { status, stdout, stderr } = spawnSync(program!, args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 1e8,
  });
  const last = stdout?.trim().split("\n").at(-1) ?? "";
  const figure = /^\{"figure": ?([\d.eE+-]+)\}$/.exec(last)?.[1];
  if (status !== 0 || figure === undefined)
    throw new Error(`${name} ended with ${status} and no figure:\n${stdout}\n${stderr}`);
  return Number(figure);
}

export const shown = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toFixed(3);

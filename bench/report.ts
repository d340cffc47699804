/** The figures as a page: docs/benchmarks.md. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { shown, type Contest, type Standing } from "./contest.ts";
import type { Versions } from "./peers.ts";

export interface ContestResult {
  readonly contest: Contest;
  readonly standings: readonly Standing[];
}

export function tableOf(results: readonly ContestResult[]): string {
  const lines = [
    "| contest | unit | who | figure | ours / theirs | goal | |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const { contest, standings } of results) {
    for (const { name, figure, ratio } of standings) {
      const goal = contest.goals.find(({ peer }) => peer === (ratio === undefined ? null : name))?.atMost;
      const measured = ratio ?? figure;
      lines.push(
        `| ${ratio === undefined ? contest.name : ""} | ${ratio === undefined ? contest.unit : ""} | ${name} | ${shown(figure)} | ${ratio === undefined ? "" : ratio.toFixed(2)} | ${goal === undefined ? "" : `<= ${goal}`} | ${goal === undefined ? "" : measured <= goal ? "reached" : "missed"} |`,
      );
    }
  }
  return lines.join("\n");
}

export function reportText(
  results: readonly ContestResult[],
  { rounds, versions }: { rounds: number; versions: Versions },
): string {
  const named = Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
  return `# Benchmarks

Written by \`npm run bench -- --write\`: each contestant in a process of its own, in turns, ${rounds} rounds. A figure is the median of the rounds,
a ratio the median of the rounds' own ratios. Less is better; "ours / theirs" below 1 is faster than the peer. CPU time is that of the whole
process with all its threads, on one core that it is pinned to. Another machine has other figures; the ratios travel better.

Machine: ${(cpus()[0]?.model ?? "unknown").trim()}, ${cpus().length} cores; Node ${process.versions.node}; ${named}.

${tableOf(results)}

${readFileSync(new URL("./notes.md", import.meta.url), "utf8")}`;
}

/** How the head's checkpoint came to be, as curves: each epoch of its metrics.jsonl, each round of its line, and the open round so far. */
import { parseEpochMetrics, type EpochMetrics } from "../protocol/epoch-metrics.ts";
import type { Head } from "../protocol/head.ts";
import { beforeOnLine } from "../protocol/history.ts";
import { MANIFEST } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import type { RoundEntry } from "../protocol/types.ts";
import { listCheckpoints, type CheckpointFolder } from "./checkpoints.ts";
import { readDocument, readEntry, readHead } from "./read.ts";

export const METRICS_FILE = "metrics.jsonl";

export interface TrainedEpoch {
  readonly is: "epoch";
  readonly metrics: EpochMetrics;
  /** updates since nothing was trained */
  readonly step: number;
  /** about: in a committed round the time that its jobs ran, divided among its steps */
  readonly atMs: number;
}

export interface TrainedRound {
  readonly is: "round";
  readonly entry: RoundEntry;
  readonly step: number;
  readonly atMs: number;
}

export type HistoryPoint = TrainedEpoch | TrainedRound;

/** In the order of their steps; a round comes after its epochs. */
export async function readTrainingHistory(store: Store): Promise<HistoryPoint[]> {
  const { head } = await readHead(store);
  const rounds = await roundsOnLine(store, head.seq);
  const open = (await listCheckpoints(store, head.round + 1)).filter(({ whole }) => whole);
  const epochs = (await newestEpochs(store, head, open)) ?? [];
  const entries = new Map(rounds.map((entry) => [entry.round, entry]));
  const points: HistoryPoint[] = rounds.map((entry) => ({
    is: "round",
    entry,
    step: entry.checkpoint?.step ?? 0,
    atMs: entry.at,
  }));
  let beforeStep = 0;
  for (const [round, of] of Map.groupBy(epochs, (epoch) => epoch.round)) {
    const entry = entries.get(round);
    const lastStep = of.at(-1)!.step;
    for (const metrics of of) {
      const left = (lastStep - metrics.step) / Math.max(1, lastStep - beforeStep);
      const atMs = entry === undefined ? savedMs(open, metrics.step) : entry.at - entry.jobMs * left;
      points.push({ is: "epoch", metrics, step: metrics.step, atMs });
    }
    beforeStep = lastStep;
  }
  return points.sort((a, b) => a.step - b.step || (a.is === b.is ? 0 : a.is === "epoch" ? -1 : 1));
}

/** Oldest first. */
async function roundsOnLine(store: Store, seq: number): Promise<RoundEntry[]> {
  const rounds: RoundEntry[] = [];
  for (let at = seq; at > 0;) {
    const entry = (await readEntry(store, at)).document;
    if (entry.kind === "round") rounds.unshift(entry);
    at = beforeOnLine(entry);
  }
  return rounds;
}

/** Of the open round's newest checkpoint, else of the head's. undefined: nothing was trained, or it was deleted just now. */
async function newestEpochs(
  store: Store,
  { checkpoint }: Head,
  open: readonly CheckpointFolder[],
): Promise<EpochMetrics[] | undefined> {
  const key = open.length > 0 ? open.at(-1)!.prefix + MANIFEST : checkpoint?.manifest;
  if (key === undefined) return undefined;
  const manifest = await readDocument(store, "manifest", key);
  if (!manifest?.document.files.some(({ name }) => name === METRICS_FILE)) return undefined;
  const metricsKey = key.slice(0, -MANIFEST.length) + METRICS_FILE;
  const stored = await store.get(metricsKey);
  return stored && parseEpochMetrics(metricsKey, new TextDecoder().decode(stored.body));
}

/** When the open round's checkpoint of that step was saved. */
function savedMs(open: readonly CheckpointFolder[], step: number): number {
  return (open.find((folder) => folder.step >= step) ?? open.at(-1))?.modifiedMs ?? 0;
}

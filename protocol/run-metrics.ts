/** Metrics of the run that made a result, as against those of the model: figures of a machine, which no decision rests on. */
import type { Metrics } from "./types.ts";

const PREFIX = "run.";

/** seconds, run.seconds.train, run.stepMs.p50, run.examplesPerSecond, run.peakBytes ... */
export function isOfRun(name: string): boolean {
  return name === "seconds" || name.startsWith(PREFIX);
}

export function withoutRun(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !isOfRun(name)));
}

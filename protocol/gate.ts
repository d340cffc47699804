import type { GateConfig, KeepConfig } from "./config-parts.ts";
import { sameCheckpoint, type Head } from "./head.ts";
import type { GateDecision, Plan, Result } from "./types.ts";

const LESS_IS_BETTER = new Set(["loss", "mae", "mse"]);

/** By how much `ours` is worse, in the metric's own unit; negative: better. */
export function worseBy(metric: string, ours: number, other: number): number {
  return LESS_IS_BETTER.has(metric) ? ours - other : other - ours;
}

/** The metric by which the best checkpoint is kept; null: none is. */
export function bestMetric(config: { readonly gate: GateConfig | null; readonly keep: KeepConfig }): string | null {
  return config.keep.best ? (config.gate?.metric ?? null) : null;
}

/**
 * Whether the round's checkpoint goes live. It is measured against the live checkpoint of its plan; if live has changed
 * since, it stays as it is and nothing is refused.
 */
export function decideGate(gate: GateConfig | null, plan: Plan, result: Result, head: Head): GateDecision {
  const decide = (
    passed: boolean,
    goesLive: boolean,
    because: GateDecision["because"],
    ...reasons: string[]
  ): GateDecision => ({ passed, goesLive, because, reasons });
  if (result.stepsAdded === 0) return decide(true, false, "nothing-trained", "no record was trained: live stays");
  if (!sameCheckpoint(plan.live, head.live))
    return decide(true, false, "live-changed", "live was changed while this round was trained: it stays");
  if (gate === null) return decide(true, true, "no-gate");
  if (plan.live === null) return decide(true, true, "first");

  const ours = result.metrics[gate.metric];
  const lives = result.liveMetrics?.[gate.metric];
  if (ours === undefined && result.metrics["holdoutRecords"] === 0) {
    return decide(true, true, "not-measured", "there is no record in the holdout yet");
  }
  if (ours === undefined || lives === undefined) {
    return decide(
      false,
      false,
      "not-measured",
      `${gate.metric} of ${ours === undefined ? "this round" : "live"} could not be measured`,
    );
  }
  const drop = worseBy(gate.metric, ours, lives);
  const reason = `${gate.metric} ${format(lives)} -> ${format(ours)}`;
  if (drop > gate.maxDrop)
    return decide(false, false, "worse", `${reason}: worse by ${format(drop)}, at most ${gate.maxDrop} allowed`);
  return decide(true, true, "within", reason);
}

const format = (value: number): string => value.toFixed(4);

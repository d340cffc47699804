import { describe, expect, it } from "vitest";
import { sampleCheckpoint, sampleHead, samplePlan, sampleResult } from "../test/stored-documents.ts";
import type { GateConfig } from "./config-parts.ts";
import { decideGate } from "./gate.ts";
import type { GateDecision, Result } from "./types.ts";

const LIVE = sampleCheckpoint(1);
const head = sampleHead({ seq: 1, round: 1, checkpoint: LIVE, live: LIVE });
const plan = samplePlan({ live: LIVE });
const gate: GateConfig = { metric: "accuracy", maxDrop: 0.02, onFail: "hold" };
const decide = (
  part: Partial<Result>,
  options: { gate?: GateConfig | null; plan?: typeof plan; head?: typeof head } = {},
): GateDecision =>
  decideGate(
    options.gate === undefined ? gate : options.gate,
    options.plan ?? plan,
    sampleResult(part),
    options.head ?? head,
  );
const accuracy = (ours: number, lives: number): Partial<Result> => ({
  metrics: { accuracy: ours },
  liveMetrics: { accuracy: lives },
});

const UP = { passed: true, goesLive: true };
const HELD = { passed: false, goesLive: false };
const STAYS = { passed: true, goesLive: false };

describe("a round's checkpoint goes live", () => {
  it("if it is no worse than live by more than maxDrop", () => {
    expect(decide(accuracy(0.9, 0.91))).toEqual({ ...UP, because: "within", reasons: ["accuracy 0.9100 -> 0.9000"] });
    expect(decide(accuracy(0.99, 0.5))).toMatchObject(UP);
    expect(decide(accuracy(0.5, 0.5), { gate: { ...gate, maxDrop: 0 } })).toMatchObject(UP);
    expect(decide(accuracy(0.25, 0.75), { gate: { ...gate, maxDrop: 0.5 } })).toMatchObject(UP);
  });

  it("if there is no gate, whatever it measures", () => {
    expect(decide(accuracy(0, 1), { gate: null })).toEqual({ ...UP, because: "no-gate", reasons: [] });
  });

  it("if nothing was live before", () => {
    const first = { plan: samplePlan({ live: null }), head: sampleHead() };
    expect(decide({ metrics: {}, liveMetrics: null }, first)).toEqual({ ...UP, because: "first", reasons: [] });
  });

  it("if there is no record to measure it on yet", () => {
    expect(decide({ metrics: { holdoutRecords: 0 }, liveMetrics: {} })).toMatchObject({
      ...UP,
      because: "not-measured",
    });
  });
});

describe("a round's checkpoint is refused", () => {
  it("if it is worse by more, with the figures in the reason", () => {
    expect(decide(accuracy(0.8, 0.9))).toEqual({
      ...HELD,
      because: "worse",
      reasons: ["accuracy 0.9000 -> 0.8000: worse by 0.1000, at most 0.02 allowed"],
    });
    expect(decide(accuracy(0.49, 0.5), { gate: { ...gate, maxDrop: 0 } })).toMatchObject(HELD);
  });

  it.each(["loss", "mae", "mse"] as const)("if its %s is higher by more: less is better", (metric) => {
    const options = { gate: { ...gate, metric } };
    const measured = (ours: number, lives: number): Partial<Result> => ({
      metrics: { [metric]: ours },
      liveMetrics: { [metric]: lives },
    });
    expect(decide(measured(0.5, 0.4), options)).toMatchObject({ ...HELD, because: "worse" });
    expect(decide(measured(0.1, 0.4), options)).toMatchObject({ ...UP, because: "within" });
  });

  it("if it can't be compared: its own metric or live's is missing", () => {
    expect(decide({ metrics: { holdoutRecords: 5 }, liveMetrics: { accuracy: 0.9 } })).toEqual({
      ...HELD,
      because: "not-measured",
      reasons: ["accuracy of this round could not be measured"],
    });
    for (const liveMetrics of [null, {}]) {
      expect(decide({ metrics: { accuracy: 0.9 }, liveMetrics })).toMatchObject({
        ...HELD,
        because: "not-measured",
        reasons: ["accuracy of live could not be measured"],
      });
    }
  });
});

describe("live stays and nothing is refused", () => {
  it("if live was changed while the round was trained, even if the round is worse", () => {
    const promoted = { ...head, live: sampleCheckpoint(7) };
    expect(decide(accuracy(0.1, 0.9), { head: promoted })).toMatchObject({ ...STAYS, because: "live-changed" });
    expect(decide(accuracy(0.9, 0.1), { head: { ...head, live: null } })).toMatchObject({
      ...STAYS,
      because: "live-changed",
    });
    expect(decide(accuracy(0.9, 0.1), { gate: null, head: promoted })).toMatchObject({
      ...STAYS,
      because: "live-changed",
    });
  });

  it("if no step was trained: all its items were rejected", () => {
    expect(decide({ ...accuracy(0.1, 0.9), stepsAdded: 0 })).toMatchObject({ ...STAYS, because: "nothing-trained" });
  });
});

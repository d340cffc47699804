import { describe, expect, it } from "vitest";
import { isProgress, shorterProgress } from "../protocol/training-progress.ts";
import { Progress } from "./progress.ts";
import { START } from "./state.ts";
import type { StepDone } from "./train.ts";

/** What is said of such steps, each at its time in milliseconds. */
function said(steps: readonly (Partial<StepDone> & { atMs: number })[], medianStepMs?: number): string[] {
  const lines: string[] = [];
  let now = 0;
  const say = (line: string): void => void lines.push(line);
  const progress = new Progress({
    say,
    nowMs: () => now,
    round: 3,
    epochs: 2,
    steps: 1_000,
    from: 0,
    medianStepMs: () => medianStepMs,
  });
  for (const { atMs, ...done } of steps) {
    now = atMs;
    progress.step({ position: START, batchRecords: 32, epochEnded: false, learningRate: 0.000_987_6, ...done });
  }
  return lines;
}

const at = (step: number): StepDone["position"] => ({ ...START, step, lossSum: 16, lossRecords: 32 });

describe("the progress of a training", () => {
  it("has loss, rate, speed, and what is left by the median step: at most once a second", () => {
    const lines = said(
      [
        { atMs: 600, position: at(1) },
        { atMs: 1_200, position: at(2) },
        { atMs: 1_800, position: at(3) },
      ],
      100,
    );
    expect(lines).toEqual(["round 3 epoch 1/2 step 2/1000 loss 0.5000 rate 0.000988 53 examples/s, 1 min 40 s left"]);
    expect(isProgress(lines[0]!.replace("round 3 ", ""))).toBe(true);
  });

  it("is said at an epoch's end, too, and at the last step nothing is left", () => {
    const ended = { ...START, epochIndex: 2, step: 1_000, epochLoss: 0.25 };
    expect(said([{ atMs: 10, position: ended, epochEnded: true }], 100)).toEqual([
      "round 3 epoch 2/2 step 1000/1000 loss 0.2500 rate 0.000988 3200 examples/s",
    ]);
  });

  it("says nothing of what is left before that is known", () => {
    expect(said([{ atMs: 2_000, position: at(1) }])[0]).toMatch(/examples\/s$/);
  });

  it("is told from other lines of a log", () => {
    expect(isProgress("resumes at step 4 of 9")).toBe(false);
    expect(isProgress("epoch 1/9 step 2 is slow")).toBe(false);
  });

  it("has shorter forms for a narrow terminal: what is left stays in each", () => {
    expect(shorterProgress("epoch 12/30 step 1692/4230 loss 0.0681 rate 1.06e-7 8398 examples/s, 18 s left")).toEqual([
      "epoch 12/30 step 1692/4230 loss 0.0681 8398 examples/s, 18 s left",
      "epoch 12/30 step 1692/4230 loss 0.0681, 18 s left",
    ]);
    expect(shorterProgress("resumes at step 4 of 9")).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";
import { epochLine, parseEpochMetrics } from "./epoch-metrics.ts";

describe("metrics.jsonl", () => {
  const metrics = { round: 1, epoch: 2, step: 20, trainLoss: 0.5, learningRate: 1e-7, holdout: { loss: 0.25 } };

  it("is read as it was written, also with what another version adds or lacks", () => {
    expect(parseEpochMetrics("k", epochLine(metrics) + epochLine({ ...metrics, epoch: 3 }))).toEqual([
      metrics,
      { ...metrics, epoch: 3 },
    ]);
    const [other] = parseEpochMetrics("k", '{"round":1,"epoch":1,"step":9,"trainLoss":null,"news":[1]}\n');
    expect(other).toMatchObject({ trainLoss: null, news: [1] });
    expect(parseEpochMetrics("k", "")).toEqual([]);
  });

  it("names what is wrong of a line, on one line", () => {
    expect(() => parseEpochMetrics("k", `{"round":1}\n`)).toThrow("k: line 1: epoch: Invalid input");
  });

  it.each(["{", '{"round":1}', "[]"])("that says %s is not readable, and the line is named", (line) => {
    expect(() => parseEpochMetrics("rounds/1/metrics.jsonl", `${epochLine(metrics)}${line}\n`)).toThrow(
      expect.objectContaining({
        code: "STORED_NOT_READABLE",
        message: expect.stringMatching(/^rounds\/1\/metrics\.jsonl: line 2: /),
      }),
    );
  });
});

import { describe, expect, it } from "vitest";
import { Timings } from "./timings.ts";

describe("the timings of a run", () => {
  it("are seconds of each part, added up, also of work that fails", async () => {
    let now = 0;
    const timings = new Timings(() => now);
    expect(await timings.measure("read", () => (now += 1_500))).toBe(1_500);
    await timings.measure("read", async () => void (now += 500));
    await expect(
      timings.measure("save", () => {
        now += 250;
        throw new Error("the disk is full");
      }),
    ).rejects.toThrow("the disk is full");
    expect(timings.medianStepMs).toBeUndefined();
    expect(timings.metrics()).toEqual({
      "run.seconds.stage": 0,
      "run.seconds.read": 2,
      "run.seconds.train": 0,
      "run.seconds.save": 0.25,
      "run.seconds.evaluate": 0,
    });
  });

  it("have the steps' percentiles, and examples a second of the steps alone", () => {
    const timings = new Timings(() => 0);
    for (let ms = 1; ms <= 100; ms++) timings.step(ms, 32);
    expect(timings.medianStepMs).toBeCloseTo(50, 0);
    const metrics = timings.metrics();
    expect(metrics["run.stepMs.p90"]).toBeCloseTo(90, 0);
    expect(metrics["run.stepMs.p99"]).toBeCloseTo(99, 0);
    expect(metrics["run.seconds.train"]).toBeCloseTo(5.05, 10);
    expect(metrics["run.examplesPerSecond"]).toBeCloseTo(3_200 / 5.05, 10);
  });

  it("count a step of no measurable time, and one of days", () => {
    const timings = new Timings(() => 0);
    timings.step(0, 1);
    expect(timings.medianStepMs).toBe(0.001);
    expect(timings.metrics()["run.examplesPerSecond"]).toBeUndefined();
    timings.step(3 * 86_400_000, 1);
    expect(timings.metrics()["run.stepMs.p99"]! / 86_400_000).toBeCloseTo(3, 2);
  });
});

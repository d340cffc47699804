/** The figures of a holdout against numbers worked out by hand; the network hands its inputs through. */
import { expect, it } from "vitest";
import { WITHOUT_NATIVE } from "./testing/backends.ts";
import { evaluate } from "./evaluate.ts";
import type { Model } from "./model.ts";
import { loadTf } from "./tf.ts";

const through: Model = { network: undefined as never, weights: [], apply: (x) => x };

it("mse, mae and loss of values, as a whole and by round", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const holdout = {
    count: 3,
    width: 1,
    features: Float32Array.of(1, 5, -2),
    labels: Float32Array.of(3, 4, -2),
    rounds: Int32Array.of(1, 1, 4),
  };
  const metrics = evaluate(tf, through, holdout, { inputShape: [1], classes: 1, task: "regression" }, null);
  expect(metrics).toEqual({ holdoutRecords: 3, loss: 5 / 3, mse: 5 / 3, mae: 1, "mse.round1": 2.5, "mse.round4": 0 });
});

it("accuracy and cross-entropy of scores, also of extreme ones and over more than a batch", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const shape = { inputShape: [2], classes: 2, task: "classification" } as const;
  const count = 600;
  const features = Float32Array.from({ length: count * 2 }, (_, i) => (i % 2 === 0 ? Math.log(3) : 0)); // 3/4 for the first class
  const labels = Int32Array.from({ length: count }, (_, i) => (i < 450 ? 0 : 1));
  const metrics = evaluate(
    tf,
    through,
    { count, width: 2, features, labels, rounds: new Int32Array(count).fill(2) },
    shape,
    null,
  );
  expect(metrics["accuracy"]).toBe(0.75);
  expect(metrics["accuracy.round2"]).toBe(0.75);
  expect(metrics["loss"]).toBeCloseTo(-(0.75 * Math.log(0.75) + 0.25 * Math.log(0.25)), 6);
  const extreme = {
    count: 1,
    width: 2,
    features: Float32Array.of(1e30, -1e30),
    labels: Int32Array.of(0),
    rounds: Int32Array.of(1),
  };
  expect(evaluate(tf, through, extreme, shape, null)).toMatchObject({ loss: 0, accuracy: 1 });
});

it("a figure that is not finite is left out, and inputs are scaled as in training", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const holdout = {
    count: 1,
    width: 1,
    features: Float32Array.of(NaN),
    labels: Float32Array.of(1),
    rounds: Int32Array.of(1),
  };
  const shape = { inputShape: [1], classes: 1, task: "regression" } as const;
  expect(evaluate(tf, through, holdout, shape, null)).toEqual({ holdoutRecords: 1 });
  const normalisation = { count: 4, mean: [10], m2: [16], frozen: false }; // (14 - 10) / 2 = 2
  expect(evaluate(tf, through, { ...holdout, features: Float32Array.of(14) }, shape, normalisation)["mae"]).toBe(1);
});

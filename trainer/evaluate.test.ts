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
  const metrics = await evaluate(
    tf,
    through,
    holdout,
    { inputShape: [1], classes: 1, task: "regression", loss: "mse", labelSmoothing: 0 },
    null,
  );
  expect(metrics).toEqual({
    holdoutRecords: 3,
    loss: 5 / 3,
    mse: 5 / 3,
    mae: 1,
    r2: expect.closeTo(1 - 5 / (62 / 3), 12),
    "mse.round1": 2.5,
    "mse.round4": 0,
  });
});

it("lets signals and timers come between its batches", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const shape = { inputShape: [1], classes: 1, task: "regression", loss: "mse", labelSmoothing: 0 } as const;
  const [features, labels] = [new Float32Array(600), new Float32Array(600)];
  let turns = 0;
  const timer = setImmediate(function count() {
    turns++;
    setImmediate(count).unref();
  });
  await evaluate(tf, through, { count: 600, width: 1, features, labels, rounds: new Int32Array(600) }, shape, null);
  clearImmediate(timer);
  expect(turns).toBeGreaterThanOrEqual(2);
});

it("accuracy and cross-entropy of scores, also of extreme ones and over more than a batch", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const shape = {
    inputShape: [2],
    classes: 2,
    task: "classification",
    loss: "cross-entropy",
    labelSmoothing: 0,
  } as const;
  const count = 600;
  const features = Float32Array.from({ length: count * 2 }, (_, i) => (i % 2 === 0 ? Math.log(3) : 0)); // 3/4 for the first class
  const labels = Int32Array.from({ length: count }, (_, i) => (i < 450 ? 0 : 1));
  const metrics = await evaluate(
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
  expect(await evaluate(tf, through, extreme, shape, null)).toMatchObject({ loss: 0, accuracy: 1 });
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
  const shape = { inputShape: [1], classes: 1, task: "regression", loss: "mse", labelSmoothing: 0 } as const;
  expect(await evaluate(tf, through, holdout, shape, null)).toEqual({ holdoutRecords: 1 });
  const normalisation = { count: 4, mean: [10], m2: [16], frozen: false }; // (14 - 10) / 2 = 2
  expect(
    (await evaluate(tf, through, { ...holdout, features: Float32Array.of(14) }, shape, normalisation))["mae"],
  ).toBe(1);
});

it.each([
  ["mae", (0.5 + 3 + 1) / 3],
  ["huber", (0.125 + 2.5 + 0.5) / 3],
] as const)("with %s as the loss, loss is its mean", async (loss, expected) => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const holdout = {
    count: 3,
    width: 1,
    features: Float32Array.of(1.5, 5, -2),
    labels: Float32Array.of(1, 2, -1),
    rounds: Int32Array.of(1, 1, 1),
  };
  const shape = { inputShape: [1], classes: 1, task: "regression", loss, labelSmoothing: 0 } as const;
  const metrics = await evaluate(tf, through, holdout, shape, null);
  expect(metrics["loss"]).toBeCloseTo(expected, 12);
  expect(metrics["mse"]).toBeCloseTo((0.25 + 9 + 1) / 3, 12);
});

it("f1 of classes: the mean over those that a record has or was said to have", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const shape = {
    inputShape: [4],
    classes: 4,
    task: "classification",
    loss: "cross-entropy",
    labelSmoothing: 0,
  } as const;
  const said = [0, 0, 1, 1, 2];
  const holdout = {
    count: 5,
    width: 4,
    features: Float32Array.from({ length: 20 }, (_, i) => (said[i >> 2] === i % 4 ? 1 : 0)),
    labels: Int32Array.of(0, 1, 1, 1, 0),
    rounds: Int32Array.of(1, 1, 2, 2, 2),
  };
  const metrics = await evaluate(tf, through, holdout, shape, null);
  // class 0: 1 hit, 1 wrong, 1 missed; class 1: 2 hits, 1 missed; class 2: 1 wrong; class 3: never
  expect(metrics["f1"]).toBeCloseTo((2 / 4 + 4 / 5 + 0) / 3, 12);
  expect(metrics).toMatchObject({
    accuracy: 0.6,
    "accuracy.round1": 0.5,
    "accuracy.round2": expect.closeTo(2 / 3, 12),
  });
});

it("multi-label: a class is said above a score of 0; loss over records and classes, accuracy of whole records, f1", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const shape = {
    inputShape: [2],
    classes: 2,
    task: "multi-label",
    loss: "binary-cross-entropy",
    labelSmoothing: 0,
  } as const;
  const holdout = {
    count: 3,
    width: 2,
    features: Float32Array.of(2, -1, 3, 1, -1, 0.5),
    labels: Float32Array.of(1, 0, 1, 0, 0, 0),
    rounds: Int32Array.of(1, 1, 2),
  };
  const metrics = await evaluate(tf, through, holdout, shape, null);
  const no = (score: number): number => Math.log1p(Math.exp(score));
  const yes = (score: number): number => Math.log1p(Math.exp(-score));
  expect(metrics["loss"]).toBeCloseTo((yes(2) + no(-1) + yes(3) + no(1) + no(-1) + no(0.5)) / 6, 12);
  // class 0: 2 hits; class 1: said wrongly twice
  expect(metrics).toEqual({
    holdoutRecords: 3,
    loss: metrics["loss"],
    accuracy: expect.closeTo(1 / 3, 12),
    f1: 0.5,
    f1Micro: expect.closeTo(4 / 6, 12),
    "accuracy.round1": 0.5,
    "accuracy.round2": 0,
  });
});

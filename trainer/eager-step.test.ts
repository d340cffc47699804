/** The optimizers and the step against numbers worked out by hand, on the wasm backend as in a round. */
import { beforeAll, describe, expect, it } from "vitest";
import type { OptimizerConfig } from "../protocol/trainer-config.ts";
import type { ModelDefinition } from "../protocol/model.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { planOf } from "./testing/plan.ts";
import { batchOf, built, runSteps, valuesOf } from "./testing/steps.ts";
import { buildModel } from "./model.ts";
import { createOptimizer } from "./optimizer.ts";
import type { Schema } from "./schema.ts";
import { EagerStepper } from "./eager-step.ts";
import { shapeOf, type Batch } from "./step.ts";
import { loadTf, type Backend, type LoadOptions, type Tf, type Variable } from "./tf.ts";

let tf: Tf;
let backend: Backend;
beforeAll(async () => {
  ({ tf, backend } = await loadTf(WITHOUT_NATIVE));
});

it("the backend is wasm, where the machine can run it", () => {
  expect([backend, tf.getBackend()]).toEqual(["wasm", "wasm"]);
});

const SGD: OptimizerConfig = { name: "sgd", learningRate: 0.1, momentum: 0, nesterov: false };
const MOMENTUM: OptimizerConfig = { name: "sgd", learningRate: 0.1, momentum: 0.9, nesterov: false };
const ADAM: OptimizerConfig = { name: "adam", learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

/** The variable after each of the gradients. */
function path(config: OptimizerConfig, gradients: readonly number[], from = 1): number[] {
  const optimizer = createOptimizer(config);
  const variable = tf.variable(tf.tensor1d([from]));
  const slots = new Map(optimizer.slotKinds.map((kind): [string, Variable] => [kind, tf.variable(tf.zeros([1]))]));
  return gradients.map((gradient, i) => {
    tf.tidy(() =>
      optimizer.apply(
        tf,
        { variable, gradient: tf.tensor1d([gradient]), slots },
        Object.fromEntries(
          Object.entries(optimizer.scalars({ learningRate: config.learningRate, update: i + 1 })).map(
            ([name, value]) => [name, tf.scalar(value)],
          ),
        ),
      ),
    );
    return variable.dataSync()[0]!;
  });
}

describe("after gradients 0.5 and -0.25 at a rate of 0.1, a weight of 1 is", () => {
  it.each([
    // w - 0.1 x 0.5; + 0.1 x 0.25
    ["sgd", SGD, [0.95, 0.975]],
    // v = 0.5, then 0.9 x 0.5 - 0.25 = 0.2
    ["sgd with momentum", MOMENTUM, [0.95, 0.93]],
    // m/(1-b1) = 0.5 and sqrt(v/(1-b2)) = 0.5: one rate; then 0.02/0.19 / sqrt(0.00031225/0.001999) = 0.266337 of it
    ["adam", ADAM, [0.9, 0.8733663]],
  ] as const)("%s", (_, config, expected) => {
    const found = path(config, [0.5, -0.25]);
    expected.forEach((value, i) => expect(found[i]).toBeCloseTo(value, 5));
  });

  it("adam: after a third gradient of 2, with other betas and an epsilon that counts", () => {
    const config = { ...ADAM, beta1: 0.5, beta2: 0.75, epsilon: 0.1 };
    let [w, m, v] = [1, 0, 0];
    const expected = [0.5, -0.25, 2].map((g, i) => {
      m = 0.5 * m + 0.5 * g;
      v = 0.75 * v + 0.25 * g * g;
      return (w -= (0.1 * Math.sqrt(1 - 0.75 ** (i + 1)) * m) / ((1 - 0.5 ** (i + 1)) * (Math.sqrt(v) + 0.1)));
    });
    path(config, [0.5, -0.25, 2]).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6));
  });
});

let models = 0;

/** A model of one dense layer that begins at 0, and its stepper. */
function zeros(
  optimizer: OptimizerConfig,
  task: Schema["task"],
  more: { frozen?: boolean; norm?: boolean; l2?: boolean; trainer?: object } = {},
): { stepper: EagerStepper; weights: () => Record<string, number[]> } {
  const schema: Schema = {
    format: 1,
    task,
    inputShape: [2],
    classes: task === "regression" ? [] : ["a", "b"],
    columns: null,
    label: null,
  };
  const definition: ModelDefinition = {
    build: (context) =>
      context.tf.sequential({
        layers: [
          ...(more.frozen === true
            ? [context.tf.layers.dense({ units: 2, inputShape: [2], name: "frozen", trainable: false })]
            : []),
          ...(more.norm === true ? [context.tf.layers.batchNormalization({ inputShape: [2], name: "norm" })] : []),
          context.tf.layers.dense({
            units: context.classes,
            inputShape: [2],
            kernelInitializer: "zeros",
            ...(more.l2 === true ? { kernelRegularizer: context.tf.regularizers.l2({ l2: 0.5 }) } : {}),
            name: `z${models}`,
          }),
        ],
      }),
  };
  models++;
  const plan = planOf({ optimizer, ...more.trainer }, 1);
  const model = buildModel(tf, definition, plan, schema);
  const stepper = new EagerStepper(tf, model, plan, shapeOf(schema, plan.trainer));
  return {
    stepper,
    weights: () =>
      Object.fromEntries(
        model.weights.map(({ name, variable }) => [name.replace(/\w\d+\//, ""), [...variable.dataSync()]]),
      ),
  };
}

const at = (step: number): { step: number; update: number; learningRate: number } => ({
  step,
  update: step + 1,
  learningRate: 0.1,
});

describe("a step", () => {
  it("of regression follows the mean squared error's gradient", () => {
    const { stepper, weights } = zeros(SGD, "regression");
    // two records with errors -3 and 1: loss 5; d/dW = mean(2 error x), d/db = mean(2 error)
    const batch: Batch = { size: 2, x: Float32Array.of(1, 2, 4, 0), y: Float32Array.of(3, -1) };
    expect(stepper.run(batch, at(0))).toBeCloseTo(5, 5);
    const { kernel, bias } = weights();
    expect(kernel![0]).toBeCloseTo(-0.1 * (-3 * 1 + 1 * 4), 6);
    expect(kernel![1]).toBeCloseTo(-0.1 * (-3 * 2), 6);
    expect(bias![0]).toBeCloseTo(-0.1 * (-3 + 1), 6);
  });

  it("of classification follows the softmax cross-entropy's gradient", () => {
    const { stepper, weights } = zeros(SGD, "classification");
    expect(stepper.run({ size: 1, x: Float32Array.of(1, 2), y: Int32Array.of(0) }, at(0))).toBeCloseTo(Math.LN2, 6);
    // probabilities are 1/2: d/dW = x (p - one-hot)
    [0.05, -0.05, 0.1, -0.1].forEach((value, i) => expect(weights()["kernel"]![i]).toBeCloseTo(value, 6));
    [0.05, -0.05].forEach((value, i) => expect(weights()["bias"]![i]).toBeCloseTo(value, 6));
  });

  it.each([
    ["sgd", SGD],
    ["momentum", { ...MOMENTUM, momentum: 0.5 }],
    ["adam", ADAM],
  ] as const)("many of them with %s find the line through the points, and leave no tensor behind", (_, optimizer) => {
    const { stepper, weights } = zeros(optimizer, "regression");
    const x = Float32Array.of(0, 0, 1, 0, 0, 1, 1, 1);
    const batch: Batch = { size: 4, x, y: Float32Array.of(1, 3, 0, 2) }; // 1 + 2 a - b
    stepper.run(batch, at(0));
    const { numTensors } = tf.memory();
    let loss = Infinity;
    for (let step = 1; step < 400; step++) loss = stepper.run(batch, at(step));
    expect(tf.memory().numTensors).toBe(numTensors);
    expect(loss).toBeLessThan(1e-4);
    [2, -1].forEach((value, i) => expect(weights()["kernel"]![i]).toBeCloseTo(value, 1));
    expect(weights()["bias"]![0]).toBeCloseTo(1, 1);
  });

  it("leaves a layer that is not trainable as it is, and keeps no slots for it", () => {
    const { stepper, weights } = zeros(ADAM, "regression", { frozen: true });
    expect(stepper.slots.filter(({ name }) => name.includes("frozen"))).toEqual([]);
    expect(stepper.slots.length).toBe(4);
    const before = weights();
    stepper.run({ size: 1, x: Float32Array.of(1, 2), y: Float32Array.of(3) }, at(0));
    const after = weights();
    for (const name of ["frozen/kernel", "frozen/bias"]) expect(after[name]).toEqual(before[name]);
    expect(after["bias"]).not.toEqual(before["bias"]);
  });

  it("that is only tried changes nothing, neither weights nor averages nor slots nor the count of tensors", () => {
    const { stepper, weights } = zeros(ADAM, "regression", { norm: true });
    const batch: Batch = { size: 2, x: Float32Array.of(1, 2, 5, 8), y: Float32Array.of(3, 4) };
    const [before, { numTensors }] = [weights(), tf.memory()];
    expect(stepper.probe(batch)).toBeUndefined();
    expect(weights()).toEqual(before);
    const snapshot = stepper.snapshot();
    expect(snapshot.slots.flatMap((slot) => [...slot.read()])).toEqual(Array.from({ length: 14 }, () => 0));
    snapshot.dispose();
    expect(tf.memory().numTensors).toBe(numTensors);
    stepper.run(batch, at(0));
    expect(weights()["norm/moving_mean"]).not.toEqual(before["norm/moving_mean"]);
  });
});

describe("accumulation", () => {
  const x = Float32Array.from({ length: 14 }, (_, i) => Math.sin(3 * i));
  const weights = Float32Array.of(1, 0.5, 3, 0, 2, 0.25, 1);
  const tasks: readonly [string, Schema["task"], Batch][] = [
    ["values", "regression", { size: 7, x, y: Float32Array.from({ length: 7 }, (_, i) => Math.cos(i)) }],
    ["weighted values", "regression", { size: 7, x, y: Float32Array.of(3, 1, 4, 1, 5, 9, 2), weights }],
    ["classes", "classification", { size: 7, x, y: Int32Array.of(0, 1, 1, 0, 1, 0, 0) }],
    ["weighted classes", "classification", { size: 7, x, y: Int32Array.of(0, 1, 1, 0, 1, 0, 0), weights }],
    [
      "weighted labels",
      "multi-label",
      {
        size: 7,
        x,
        y: Float32Array.of(0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1),
        weights: Float32Array.of(1, 2, 0.5, 2, 1, 1, 3, 0, 0, 0, 0, 0, 1, 0.5),
      },
    ],
  ];

  it.each(tasks)("of %s in parts of 3, 3 and 1 is the step of the whole batch", (_, task, batch) => {
    const [whole, parts] = [7, 3].map((batchSize) => {
      const trainer = { batchSize, accumulate: 3, clip: { norm: 0.5 }, weightDecay: 0.1 };
      const { stepper, weights: found } = zeros(MOMENTUM, task, { l2: true, trainer });
      const losses = [0, 1, 2].map((step) => stepper.run(batch, at(step)));
      return { losses, weights: Object.values(found()).flat() };
    });
    whole!.losses.forEach((loss, i) => expect(parts!.losses[i]! / loss).toBeCloseTo(1, 6));
    whole!.weights.forEach((weight, i) => expect(parts!.weights[i]).toBeCloseTo(weight, 6));
    expect(whole!.weights.some((weight) => Math.abs(weight) > 0.01)).toBe(true);
  });

  it("leaves no tensor behind, and tries one part alone", () => {
    const { stepper } = zeros(ADAM, "regression", { norm: true, trainer: { batchSize: 3, accumulate: 3 } });
    const batch = tasks[0]![2];
    expect(stepper.probe(batch)).toBeUndefined();
    stepper.run(batch, at(0));
    const { numTensors } = tf.memory();
    for (let step = 1; step < 4; step++) stepper.run(batch, at(step));
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});

it("weight decay leaves biases alone, coupled and decoupled", () => {
  for (const [optimizer, trainer] of [
    [SGD, { weightDecay: 0.5 }],
    [{ ...ADAM, name: "adamw", weightDecay: 0.5 }, {}],
  ] as const) {
    const { stepper, weights } = zeros(optimizer, "regression", { trainer });
    const still: Batch = { size: 1, x: Float32Array.of(1, 2), y: Float32Array.of(3) };
    stepper.run(still, at(0));
    const before = weights();
    // the model says what is right: no gradient but the decay's
    const y = Float32Array.of(before["kernel"]![0]! + 2 * before["kernel"]![1]! + before["bias"]![0]!);
    const sizes = new Map(stepper.slots.map(({ name, shape }) => [name, shape[0]!]));
    stepper.setSlots((name) => new Float32Array(sizes.get(name)!));
    stepper.run({ ...still, y }, at(0));
    weights()["kernel"]!.forEach((weight, i) => expect(weight).toBeCloseTo(0.95 * before["kernel"]![i]!, 5));
    expect(weights()["bias"]![0]).toBeCloseTo(before["bias"]![0]!, 5);
  }
});

describe.each<[string, LoadOptions | undefined]>([
  ["wasm", WITHOUT_NATIVE],
  ["native", WITH_NATIVE],
])("a snapshot on %s", (_, options) => {
  it.skipIf(options === undefined)("may be moved away before any step has read the values", async () => {
    const { tf: of } = await loadTf(options!);
    const at = { inputShape: [2], classes: 0 };
    const { model, shape, plan } = built(of, {
      ...at,
      build: ({ tf: { layers, sequential } }) => sequential({ layers: [layers.dense({ inputShape: [2], units: 1 })] }),
    });
    const stepper = new EagerStepper(of, model, plan, shape);
    expect(stepper.probe(batchOf(at, 4, 0))).toBeUndefined(); // puts the weights back
    const slots = new Map(
      stepper.slots.map(({ name, shape: { length } }) => [name, new Float32Array(length === 2 ? 2 : 1)]),
    );
    stepper.setSlots((name) => slots.get(name)!);
    const moved = valuesOf(stepper).map((values) =>
      structuredClone(values, { transfer: [values.buffer as ArrayBuffer] }),
    );
    expect(moved.every(({ length }) => length > 0)).toBe(true);
    expect(valuesOf(stepper)).toEqual(moved);
    expect(runSteps(stepper, at, [4])[0]).toBeGreaterThan(0);
  });
});

/** One graph against the same step op by op, on TensorFlow's library: bit for bit where the operations are the same. */
import { beforeAll, describe, expect, it } from "vitest";
import { EagerStepper } from "./eager-step.ts";
import { GraphStepper } from "./graph-step.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { batchOf, built, distance, runSteps, valuesOf, type Case } from "./testing/steps.ts";
import { loadTf, type LayersModel, type Tf } from "./tf.ts";

const SIZES = [8, 8, 5, 8, 8, 5, 8];
let tf: Tf;
beforeAll(async () => {
  if (WITH_NATIVE) ({ tf } = await loadTf(WITH_NATIVE));
});

function graphOf(of: Case, options: { sizes?: number[]; kernels?: boolean } = {}): GraphStepper {
  const { model, plan, shape } = built(tf, of);
  return new GraphStepper(tf, model, plan, shape, { batch: batchOf(of, 8, 0), sizes: [8, 5], kernels: false, ...options });
}

function eagerOf(of: Case): EagerStepper {
  const { model, plan, shape } = built(tf, of);
  return new EagerStepper(tf, model, plan, shape);
}

const ADAM = { name: "adam", learningRate: 0.01 } as const;
const OPTIMIZERS = {
  sgd: { name: "sgd", learningRate: 0.01, momentum: 0 },
  momentum: { name: "sgd", learningRate: 0.01, momentum: 0.9 },
  adam: ADAM,
} as const;

const table = { inputShape: [6], classes: 3, trainer: { optimizer: ADAM } };
const image = { inputShape: [8, 8, 2], classes: 3, trainer: { optimizer: ADAM } };

/** Of a model whose layers lie one behind the other. */
const sequence =
  (layers: (of: { layers: Tf["layers"]; tf: Tf; inputShape: number[] }) => LayersModel["layers"]): Case["build"] =>
  ({ tf, inputShape, classes }) =>
    tf.sequential({
      layers: [...layers({ layers: tf.layers, tf, inputShape: [...inputShape] }), tf.layers.dense({ units: classes })],
    });

const MLP: Case = {
  ...table,
  build: sequence(({ layers, inputShape }) => [
    layers.dense({ units: 16, activation: "relu", inputShape }),
    layers.dense({ units: 9, activation: "tanh" }),
  ]),
};

const CASES: Record<string, Case> = {
  "dense layers": MLP,
  regression: { ...MLP, classes: 0 },
  convolutions: {
    ...image,
    build: sequence(({ layers, inputShape }) => [
      layers.conv2d({ filters: 4, kernelSize: 3, padding: "same", activation: "relu", inputShape }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.depthwiseConv2d({ kernelSize: 3, padding: "same" }),
      layers.separableConv2d({ filters: 3, kernelSize: 2 }),
      layers.conv2dTranspose({ filters: 2, kernelSize: 3 }),
      layers.upSampling2d({ size: [2, 2] }),
      layers.averagePooling2d({ poolSize: 2 }),
      layers.globalAveragePooling2d({}),
    ]),
  },
  "convolutions over a series": {
    ...table,
    inputShape: [12, 2],
    build: sequence(({ layers, inputShape }) => [
      layers.conv1d({ filters: 3, kernelSize: 3, inputShape }),
      layers.maxPooling1d({ poolSize: 2 }),
      layers.flatten({}),
    ]),
  },
  "batch normalization": {
    ...image,
    build: sequence(({ layers, inputShape }) => [
      layers.conv2d({ filters: 4, kernelSize: 3, inputShape }),
      layers.batchNormalization({}),
      layers.flatten({}),
      layers.dense({ units: 6 }),
      layers.batchNormalization({ momentum: 0.8, epsilon: 1e-4 }),
      layers.batchNormalization({ epsilon: 1e-6 }), // no kernel takes such a small one: as TensorFlow.js spells it out
    ]),
  },
  "layer normalization": {
    ...table,
    build: sequence(({ layers, inputShape }) => [layers.dense({ units: 8, inputShape }), layers.layerNormalization({})]),
  },
  dropout: {
    ...table,
    build: sequence(({ layers, inputShape }) => [
      layers.dropout({ rate: 0.3, inputShape }),
      layers.dense({ units: 8 }),
      layers.dropout({ rate: 0.5, seed: 3, noiseShape: [1, 8] }),
      layers.alphaDropout({ rate: 0.2 }),
      layers.gaussianDropout({ rate: 0.4 }),
      layers.gaussianNoise({ stddev: 0.1 }),
    ]),
  },
  "an embedding, and spatial dropout": {
    ...table,
    build: sequence(({ layers, inputShape }) => [
      layers.embedding({ inputDim: 5, outputDim: 4, inputLength: inputShape[0]! }),
      layers.spatialDropout1d({ rate: 0.4 }),
      layers.flatten({}),
    ]),
  },
  regularizers: {
    ...table,
    build: sequence(({ layers, tf, inputShape }) => [
      layers.dense({ units: 8, inputShape, kernelRegularizer: tf.regularizers.l1l2({ l1: 0.01, l2: 0.02 }) }),
    ]),
  },
  "frozen layers": {
    ...table,
    trainer: { optimizer: ADAM, trainable: ["!norm", "!first/bias"] },
    build: sequence(({ layers, inputShape }) => [
      layers.dense({ units: 8, inputShape, name: "first" }),
      layers.batchNormalization({ name: "norm" }),
      layers.dense({ units: 8, trainable: false }),
    ]),
  },
  "a model in a model, and a wrapper": {
    ...table,
    inputShape: [4, 3],
    build: sequence(({ layers, tf, inputShape }) => [
      layers.timeDistributed({ layer: layers.dropout({ rate: 0.5 }) as never, inputShape }),
      layers.flatten({}),
      tf.sequential({ layers: [layers.dense({ units: 7, inputShape: [12] }), layers.dropout({ rate: 0.2 }), layers.batchNormalization({})] }) as never,
    ]),
  },
  "a layer that is used twice, and branches": {
    ...table,
    build: ({ tf, inputShape, classes }) => {
      const input = tf.input({ shape: [...inputShape] });
      const [shared, drop] = [tf.layers.dense({ units: 6, activation: "elu" }), tf.layers.dropout({ rate: 0.3 })];
      const twice = drop.apply(shared.apply(drop.apply(shared.apply(input)))) as typeof input;
      const joined = tf.layers.concatenate().apply([twice, tf.layers.add().apply([input, twice]) as typeof input]);
      const output = tf.layers.dense({ units: classes }).apply(joined) as typeof input;
      return tf.model({ inputs: input, outputs: output });
    },
  },
  "recurrent layers": {
    ...table,
    inputShape: [5, 3],
    build: sequence(({ layers, inputShape }) => [
      layers.lstm({ units: 4, returnSequences: true, inputShape }),
      layers.bidirectional({ layer: layers.gru({ units: 3, returnSequences: true }) as never, mergeMode: "concat" }),
      layers.simpleRNN({ units: 3 }),
    ]),
  },
};

describe.skipIf(!WITH_NATIVE)("one graph and op by op, bit for bit:", () => {
  it.each(Object.entries(CASES))("%s", (_, of) => {
    const [graph, eager] = [graphOf(of), eagerOf(of)];
    expect(distance(valuesOf(graph), valuesOf(eager))).toBe(0);
    const losses = runSteps(eager, of, SIZES);
    expect(runSteps(graph, of, SIZES)).toEqual(losses);
    expect(new Set(losses).size).toBe(SIZES.length);
    expect(distance(valuesOf(graph), valuesOf(eager))).toBe(0);
    graph.dispose();
    eager.dispose();
  });
});

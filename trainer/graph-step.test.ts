/** One graph against the same step op by op, on TensorFlow's library: bit for bit where the operations are the same. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { EagerStepper } from "./eager-step.ts";
import { GraphStepper } from "./graph-step.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { batchOf, built, distance, runSteps, valuesOf, type Case } from "./testing/steps.ts";
import { NotRecordable, Recorder } from "./graph/recorder.ts";
import type { Rank } from "@tensorflow/tfjs-core";
import { nativeBackendOf } from "./native-backend.ts";
import { loadTf, type LayersModel, type Tensor, type Tf } from "./tf.ts";

const SIZES = [8, 8, 5, 8, 8, 5, 8];
let tf: Tf;
beforeAll(async () => {
  if (WITH_NATIVE) ({ tf } = await loadTf(WITH_NATIVE));
});

function graphOf(of: Case, options: { sizes?: number[]; kernels?: boolean } = {}): GraphStepper {
  const { model, plan, shape } = built(tf, of);
  return new GraphStepper(tf, model, plan, shape, {
    batch: batchOf(of, 8, 0),
    sizes: [8, 5],
    kernels: false,
    ...options,
  });
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
    build: sequence(({ layers, inputShape }) => [
      layers.dense({ units: 8, inputShape }),
      layers.layerNormalization({}),
    ]),
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
      tf.sequential({
        layers: [
          layers.dense({ units: 7, inputShape: [12] }),
          layers.dropout({ rate: 0.2 }),
          layers.batchNormalization({}),
        ],
      }) as never,
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
    inputShape: [3, 2],
    build: sequence(({ layers, inputShape }) => [
      layers.lstm({ units: 3, returnSequences: true, inputShape }),
      layers.bidirectional({ layer: layers.gru({ units: 2 }) as never, mergeMode: "concat" }),
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

describe.skipIf(!WITH_NATIVE)("with an optimizer's kernel", () => {
  it.each([
    ["sgd", OPTIMIZERS.sgd, 0],
    ["momentum", OPTIMIZERS.momentum, 0],
    ["adam", OPTIMIZERS.adam, 1e-6],
  ] as const)("%s is as op by op, within rounding", (_, optimizer, bound) => {
    const of = { ...MLP, trainer: { optimizer } };
    const [kernels, eager] = [graphOf(of, { kernels: true }), eagerOf(of)];
    runSteps(kernels, of, [8]);
    runSteps(eager, of, [8]);
    expect(distance(valuesOf(kernels), valuesOf(eager))).toBeLessThanOrEqual(bound);
    runSteps(kernels, of, SIZES, 1);
    runSteps(eager, of, SIZES, 1);
    expect(distance(valuesOf(kernels), valuesOf(eager))).toBeLessThanOrEqual(bound * 100);
    kernels.dispose();
  });

  it("large weights, which are updated one after the other, are as op by op", () => {
    const of: Case = {
      inputShape: [2_048],
      classes: 3,
      trainer: { optimizer: OPTIMIZERS.momentum },
      build: sequence(({ layers, tf, inputShape }) => {
        const kernelInitializer = tf.initializers.identity({ gain: 0.1 });
        return [1, 2].map(() => layers.dense({ units: 2_048, inputShape, activation: "tanh", kernelInitializer }));
      }),
    };
    const waits = vi.spyOn(Recorder.prototype, "waitFor");
    const [kernels, eager] = [graphOf(of, { kernels: true, sizes: [8] }), eagerOf(of)];
    const update = expect.stringContaining("ResourceApplyMomentum");
    expect(waits.mock.calls.map(([, node]) => node)).toEqual([update, update]); // it is recorded twice
    waits.mockRestore();
    expect(runSteps(kernels, of, [8, 8, 8])).toEqual(runSteps(eager, of, [8, 8, 8]));
    expect(distance(valuesOf(kernels), valuesOf(eager))).toBe(0);
    kernels.dispose();
    eager.dispose();
  });

  it("the loss has the weights from before the update, also where it is their plain sum", () => {
    const of: Case = {
      inputShape: [2],
      classes: 0,
      trainer: { optimizer: { ...OPTIMIZERS.sgd, learningRate: 1 } },
      build: ({ tf, inputShape }) =>
        tf.sequential({
          layers: [
            tf.layers.dense({
              units: 1,
              inputShape: [...inputShape],
              kernelRegularizer: tf.regularizers.l1({ l1: 100 }),
            }),
          ],
        }),
    };
    const [kernels, eager] = [graphOf(of, { kernels: true }), eagerOf(of)];
    expect(runSteps(kernels, of, [8, 8, 8])).toEqual(runSteps(eager, of, [8, 8, 8]));
    kernels.dispose();
  });
});

describe.skipIf(!WITH_NATIVE)("one graph", () => {
  it.each([true, false])("takes batches of a size that it was not told of (kernels: %s)", (kernels) => {
    const [late, told] = [graphOf(CASES["dropout"]!, { sizes: [8], kernels }), graphOf(CASES["dropout"]!, { kernels })];
    const sizes = [8, 8, 5, 8, 5];
    expect(runSteps(late, table, sizes)).toEqual(runSteps(told, table, sizes));
    expect(distance(valuesOf(late), valuesOf(told))).toBe(0);
    late.dispose();
    told.dispose();
  });

  it.each([true, false])(
    "goes on unchanged while a snapshot is held, which stays as it was (kernels: %s)",
    (kernels) => {
      const of = CASES["batch normalization"]!;
      const [stepper, alone] = [graphOf(of, { kernels }), graphOf(of, { kernels })];
      runSteps(stepper, of, [8, 8]);
      const [then, snapshot] = [valuesOf(stepper), stepper.snapshot()];
      const losses = runSteps(stepper, of, SIZES, 2);
      const held = [...snapshot.weights, ...snapshot.slots].map((tensor) => tensor.read());
      expect(distance(held, then)).toBe(0);
      expect(distance(valuesOf(stepper), then)).toBeGreaterThan(0);
      expect(() => snapshot.weights[0]!.read()).toThrow("is gone");
      runSteps(alone, of, [8, 8]);
      expect(runSteps(alone, of, SIZES, 2)).toEqual(losses);
      stepper.dispose();
      alone.dispose();
    },
  );

  it("gives the model its weights, as often as asked, and trains on as if it had not", () => {
    const { model, plan, shape } = built(tf, MLP);
    const stepper = new GraphStepper(tf, model, plan, shape, { batch: batchOf(MLP, 8, 0), sizes: [8] });
    const alone = graphOf(MLP, { kernels: true });
    const predicted = (): Float32Array =>
      tf.tidy(() =>
        model.apply(tf.tensor(batchOf(MLP, 8, 9).x, [8, 6]), { training: false }).dataSync(),
      ) as Float32Array;
    const inModel = (): Float32Array[] => model.weights.map(({ variable }) => variable.dataSync() as Float32Array);
    const weights = (): ReturnType<typeof valuesOf> => valuesOf(stepper).slice(0, model.weights.length);
    const seen: Float32Array[] = [];
    for (let step = 0; step < 3; step++) {
      expect(runSteps(stepper, MLP, [8], step)).toEqual(runSteps(alone, MLP, [8], step));
      stepper.pull();
      stepper.pull();
      expect(distance(inModel(), weights())).toBe(0);
      seen.push(predicted());
    }
    expect(distance([seen[0]!], [seen[2]!])).toBeGreaterThan(0);
    expect(distance(valuesOf(stepper), valuesOf(alone))).toBe(0);
    stepper.dispose();
    expect(distance([predicted()], [seen[2]!])).toBe(0); // what was pulled stays
    alone.dispose();
  });

  it("goes on from a snapshot in another stepper as the first one does", () => {
    const of = CASES["dropout"]!;
    const first = graphOf(of, { kernels: true });
    runSteps(first, of, [8, 5, 8]);
    const saved = valuesOf(first);
    const { model, plan, shape } = built(tf, of);
    model.weights.forEach(({ variable }, i) =>
      tf.tidy(() => variable.assign(tf.tensor(saved[i]!, variable.shape, variable.dtype))),
    );
    const second = new GraphStepper(tf, model, plan, shape, { batch: batchOf(of, 8, 0), sizes: [8, 5] });
    const slots = saved.slice(model.weights.length) as Float32Array[];
    const names = second.slots.map(({ name }) => name);
    second.setSlots((name) => slots[names.indexOf(name)]!);
    expect(runSteps(second, of, SIZES, 3)).toEqual(runSteps(first, of, SIZES, 3));
    expect(distance(valuesOf(second), valuesOf(first))).toBe(0);
    first.dispose();
    second.dispose();
  });

  it("neither leaves tensors nor grows in 2,000 steps", { timeout: 120_000 }, () => {
    const stepper = graphOf(CASES["dropout"]!, { kernels: true });
    const batch = batchOf(table, 8, 0);
    const steps = (from: number, count: number): void => {
      for (let i = from; i < from + count; i++) stepper.run(batch, { step: i, update: i + 1, learningRate: 0.01 });
    };
    steps(0, 200);
    const [tensors, rss] = [tf.memory().numTensors, process.memoryUsage.rss()];
    steps(200, 2_000);
    expect(tf.memory().numTensors).toBe(tensors);
    expect(process.memoryUsage.rss() - rss).toBeLessThan(2 ** 25); // 16 KB a step would be it
    stepper.dispose();
  });

  it("has given its memory back once it is disposed of", () => {
    const wide: Case = {
      inputShape: [1_000],
      classes: 2,
      trainer: { optimizer: ADAM },
      build: sequence(({ layers, inputShape }) => [
        layers.dense({ units: 1_000, inputShape, kernelInitializer: "zeros" }),
      ]),
    };
    const once = (): void => {
      const { model, plan, shape } = built(tf, wide);
      const { numTensors } = tf.memory();
      const stepper = new GraphStepper(tf, model, plan, shape, { batch: batchOf(wide, 8, 0), sizes: [8] });
      runSteps(stepper, wide, [8]);
      stepper.dispose();
      expect(tf.memory().numTensors).toBe(numTensors);
      model.network.dispose();
    };
    for (let i = 0; i < 4; i++) once();
    const rss = process.memoryUsage.rss();
    for (let i = 0; i < 12; i++) once();
    expect(process.memoryUsage.rss() - rss).toBeLessThan(12 * 8e6); // its weights and slots are 12 MB
  });
});

/** A layer of the user's own that does what `call` says. */
function layerOf(name: string, call: (tf: Tf, x: Tensor) => Tensor, tf: Tf): LayersModel["layers"][number] {
  class Own extends tf.layers.Layer {
    static className = "Own";
    override computeOutputShape(shape: number[]): number[] {
      return shape;
    }
    override call(inputs: Tensor | Tensor[]): Tensor {
      return call(tf, [inputs].flat()[0]!);
    }
  }
  return new Own({ name });
}

const withLayer = (name: string, call: (tf: Tf, x: Tensor) => Tensor): Case => ({
  ...table,
  build: sequence(({ layers, tf, inputShape }) => [layers.dense({ units: 4, inputShape }), layerOf(name, call, tf)]),
});

describe.skipIf(!WITH_NATIVE)(
  "what can't be one graph is refused with the layer's name, and nothing is changed:",
  () => {
    let calls = 0;
    it.each<[string, Case, string]>([
      [
        "random numbers of JavaScript",
        withLayer("noisy", (tf, x) => tf.add(x, tf.randomUniform(x.shape))),
        "layer noisy draws random numbers",
      ],
      [
        "a count",
        withLayer("counting", (tf, x) => tf.mul(x, ++calls)),
        "layer counting draws random numbers or counts",
      ],
      [
        "another operation each time",
        withLayer("odd", (tf, x) => (++calls % 2 ? tf.neg(tf.neg(x)) : tf.relu(x))),
        "layer odd draws",
      ],
      [
        "a value read back",
        withLayer("reading", (tf, x) => tf.mul(x, tf.sum(x).dataSync()[0]!)),
        "layer reading reads a tensor back",
      ],
      [
        "a state of TensorFlow's",
        withLayer("drawing", (tf, x) =>
          tf.add(x, tf.mean(tf.cast(tf.multinomial(tf.zeros<Rank.R2>([2, 3]), 4, 7) as Tensor, "float32"))),
        ),
        "layer drawing draws by Multinomial",
      ],
      [
        "a large constant",
        withLayer("large", (tf, x) =>
          tf.add(x, tf.sum(tf.tensor1d(Float32Array.from({ length: 2 ** 18 + 9 }, (_, i) => i)))),
        ),
        "layer large uses a constant of shape [262153]",
      ],
      [
        "recurrent dropout",
        {
          ...table,
          inputShape: [3, 2],
          build: sequence(({ layers, inputShape }) => [
            layers.lstm({ units: 3, inputShape, recurrentDropout: 0.2, name: "memory" }),
          ]),
        },
        "layer memory",
      ],
    ])("%s", (_, of, message) => {
      const { model, plan, shape } = built(tf, of);
      const before = model.weights.map(({ variable }) => variable.dataSync().slice() as Float32Array);
      const { numTensors } = tf.memory();
      const { binding } = nativeBackendOf(tf);
      const make = (): GraphStepper =>
        new GraphStepper(tf, model, plan, shape, { batch: batchOf(of, 8, 0), sizes: [8] });
      expect(make).toThrow(NotRecordable);
      expect(make).toThrow(message);
      expect(nativeBackendOf(tf).binding).toBe(binding);
      expect(model.weights.map(({ variable }) => variable.dataSync())).toEqual(before);
      if (!of.inputShape.includes(3)) expect(tf.memory().numTensors).toBe(numTensors); // a recurrent layer keeps its masks until its next call
      const eager = new EagerStepper(tf, model, plan, shape);
      expect(runSteps(eager, of, [8]).every(Number.isFinite)).toBe(true);
    });

    it("what the model throws is thrown", () => {
      const fails = withLayer("failing", () => {
        throw new Error("no such thing");
      });
      expect(() => graphOf(fails)).toThrow("no such thing");
    });

    it("a draw with a seed of its own within a layer is the same at each step, as op by op", () => {
      const of = withLayer("seeded", (tf, x) => tf.add(x, tf.randomNormal(x.shape, 0, 1, "float32", 3)));
      const [graph, eager] = [graphOf(of), eagerOf(of)];
      expect(runSteps(graph, of, SIZES)).toEqual(runSteps(eager, of, SIZES));
      graph.dispose();
    });

    it("a class that extends dropout keeps its own call", () => {
      const of: Case = {
        ...table,
        build: sequence(({ layers, tf, inputShape }) => {
          const Dropout = tf.serialization.SerializationMap.getMap().classNameMap["Dropout"]![0] as unknown as new (
            args: object,
          ) => LayersModel["layers"][number];
          class Doubling extends Dropout {
            override call(inputs: Tensor | Tensor[]): Tensor {
              return tf.mul([inputs].flat()[0]!, 2);
            }
          }
          return [layers.dense({ units: 4, inputShape }), new Doubling({ rate: 0.5 })];
        }),
      };
      const doubled = withLayer("doubled", (tf, x) => tf.mul(x, 2));
      const [graph, same] = [graphOf(of), graphOf(doubled)];
      expect(runSteps(graph, of, SIZES)).toEqual(runSteps(same, doubled, SIZES));
      graph.dispose();
      same.dispose();
    });
  },
);

it.skipIf(!WITH_NATIVE)(
  "dropout keeps about as many as its rate says, other ones at each step and in each layer",
  () => {
    const seen: Float32Array[] = [];
    const of: Case = {
      inputShape: [1_000],
      classes: 0,
      build: sequence(({ layers, tf }) => [
        layers.dropout({ rate: 0.25, inputShape: [1_000] }),
        layerOf("seen", (_, x) => (seen.push(x.dataSync() as Float32Array), x), tf),
        layers.dropout({ rate: 0.25 }),
        layerOf("seen2", (_, x) => (seen.push(x.dataSync() as Float32Array), x), tf),
      ]),
    };
    const eager = eagerOf(of);
    const ones = { size: 4, x: new Float32Array(4_000).fill(1), y: new Float32Array(4) };
    for (const step of [0, 1, 0]) eager.run(ones, { step, update: 1, learningRate: 0 });
    const [first, both, second, , again] = seen;
    const kept = (values: Float32Array): number => values.filter((value) => value > 0).length / values.length;
    expect(kept(first!)).toBeCloseTo(0.75, 1);
    expect(kept(both!)).toBeCloseTo(0.5625, 1); // another mask: the same one would leave 0.75
    expect(new Set(first)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    expect(again).toEqual(first);
    expect(second).not.toEqual(first);
  },
);

it.skipIf(!WITH_NATIVE)("batch normalization's kernel does what TensorFlow.js spells out", () => {
  const of = (epsilon: number): Case => ({
    ...table,
    build: sequence(({ layers, inputShape }) => [layers.batchNormalization({ inputShape, epsilon, momentum: 0.5 })]),
  });
  // below 1.001e-5 no kernel is used: the two differ by the epsilon and by rounding alone
  const [kernel, spelled] = [eagerOf(of(1.002e-5)), eagerOf(of(1e-5))];
  const [one, other] = [runSteps(kernel, table, SIZES), runSteps(spelled, table, SIZES)];
  one.forEach((loss, i) => expect(loss).toBeCloseTo(other[i]!, 4));
  expect(distance(valuesOf(kernel), valuesOf(spelled))).toBeLessThan(1e-3);
});

/** Records the step: forward, loss, gradients and update as functions of one program, for each size of batch. */
import type { TrainerConfig } from "../../protocol/trainer-config.ts";
import { decays, transformGradients } from "../gradients.ts";
import { trainingLoss } from "../loss.ts";
import type { Model } from "../model.ts";
import { drawnInStep, stepSeed, withStepDraws } from "../step-draws.ts";
import type { Batch, Shape } from "../step.ts";
import type { LayersModel, Scalar, Tensor, Tf, Variable } from "../tf.ts";
import { innerLayers } from "../trainable.ts";
import { updateInput, type ProgramOptimizer } from "./optimizer-slots.ts";
import { GraphProgram, type ProgramOptions } from "./program.ts";
import type { Entry, Input, Recording, StateVariable } from "./record-entry.ts";
import type { Recorder } from "./recorder.ts";

export interface StepToRecord {
  readonly tf: Tf;
  readonly model: Model;
  readonly shape: Shape;
  readonly trainer: TrainerConfig;
  readonly seed: number;
  readonly optimizer: ProgramOptimizer;
  readonly options: ProgramOptions;
}

export interface RecordedStep {
  /** its state: the weights, the optimizer's slots, and sums of gradients where batches are larger than a micro-batch */
  readonly program: GraphProgram;
  /** its functions are fed the batches' weights */
  readonly weighted: boolean;
  /** random numbers that one forward pass draws */
  readonly draws: number;
}

/** The function for a batch of this size that is no larger than a micro-batch, or for a part of a larger one. */
export const entryName = (of: "batch" | "part", size: number): string => `${of}${size}`;

/** The function that updates by the sums that the parts of a batch have left. */
export const UPDATE = "update";

/**
 * The model's variables need to have their values; they are as before afterwards.
 * @param sizes of batches @param batch as large as any: it is computed with
 * @throws {NotRecordable}; what the model throws
 */
export function recordStep(step: StepToRecord, sizes: ReadonlySet<number>, batch: Batch): RecordedStep {
  const { tf, model, trainer, options } = step;
  const { kernel, slots, optimizer } = step.optimizer;
  const { slotStart = 0 } = optimizer;
  // kernels know slots by their place in the state alone, everything else as variables
  const slotVariables = slots.map(({ shape }) =>
    kernel === null ? tf.tidy(() => tf.variable(tf.fill(shape.slice(), slotStart), false)) : null,
  );
  const summed = [...sizes].some((size) => size > trainer.batchSize);
  const sums = summed
    ? trainedOf(model).map(({ variable }) => tf.tidy(() => tf.variable(tf.zeros(variable.shape), false)))
    : [];
  const state: StateVariable[] = [
    ...model.weights.map(({ variable }) => ({
      shape: variable.shape,
      type: variable.dtype as "float32",
      variable,
      start: null,
      ofLayers: true,
    })),
    ...slots.map(({ shape }, i) => float32State(shape, slotVariables[i]!, slotStart)),
    ...sums.map((variable) => float32State(variable.shape, variable, 0)),
  ];
  const functions = new StepFunctions(step, batch, state, sums);
  try {
    const program = new GraphProgram(tf, state, functions.entries(sizes), options);
    return { program, weighted: batch.weights !== undefined, draws: functions.draws };
  } finally {
    for (const variable of [...slotVariables, ...sums]) variable?.dispose();
  }
}

const float32State = (shape: readonly number[], variable: Variable | null, start: number): StateVariable => ({
  shape,
  type: "float32",
  variable,
  start,
  ofLayers: false,
});

class StepFunctions {
  readonly #step: StepToRecord;
  readonly #batch: Batch;
  readonly #state: readonly StateVariable[];
  readonly #sums: readonly Variable[];
  /** of each weight that is trained, in their order: the loss depends on it */
  #reached: readonly boolean[] = [];
  #draws = 0;

  /** @param sums of the gradients of each weight that is trained; none: no batch is larger than a micro-batch */
  constructor(step: StepToRecord, batch: Batch, state: readonly StateVariable[], sums: readonly Variable[]) {
    this.#step = step;
    this.#batch = batch;
    this.#state = state;
    this.#sums = sums;
  }

  /** In one forward pass; of what was recorded last. */
  get draws(): number {
    return this.#draws;
  }

  /**
   * For each size of batch one; where batches are larger than a micro-batch, for each size of those one that adds its share of the gradients
   * up, and one that updates by the sums, which are 0 between two steps: they are no state.
   */
  entries(sizes: ReadonlySet<number>): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    const { batchSize } = this.#step.trainer;
    for (const size of sizes) {
      if (size <= batchSize) {
        entries.set(
          entryName("batch", size),
          this.#entry(size, (inputs, recording) => {
            const { value, gradients } = this.#gradients(inputs);
            this.#update(inputs, recording, gradients);
            return value;
          }),
        );
        continue;
      }
      for (const part of [batchSize, size % batchSize].filter((records) => records > 0))
        entries.set(
          entryName("part", part),
          this.#entry(part, (inputs) => this.#addUp(inputs), ["share"]),
        );
      entries.set(UPDATE, this.#updateEntry());
    }
    return entries;
  }

  #entry(size: number, run: Entry["run"], more: readonly string[] = this.#step.optimizer.scalars): Entry {
    const { shape, model, seed } = this.#step;
    const { inputShape, classes, task } = shape;
    const batch = this.#batch;
    const labels = task === "multi-label" ? [size, classes] : [size];
    const { x, y, weights } = batch;
    const input = (of: readonly number[], values: Float32Array | Int32Array): Input => ({
      shape: of,
      type: values instanceof Int32Array ? "int32" : "float32",
      example: repeated(values, batch.size, size),
    });
    return {
      inputs: new Map<string, Input>([
        ["x", input([size, ...inputShape], x)],
        ["y", input(labels, y)],
        ...(weights === undefined ? [] : [["weights", input(labels, weights)] as const]),
        ["seed", { shape: [2], type: "int32", example: stepSeed(seed, 0) }],
        ...more.map((name): [string, Input] => [name, SCALAR]),
      ]),
      run: (inputs, recording) => withLayersNamed(model.network, recording.recorder, () => run(inputs, recording)),
    };
  }

  #updateEntry(): Entry {
    const { tf, optimizer } = this.#step;
    const sums = this.#sums;
    return {
      inputs: new Map(optimizer.scalars.map((name) => [name, SCALAR])),
      run: (inputs, recording) => {
        this.#update(
          inputs,
          recording,
          sums.map((sum, i) => (this.#reached[i] === true ? tf.clone(sum) : undefined)),
        );
        for (const sum of sums) sum.assign(tf.zerosLike(sum));
        return tf.scalar(0);
      },
    };
  }

  /** @returns for each weight that is trained, in their order; undefined: the loss does not depend on it */
  #gradients(inputs: ReadonlyMap<string, Tensor>): { value: Tensor; gradients: readonly (Tensor | undefined)[] } {
    const { tf, model, shape } = this.#step;
    const trained = trainedOf(model);
    return withStepDraws(inputs.get("seed")!, () => {
      const { value, grads } = tf.variableGrads(
        () => trainingLoss(tf, model, shape, inputs.get("x")!, inputs.get("y")!, inputs.get("weights") ?? null),
        trained.map(({ variable }) => variable),
      );
      this.#draws = drawnInStep();
      return { value, gradients: trained.map(({ variable }) => grads[variable.name]) };
    });
  }

  #addUp(inputs: ReadonlyMap<string, Tensor>): Tensor {
    const { tf } = this.#step;
    const share = inputs.get("share")!;
    const { value, gradients } = this.#gradients(inputs);
    this.#reached = gradients.map((gradient) => gradient !== undefined);
    this.#sums.forEach((sum, i) => {
      const gradient = gradients[i];
      if (gradient !== undefined) sum.assign(tf.add(sum, tf.mul(gradient, share)));
    });
    return tf.mul(value, share);
  }

  #update(inputs: ReadonlyMap<string, Tensor>, recording: Recording, gradients: readonly (Tensor | undefined)[]): void {
    const { tf, model, trainer } = this.#step;
    const { optimizer, kernel, slotsOf, ...its } = this.#step.optimizer;
    const { decay } = optimizer;
    const scalars = Object.fromEntries(its.scalars.map((name) => [name, inputs.get(name)! as Scalar]));
    const trained = [...model.weights.entries()].filter(([, { trainable }]) => trainable);
    const updated = trained.flatMap(([index, { variable }], i) => {
      const gradient = gradients[i];
      return gradient === undefined ? [] : [{ index, variable, gradient }];
    });
    const changed = transformGradients(
      tf,
      trainer,
      updated.map(({ gradient }) => gradient),
      updated.map(({ variable }) => variable),
    );
    updated.forEach(({ index, variable }, i) => {
      const gradient = changed[i]!;
      const slots = slotsOf.get(index)!;
      if (kernel === null) {
        if (decay !== null && decays(variable)) variable.assign(tf.mul(variable, scalars[decay]!));
        const variables = new Map(slots.map((slot) => [slot.kind, this.#state[slot.index]!.variable!]));
        optimizer.apply(tf, { variable, gradient, slots: variables }, scalars);
        recording.assigned(index);
        return;
      }
      const from = kernel.inputs.map((input) => updateInput(input, { index, gradient, slots, scalars }));
      recording.update(kernel.op, from, kernel.flags ?? {});
    });
  }
}

const SCALAR: Input = { shape: [], type: "float32", example: Float32Array.of(0.5) };

const trainedOf = ({ weights }: Model): readonly Model["weights"][number][] =>
  weights.filter(({ trainable }) => trainable);

/** The first records of a batch, over and over if there are too few. */
function repeated<Values extends Int32Array | Float32Array>(values: Values, records: number, size: number): Values {
  const width = values.length / records;
  const example = new (values.constructor as new (length: number) => Values)(size * width);
  return example.map((_, i) => values[i % values.length]!) as Values;
}

/** Has the recorder know which layer is at work. */
function withLayersNamed<T>(network: LayersModel, recorder: Recorder, work: () => T): T {
  type Layer = LayersModel["layers"][number];
  const undo: (() => void)[] = [];
  const seen = new Set<Layer>();
  const visit = (layer: Layer): void => {
    if (seen.has(layer)) return;
    seen.add(layer);
    const own = Object.getOwnPropertyDescriptor(layer, "call");
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => recorder.within(layer.name, () => call(inputs, kwargs));
    undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(layer, "call");
      else Object.defineProperty(layer, "call", own);
    });
    innerLayers(layer).forEach(visit);
  };
  network.layers.forEach(visit);
  try {
    return work();
  } finally {
    undo.forEach((restore) => restore());
  }
}

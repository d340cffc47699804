/** The step as one TensorFlow graph: weights and slots are held in its session, and a step is one call. */
import { tmpdir } from "node:os";
import { collectGarbage } from "./collect-garbage.ts";
import {
  GraphProgram,
  type Entry,
  type Input,
  type Recording,
  type StateVariable,
  type UpdateInput,
} from "./graph/program.ts";
import type { Recorder } from "./graph/recorder.ts";
import { trainingLoss } from "./loss.ts";
import { decays, transformGradients } from "./gradients.ts";
import { microBatches, weightOf } from "./micro-batches.ts";
import type { Model } from "./model.ts";
import { nativeBackendOf, type TensorHandle, type TensorValues } from "./native-backend.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Plan } from "../protocol/types.ts";
import { createOptimizer, slotName, type KernelInput, type Optimizer, type UpdateKernel } from "./optimizer.ts";
import type { Batch, Shape, Snapshot, SnapshotTensor, StepAt, Stepper, TensorSpec } from "./step.ts";
import { drawnInStep, seedAfter, stepSeed, withStepDraws } from "./step-draws.ts";
import type { LayersModel, Scalar, Tensor, Tf, Variable } from "./tf.ts";
import { innerLayers } from "./trainable.ts";
import { dtypeOfVariable } from "./variables.ts";

export interface GraphOptions {
  /** as large as any; it is trained on while the step is recorded, and leaves nothing behind */
  readonly batch: Batch;
  /** how many records batches have; another number later costs a new recording */
  readonly sizes: readonly number[];
  /** updates by TensorFlow's own operations where there are some; @default true */
  readonly kernels?: boolean;
  /** mixed precision; @default all in float32 */
  readonly bfloat16?: boolean | undefined;
  /** folder for what is on its way to TensorFlow; @default the system's */
  readonly scratch?: string | undefined;
}

interface Slot {
  /** in optimizer.safetensors */
  readonly name: string;
  readonly kind: string;
  readonly shape: readonly number[];
  /** in the program's state */
  readonly index: number;
}

export class GraphStepper implements Stepper {
  readonly kind: string = "one graph";
  readonly #bfloat16: boolean;
  readonly #tf: Tf;
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #seed: number;
  readonly #trainer: TrainerConfig;
  readonly #optimizer: Optimizer;
  readonly #kernel: UpdateKernel | null;
  /** names of what the optimizer is fed */
  readonly #scalars: readonly string[];
  readonly #slots: readonly Slot[];
  /** by index of the weight */
  readonly #slotsOf: ReadonlyMap<number, readonly Slot[]>;
  readonly #sizes: Set<number>;
  readonly #scratch: string;
  #program: GraphProgram;
  /** batches have weights */
  #weighted = false;
  /** random numbers that one forward pass draws */
  #draws = 0;
  /** of each weight that is trained, in their order: the loss depends on it */
  #reached: readonly boolean[] = [];
  /** the model's own variables have their values */
  #pulled = false;

  /**
   * Takes over the model's weights: its own variables have none from here on, but for what `pull` gives them.
   * @throws {NotRecordable}; what the model throws. The model is as before then.
   */
  constructor(
    tf: Tf,
    model: Model,
    plan: Plan,
    shape: Shape,
    { batch, sizes, kernels = true, bfloat16 = false, scratch = tmpdir() }: GraphOptions,
  ) {
    this.#bfloat16 = bfloat16;
    if (bfloat16) this.kind = "one graph, mixed precision";
    this.#tf = tf;
    this.#model = model;
    this.#shape = shape;
    this.#seed = plan.seed;
    this.#trainer = plan.trainer;
    this.#optimizer = createOptimizer(plan.trainer.optimizer);
    // there is no kernel with a decay apart from the gradient
    this.#kernel = kernels && this.#optimizer.decay === null ? this.#optimizer.kernel : null;
    this.#scalars = scalarsOf(this.#optimizer, this.#kernel);
    this.#slotsOf = slotsOf(model, plan.trainer.optimizer.name, this.#optimizer);
    this.#slots = [...this.#slotsOf.values()].flat();
    this.#sizes = new Set(sizes);
    this.#scratch = scratch;
    this.#program = this.#record(batch);
    // before the slots come: that is when most would be there at once
    if (bytesOf(model) > COLLECT_FROM_BYTES) collectGarbage();
    for (const part of this.#program.parts([...model.weights.keys()])) {
      this.#program.take(new Map(part.map((index) => [index, model.weights[index]!.variable])));
      for (const index of part) letGo(tf, model.weights[index]!.variable); // never are all of them there twice
    }
    this.#program.fill();
  }

  get slots(): readonly TensorSpec[] {
    return this.#slots.map(({ name, shape }) => ({ name, dtype: "F32", shape }));
  }

  setSlots(values: (name: string) => TensorValues): void {
    const nameOf = new Map(this.#slots.map(({ name, index }) => [index, name]));
    for (const part of this.#program.parts([...nameOf.keys()]))
      this.#program.write(part, (index) => values(nameOf.get(index)!));
  }

  run(batch: Batch, at: StepAt): number {
    if (!this.#sizes.has(batch.size) || (batch.weights !== undefined && !this.#weighted)) this.#recordAnew(batch);
    this.#release();
    const values = this.#optimizer.scalars(at);
    const scalars = this.#scalars.map((name): [string, Float32Array] => [name, Float32Array.of(values[name]!)]);
    const parts = microBatches(batch, this.#trainer.batchSize);
    const seed = stepSeed(this.#seed, at.step);
    if (parts.length === 1)
      return this.#program.run(entryName("batch", batch.size), new Map([...this.#fed(batch, seed), ...scalars]));
    const total = weightOf(batch);
    let loss = 0;
    parts.forEach((part, i) => {
      const share = Float32Array.of(total === 0 ? 0 : weightOf(part) / total);
      const fed = new Map([...this.#fed(part, seedAfter(seed, i * this.#draws)), ["share", share] as const]);
      loss = Math.fround(loss + this.#program.run(entryName("part", part.size), fed));
    });
    this.#program.run(UPDATE, new Map(scalars));
    return loss;
  }

  #fed(batch: Batch, seed: Int32Array): [string, TensorValues][] {
    const weights = batch.weights ?? new Float32Array(batch.y.length).fill(1);
    return [
      ["x", batch.x],
      ["y", batch.y],
      ["seed", seed],
      ...(this.#weighted ? [["weights", weights] as [string, TensorValues]] : []),
    ];
  }

  snapshot(): Snapshot {
    const program = this.#program;
    const { weights } = this.#model;
    const specs: TensorSpec[] = [
      ...weights.map(({ name, variable }) => ({ name, dtype: dtypeOfVariable(variable), shape: variable.shape })),
      ...this.slots,
    ];
    const unread = new Map(
      program.held(specs.map((_, index) => index)).map((held, i): [number, TensorHandle] => [i, held]),
    );
    const tensors = specs.map((spec, i): SnapshotTensor => ({
      ...spec,
      read: () => {
        const held = unread.get(i);
        if (held === undefined) throw new Error(`${spec.name} of this snapshot is gone: it was read, or disposed of`);
        unread.delete(i);
        return program.read(held);
      },
    }));
    return {
      weights: tensors.slice(0, weights.length),
      slots: tensors.slice(weights.length),
      dispose: () => {
        for (const held of unread.values()) program.drop(held);
        unread.clear();
      },
    };
  }

  /** They share the session's memory, until the next step. */
  pull(): void {
    if (this.#pulled) return;
    const { weights } = this.#model;
    const held = this.#program.held(weights.map((_, index) => index));
    this.#tf.tidy(() => weights.forEach(({ variable }, i) => variable.assign(this.#program.wrap(held[i]!))));
    this.#pulled = true;
  }

  /** What was not pulled is gone. */
  dispose(): void {
    this.#program.dispose();
  }

  /** While the model's variables share the session's memory, an update in place would have to copy it first. */
  #release(): void {
    if (!this.#pulled) return;
    for (const { variable } of this.#model.weights) letGo(this.#tf, variable);
    this.#pulled = false;
  }

  /** Another size of batch: a new program, with what the old one holds. */
  #recordAnew(batch: Batch): void {
    this.#sizes.add(batch.size);
    this.pull();
    const old = this.#program;
    this.#program = this.#record(batch);
    this.#program.fill();
    const count = this.#model.weights.length + this.#slots.length;
    for (const part of this.#program.parts([...Array(count).keys()])) {
      const tensors = old.held(part).map((held) => old.wrap(held));
      this.#program.take(new Map(part.map((index, i) => [index, tensors[i]!])));
      for (const tensor of tensors) tensor.dispose();
    }
    old.dispose();
  }

  #record(batch: Batch): GraphProgram {
    const tf = this.#tf;
    const { slotStart = 0 } = this.#optimizer;
    // kernels know slots by their place in the state alone, everything else as variables
    const slotVariables = this.#slots.map(({ shape }) =>
      this.#kernel === null ? tf.tidy(() => tf.variable(tf.fill(shape.slice(), slotStart), false)) : null,
    );
    this.#weighted = batch.weights !== undefined;
    const summed = [...this.#sizes].some((size) => size > this.#trainer.batchSize);
    const sums = summed
      ? this.#trained().map(({ variable }) => tf.tidy(() => tf.variable(tf.zeros(variable.shape), false)))
      : [];
    const state: StateVariable[] = [
      ...this.#model.weights.map(({ variable }) => ({
        shape: variable.shape,
        type: variable.dtype as "float32",
        variable,
        start: null,
        ofLayers: true,
      })),
      ...this.#slots.map(({ shape }, i) => ({
        shape,
        type: "float32" as const,
        variable: slotVariables[i]!,
        start: slotStart,
        ofLayers: false,
      })),
      ...sums.map((variable) => ({
        shape: variable.shape,
        type: "float32" as const,
        variable,
        start: 0,
        ofLayers: false,
      })),
    ];
    const entries = this.#entries(batch, state, sums);
    try {
      return new GraphProgram(tf, state, entries, { bfloat16: this.#bfloat16, scratch: this.#scratch });
    } finally {
      for (const variable of [...slotVariables, ...sums]) variable?.dispose();
    }
  }

  /**
   * For each size of batch one; where batches are larger than a micro-batch, for each size of those one that adds its share of the gradients
   * up, and one that updates by the sums, which are 0 between two steps: they are no state.
   */
  #entries(batch: Batch, state: readonly StateVariable[], sums: readonly Variable[]): Map<string, Entry> {
    const entries = new Map<string, Entry>();
    const { batchSize } = this.#trainer;
    for (const size of this.#sizes) {
      if (size <= batchSize) {
        entries.set(
          entryName("batch", size),
          this.#entry(batch, size, (inputs, recording) => {
            const { value, gradients } = this.#gradients(inputs);
            this.#update(inputs, recording, state, gradients);
            return value;
          }),
        );
        continue;
      }
      for (const part of [batchSize, size % batchSize].filter((records) => records > 0))
        entries.set(
          entryName("part", part),
          this.#entry(batch, part, (inputs) => this.#addUp(inputs, sums), ["share"]),
        );
      entries.set(UPDATE, this.#updateEntry(state, sums));
    }
    return entries;
  }

  #entry(batch: Batch, size: number, run: Entry["run"], more: readonly string[] = this.#scalars): Entry {
    const { inputShape, classes, task } = this.#shape;
    const labels = task === "multi-label" ? [size, classes] : [size];
    const { x, y, weights } = batch;
    const input = (shape: readonly number[], values: Float32Array | Int32Array): Input => ({
      shape,
      type: values instanceof Int32Array ? "int32" : "float32",
      example: repeated(values, batch.size, size),
    });
    return {
      inputs: new Map<string, Input>([
        ["x", input([size, ...inputShape], x)],
        ["y", input(labels, y)],
        ...(weights === undefined ? [] : [["weights", input(labels, weights)] as const]),
        ["seed", { shape: [2], type: "int32", example: stepSeed(this.#seed, 0) }],
        ...more.map((name): [string, Input] => [name, SCALAR]),
      ]),
      run: (inputs, recording) =>
        withLayersNamed(this.#model.network, recording.recorder, () => run(inputs, recording)),
    };
  }

  #updateEntry(state: readonly StateVariable[], sums: readonly Variable[]): Entry {
    const tf = this.#tf;
    return {
      inputs: new Map(this.#scalars.map((name) => [name, SCALAR])),
      run: (inputs, recording) => {
        this.#update(
          inputs,
          recording,
          state,
          sums.map((sum, i) => (this.#reached[i] === true ? tf.clone(sum) : undefined)),
        );
        for (const sum of sums) sum.assign(tf.zerosLike(sum));
        return tf.scalar(0);
      },
    };
  }

  #trained(): readonly Model["weights"][number][] {
    return this.#model.weights.filter(({ trainable }) => trainable);
  }

  /** @returns for each weight that is trained, in their order; undefined: the loss does not depend on it */
  #gradients(inputs: ReadonlyMap<string, Tensor>): { value: Tensor; gradients: readonly (Tensor | undefined)[] } {
    const tf = this.#tf;
    const trained = this.#trained();
    return withStepDraws(inputs.get("seed")!, () => {
      const { value, grads } = tf.variableGrads(
        () =>
          trainingLoss(tf, this.#model, this.#shape, inputs.get("x")!, inputs.get("y")!, inputs.get("weights") ?? null),
        trained.map(({ variable }) => variable),
      );
      this.#draws = drawnInStep();
      return { value, gradients: trained.map(({ variable }) => grads[variable.name]) };
    });
  }

  #addUp(inputs: ReadonlyMap<string, Tensor>, sums: readonly Variable[]): Tensor {
    const tf = this.#tf;
    const share = inputs.get("share")!;
    const { value, gradients } = this.#gradients(inputs);
    this.#reached = gradients.map((gradient) => gradient !== undefined);
    sums.forEach((sum, i) => {
      const gradient = gradients[i];
      if (gradient !== undefined) sum.assign(tf.add(sum, tf.mul(gradient, share)));
    });
    return tf.mul(value, share);
  }

  #update(
    inputs: ReadonlyMap<string, Tensor>,
    recording: Recording,
    state: readonly StateVariable[],
    gradients: readonly (Tensor | undefined)[],
  ): void {
    const tf = this.#tf;
    const { decay } = this.#optimizer;
    const scalars = Object.fromEntries(this.#scalars.map((name) => [name, inputs.get(name)! as Scalar]));
    const trained = [...this.#model.weights.entries()].filter(([, { trainable }]) => trainable);
    const updated = trained.flatMap(([index, { variable }], i) => {
      const gradient = gradients[i];
      return gradient === undefined ? [] : [{ index, variable, gradient }];
    });
    const changed = transformGradients(
      tf,
      this.#trainer,
      updated.map(({ gradient }) => gradient),
      updated.map(({ variable }) => variable),
    );
    updated.forEach(({ index, variable }, i) => {
      const gradient = changed[i]!;
      const slots = this.#slotsOf.get(index)!;
      if (this.#kernel === null) {
        if (decay !== null && decays(variable)) variable.assign(tf.mul(variable, scalars[decay]!));
        const variables = new Map(slots.map((slot) => [slot.kind, state[slot.index]!.variable!]));
        this.#optimizer.apply(tf, { variable, gradient, slots: variables }, scalars);
        recording.assigned(index);
        return;
      }
      const from = this.#kernel.inputs.map((input) => updateInput(input, { index, gradient, slots, scalars }));
      recording.update(this.#kernel.op, from, this.#kernel.flags ?? {});
    });
  }
}

const SCALAR: Input = { shape: [], type: "float32", example: Float32Array.of(0.5) };

const UPDATE = "update";

/** Above this, the arrays that the weights were made from are worth a collection, which takes some ten milliseconds. */
const COLLECT_FROM_BYTES = 2 ** 26;

const bytesOf = ({ weights }: Model): number => weights.reduce((sum, { variable }) => sum + 4 * variable.size, 0);

const entryName = (of: "batch" | "part", size: number): string => `${of}${size}`;

/** The first records of a batch, over and over if there are too few. */
function repeated<Values extends Int32Array | Float32Array>(values: Values, records: number, size: number): Values {
  const width = values.length / records;
  const example = new (values.constructor as new (length: number) => Values)(size * width);
  return example.map((_, i) => values[i % values.length]!) as Values;
}

function scalarsOf(optimizer: Optimizer, kernel: UpdateKernel | null): string[] {
  if (kernel === null) return Object.keys(optimizer.scalars({ update: 1, learningRate: 0.5 }));
  const used = kernel.inputs.flatMap((input) => (typeof input === "object" && "scalar" in input ? [input.scalar] : []));
  return [...new Set(used)];
}

/** They come behind the weights in the program's state. */
function slotsOf(
  { weights }: Model,
  optimizer: string,
  { slotKinds }: Optimizer,
): ReadonlyMap<number, readonly Slot[]> {
  const trained = [...weights.entries()].filter(([, { trainable }]) => trainable);
  return new Map(
    trained.map(([index, { name, variable }], nth) => [
      index,
      slotKinds.map((kind, k) => ({
        name: slotName(optimizer, kind, name),
        kind,
        shape: variable.shape,
        index: weights.length + nth * slotKinds.length + k,
      })),
    ]),
  );
}

function updateInput(
  input: KernelInput,
  of: { index: number; gradient: Tensor; slots: readonly Slot[]; scalars: Readonly<Record<string, Scalar>> },
): UpdateInput {
  if (input === "variable") return { state: of.index };
  if (input === "gradient") return { gradient: of.gradient };
  if ("constant" in input) return input;
  if ("scalar" in input) return { tensor: of.scalars[input.scalar]! };
  return { state: of.slots.find(({ kind }) => kind === input.slot)!.index };
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

/** The variable keeps its place and has no values until it is assigned some. Whoever shares them keeps them. */
function letGo(tf: Tf, variable: Variable): void {
  const native = nativeBackendOf(tf);
  const held = native.tensorMap.get(variable.dataId);
  if (held.refCount > 1) return;
  if (held.id >= 0) native.binding.deleteTensor(held.id);
  held.id = -1;
  held.values = null;
}

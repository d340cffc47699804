/** The step as one TensorFlow graph: weights and slots are held in its session, and a step is one call. */
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
import type { Model } from "./model.ts";
import { nativeBackendOf, type TensorHandle, type TensorValues } from "./native-backend.ts";
import type { Plan } from "../protocol/types.ts";
import { createOptimizer, slotName, type KernelInput, type Optimizer, type UpdateKernel } from "./optimizer.ts";
import type { Batch, Shape, Snapshot, SnapshotTensor, StepAt, Stepper, TensorSpec } from "./step.ts";
import { stepSeed, withStepDraws } from "./step-draws.ts";
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
  readonly kind = "one graph";
  readonly #tf: Tf;
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #seed: number;
  readonly #optimizer: Optimizer;
  readonly #kernel: UpdateKernel | null;
  /** names of what the optimizer is fed */
  readonly #scalars: readonly string[];
  readonly #slots: readonly Slot[];
  /** by index of the weight */
  readonly #slotsOf: ReadonlyMap<number, readonly Slot[]>;
  readonly #sizes: Set<number>;
  #program: GraphProgram;
  /** the model's own variables have their values */
  #pulled = false;

  /**
   * Takes over the model's weights: its own variables have none from here on, but for what `pull` gives them.
   * @throws {NotRecordable}; what the model throws. The model is as before then.
   */
  constructor(tf: Tf, model: Model, plan: Plan, shape: Shape, { batch, sizes, kernels = true }: GraphOptions) {
    this.#tf = tf;
    this.#model = model;
    this.#shape = shape;
    this.#seed = plan.seed;
    this.#optimizer = createOptimizer(plan.trainer.optimizer);
    this.#kernel = kernels ? this.#optimizer.kernel : null;
    this.#scalars = scalarsOf(this.#optimizer, this.#kernel);
    this.#slotsOf = slotsOf(model, plan.trainer.optimizer.name, this.#optimizer);
    this.#slots = [...this.#slotsOf.values()].flat();
    this.#sizes = new Set(sizes);
    this.#program = this.#record(batch);
    this.#program.fill();
    for (const part of this.#program.parts([...model.weights.keys()])) {
      this.#program.take(new Map(part.map((index) => [index, model.weights[index]!.variable])));
      for (const index of part) letGo(tf, model.weights[index]!.variable); // never are all of them there twice
    }
    if (bytesOf(model) > COLLECT_FROM_BYTES) collectGarbage();
  }

  get slots(): readonly TensorSpec[] {
    return this.#slots.map(({ name, shape }) => ({ name, dtype: "F32", shape }));
  }

  setSlots(values: ReadonlyMap<string, Float32Array>): void {
    const nameOf = new Map(this.#slots.map(({ name, index }) => [index, name]));
    for (const part of this.#program.parts([...nameOf.keys()]))
      this.#program.write(new Map(part.map((index) => [index, values.get(nameOf.get(index)!)!])));
  }

  run(batch: Batch, at: StepAt): number {
    if (!this.#sizes.has(batch.size)) this.#recordAnew(batch);
    this.#release();
    const scalars = this.#optimizer.scalars(at);
    return this.#program.run(
      entryName(batch.size),
      new Map<string, TensorValues>([
        ["x", batch.x],
        ["y", batch.y],
        ["seed", stepSeed(this.#seed, at.step)],
        ...this.#scalars.map((name): [string, Float32Array] => [name, Float32Array.of(scalars[name]!)]),
      ]),
    );
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
    const state: StateVariable[] = [
      ...this.#model.weights.map(({ variable }) => ({
        shape: variable.shape,
        type: variable.dtype as "float32",
        variable,
        start: null,
      })),
      ...this.#slots.map(({ shape }, i) => ({
        shape,
        type: "float32" as const,
        variable: slotVariables[i]!,
        start: slotStart,
      })),
    ];
    const entries = new Map([...this.#sizes].map((size) => [entryName(size), this.#entry(batch, size, state)]));
    try {
      return new GraphProgram(tf, state, entries);
    } finally {
      for (const variable of slotVariables) variable?.dispose();
    }
  }

  #entry(batch: Batch, size: number, state: readonly StateVariable[]): Entry {
    const { inputShape } = this.#shape;
    const scalar: Input = { shape: [], type: "float32", example: Float32Array.of(0.5) };
    return {
      inputs: new Map<string, Input>([
        ["x", { shape: [size, ...inputShape], type: "float32", example: repeated(batch.x, batch.size, size) }],
        ["y", { shape: [size], type: typeOf(batch.y), example: repeated(batch.y, batch.size, size) }],
        ["seed", { shape: [2], type: "int32", example: stepSeed(this.#seed, 0) }],
        ...this.#scalars.map((name): [string, Input] => [name, scalar]),
      ]),
      run: (inputs, recording) =>
        withLayersNamed(this.#model.network, recording.recorder, () => this.#step(inputs, recording, state)),
    };
  }

  #step(inputs: ReadonlyMap<string, Tensor>, recording: Recording, state: readonly StateVariable[]): Tensor {
    const tf = this.#tf;
    const { weights } = this.#model;
    const trainable = weights.filter(({ trainable }) => trainable).map(({ variable }) => variable);
    const { value, grads } = withStepDraws(inputs.get("seed")!, () =>
      tf.variableGrads(() => trainingLoss(tf, this.#model, this.#shape, inputs.get("x")!, inputs.get("y")!), trainable),
    );
    const scalars = Object.fromEntries(this.#scalars.map((name) => [name, inputs.get(name)! as Scalar]));
    weights.forEach(({ variable, trainable }, index) => {
      const gradient = grads[variable.name];
      if (!trainable || gradient === undefined) return;
      const slots = this.#slotsOf.get(index)!;
      if (this.#kernel === null) {
        const variables = new Map(slots.map(({ kind, index }) => [kind, state[index]!.variable!]));
        this.#optimizer.apply(tf, { variable, gradient, slots: variables }, scalars);
        return;
      }
      const from = this.#kernel.inputs.map((input) => updateInput(input, { index, gradient, slots, scalars }));
      recording.update(this.#kernel.op, from, this.#kernel.flags ?? {});
    });
    return value;
  }
}

/** Above this, the arrays that the weights were made from are worth a collection, which takes some ten milliseconds. */
const COLLECT_FROM_BYTES = 2 ** 26;

const bytesOf = ({ weights }: Model): number => weights.reduce((sum, { variable }) => sum + 4 * variable.size, 0);

const entryName = (size: number): string => `batch${size}`;

const typeOf = (values: Int32Array | Float32Array): "int32" | "float32" =>
  values instanceof Int32Array ? "int32" : "float32";

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
  if (input === "gradient") return { tensor: of.gradient };
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

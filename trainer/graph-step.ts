/** The step as one TensorFlow graph: weights and slots are held in its session, and a step is one call. */
import { tmpdir } from "node:os";
import type { Plan } from "../protocol/types.ts";
import { collectGarbage } from "./collect-garbage.ts";
import type { GraphProgram } from "./graph/program.ts";
import { programOptimizer } from "./graph/optimizer-slots.ts";
import { entryName, recordStep, UPDATE, type RecordedStep, type StepToRecord } from "./graph/record-step.ts";
import { microBatches, weightOf } from "./micro-batches.ts";
import type { Model } from "./model.ts";
import { nativeBackendOf, type TensorHandle, type TensorValues } from "./native-backend.ts";
import type { Batch, Shape, Snapshot, SnapshotTensor, StepAt, Stepper, TensorSpec } from "./step.ts";
import { seedAfter, stepSeed } from "./step-draws.ts";
import type { Tf, Variable } from "./tf.ts";
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

export class GraphStepper implements Stepper {
  readonly kind: string = "one graph";
  readonly #tf: Tf;
  readonly #model: Model;
  readonly #step: StepToRecord;
  readonly #sizes: Set<number>;
  #recorded: RecordedStep;
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
    if (bfloat16) this.kind = "one graph, mixed precision";
    const { trainer, seed } = plan;
    const optimizer = programOptimizer(model, trainer.optimizer, kernels);
    this.#tf = tf;
    this.#model = model;
    this.#step = { tf, model, shape, trainer, seed, optimizer, options: { bfloat16, scratch } };
    this.#sizes = new Set(sizes);
    this.#recorded = recordStep(this.#step, this.#sizes, batch);
    // before the slots come: that is when most would be there at once
    if (bytesOf(model) > COLLECT_FROM_BYTES) collectGarbage();
    for (const part of this.#program.parts([...model.weights.keys()])) {
      this.#program.take(new Map(part.map((index) => [index, model.weights[index]!.variable])));
      for (const index of part) letGo(tf, model.weights[index]!.variable); // never are all of them there twice
    }
    this.#program.fill();
  }

  get #program(): GraphProgram {
    return this.#recorded.program;
  }

  get slots(): readonly TensorSpec[] {
    return this.#step.optimizer.slots.map(({ name, shape }) => ({ name, dtype: "F32", shape }));
  }

  setSlots(values: (name: string) => TensorValues): void {
    const nameOf = new Map(this.#step.optimizer.slots.map(({ name, index }) => [index, name]));
    for (const part of this.#program.parts([...nameOf.keys()]))
      this.#program.write(part, (index) => values(nameOf.get(index)!));
  }

  run(batch: Batch, at: StepAt): number {
    if (!this.#sizes.has(batch.size) || (batch.weights !== undefined && !this.#recorded.weighted))
      this.#recordAnew(batch);
    this.#release();
    const { trainer, optimizer: its } = this.#step;
    const values = its.optimizer.scalars(at);
    const scalars = its.scalars.map((name): [string, Float32Array] => [name, Float32Array.of(values[name]!)]);
    const parts = microBatches(batch, trainer.batchSize);
    const seed = stepSeed(this.#step.seed, at.step);
    if (parts.length === 1)
      return this.#program.run(entryName("batch", batch.size), new Map([...this.#fed(batch, seed), ...scalars]));
    const total = weightOf(batch);
    let loss = 0;
    parts.forEach((part, i) => {
      const share = Float32Array.of(total === 0 ? 0 : weightOf(part) / total);
      const fed = new Map([...this.#fed(part, seedAfter(seed, i * this.#recorded.draws)), ["share", share] as const]);
      loss = Math.fround(loss + this.#program.run(entryName("part", part.size), fed));
    });
    this.#program.run(UPDATE, new Map(scalars));
    return loss;
  }

  #fed(batch: Batch, seed: Int32Array): [string, TensorValues][] {
    const fed: [string, TensorValues][] = [
      ["x", batch.x],
      ["y", batch.y],
      ["seed", seed],
    ];
    if (this.#recorded.weighted) fed.push(["weights", batch.weights ?? new Float32Array(batch.y.length).fill(1)]);
    return fed;
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
    this.#recorded = recordStep(this.#step, this.#sizes, batch);
    this.#program.fill();
    const count = this.#model.weights.length + this.#step.optimizer.slots.length;
    for (const part of this.#program.parts([...Array(count).keys()])) {
      const tensors = old.held(part).map((held) => old.wrap(held));
      this.#program.take(new Map(part.map((index, i) => [index, tensors[i]!])));
      for (const tensor of tensors) tensor.dispose();
    }
    old.dispose();
  }
}

/** Above this, the arrays that the weights were made from are worth a collection, which takes some ten milliseconds. */
const COLLECT_FROM_BYTES = 2 ** 26;

const bytesOf = ({ weights }: Model): number => weights.reduce((sum, { variable }) => sum + 4 * variable.size, 0);

/** The variable keeps its place and has no values until it is assigned some. Whoever shares them keeps them. */
function letGo(tf: Tf, variable: Variable): void {
  const native = nativeBackendOf(tf);
  const held = native.tensorMap.get(variable.dataId);
  if (held.refCount > 1) return;
  if (held.id >= 0) native.binding.deleteTensor(held.id);
  held.id = -1;
  held.values = null;
}

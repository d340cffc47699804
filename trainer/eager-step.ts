/** The step operation by operation, on any backend. */
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Plan } from "../protocol/types.ts";
import { decays, transformGradients } from "./gradients.ts";
import { trainingLoss } from "./loss.ts";
import type { Model } from "./model.ts";
import { microBatches, weightOf } from "./micro-batches.ts";
import { nativeBackendOf } from "./native-backend.ts";
import { createOptimizer, slotName, type Optimizer, type Update } from "./optimizer.ts";
import { CounterRandom, withSeededRandom } from "./random.ts";
import type { Batch, Shape, Snapshot, SnapshotTensor, StepAt, Stepper, TensorSpec } from "./step.ts";
import { stepSeed, withStepDraws } from "./step-draws.ts";
import type { TensorValues } from "./native-backend.ts";
import type { Tensor, Tf, Variable } from "./tf.ts";
import { assign, dtypeOfVariable } from "./variables.ts";

export class EagerStepper implements Stepper {
  readonly kind: string;
  readonly #tf: Tf;
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #seed: number;
  readonly #trainer: TrainerConfig;
  readonly #optimizer: Optimizer;
  readonly #trainable: readonly Variable[];
  /** by name, see slotName */
  readonly #slots = new Map<string, Variable>();
  /** the same, by weight and kind */
  readonly #slotsOf = new Map<string, ReadonlyMap<string, Variable>>();

  constructor(tf: Tf, model: Model, plan: Plan, shape: Shape) {
    this.#tf = tf;
    this.kind = "op by op";
    this.#model = model;
    this.#shape = shape;
    this.#seed = plan.seed;
    this.#trainer = plan.trainer;
    this.#optimizer = createOptimizer(plan.trainer.optimizer);
    this.#trainable = model.weights.filter(({ trainable }) => trainable).map(({ variable }) => variable);
    const { slotKinds, slotStart = 0 } = this.#optimizer;
    for (const { name, variable, trainable } of model.weights) {
      if (!trainable) continue;
      const slots = slotKinds.map((kind): [string, Variable] => [
        kind,
        tf.tidy(() => tf.variable(tf.fill(variable.shape, slotStart), false)),
      ]);
      for (const [kind, slot] of slots) this.#slots.set(slotName(plan.trainer.optimizer.name, kind, name), slot);
      this.#slotsOf.set(name, new Map(slots));
    }
  }

  get slots(): readonly TensorSpec[] {
    return [...this.#slots].map(([name, { shape }]) => ({ name, dtype: "F32", shape }));
  }

  setSlots(values: (name: string) => TensorValues): void {
    for (const [name, slot] of this.#slots) assign(this.#tf, slot, values(name));
  }

  run(batch: Batch, at: StepAt): number {
    const tf = this.#tf;
    return tf.tidy(() => {
      const { value, grads } = this.#gradients(batch, at.step);
      const updates = this.#model.weights.flatMap(({ name, variable, trainable }): Update[] => {
        const gradient = grads[variable.name];
        return trainable && gradient !== undefined ? [{ variable, gradient, slots: this.#slotsOf.get(name)! }] : [];
      });
      updateWeights(tf, this.#optimizer, this.#trainer, updates, at);
      return value.dataSync()[0]!;
    });
  }

  snapshot(): Snapshot {
    const held: Tensor[] = [];
    const hold = (name: string, variable: Variable): SnapshotTensor => {
      // a clone shares the values with the variable, and keeps them when the variable is given others
      const tensor = this.#tf.keep(variable.clone());
      held.push(tensor);
      return {
        name,
        dtype: dtypeOfVariable(variable),
        shape: variable.shape,
        read: () => {
          const shared = isSharedWhenRead(this.#tf, tensor);
          const values = tensor.dataSync() as Float32Array;
          tensor.dispose();
          return shared ? values.slice() : values;
        },
      };
    };
    return {
      weights: this.#model.weights.map(({ name, variable }) => hold(name, variable)),
      slots: [...this.#slots].map(([name, variable]) => hold(name, variable)),
      dispose: () => held.forEach((tensor) => tensor.dispose()),
    };
  }

  /** The model's variables are what is trained. */
  pull(): void {}

  dispose(): void {
    for (const slot of this.#slots.values()) slot.dispose();
  }

  /**
   * Of the whole batch, micro-batch after micro-batch, so that only one's activations are held at a time. A mean over the batch is the
   * micro-batches' means, each by its part of the batch's weight (batch norm sees each micro-batch by itself).
   */
  #gradients(batch: Batch, step: number): Gradients {
    const tf = this.#tf;
    // on the native backend as in a graph, so that both draw the same; around all parts, so that each draws its own
    const seed = tf.getBackend() === "tensorflow" ? tf.tensor1d(stepSeed(this.#seed, step), "int32") : null;
    return withStepDraws(seed, () => this.#gradientsOfParts(batch, step));
  }

  #gradientsOfParts(batch: Batch, step: number): Gradients {
    const tf = this.#tf;
    const random = new CounterRandom({ seed: this.#seed, stream: "step", index: step });
    const parts = microBatches(batch, this.#trainer.batchSize);
    if (parts.length === 1) return this.#gradientsOf(batch, random);
    const total = weightOf(batch);
    let names: readonly string[] = [];
    let sums: readonly Tensor[] | undefined;
    for (const part of parts) {
      const before = sums;
      sums = tf.tidy(() => {
        const { value, grads } = this.#gradientsOf(part, random);
        names = Object.keys(grads);
        const share = total === 0 ? 0 : weightOf(part) / total;
        const shares = [value, ...Object.values(grads)].map((tensor) => tf.mul(tensor, share));
        return before === undefined ? shares : shares.map((tensor, i) => tf.add(before[i]!, tensor));
      });
      before?.forEach((tensor) => tensor.dispose());
    }
    const [value, ...gradients] = sums!;
    return { value: value!, grads: Object.fromEntries(names.map((name, i) => [name, gradients[i]!])) };
  }

  #gradientsOf(batch: Batch, random: CounterRandom): Gradients {
    const tf = this.#tf;
    const { inputShape, task, classes } = this.#shape;
    // copies: a backend may keep the very array, a layer the tensor, and the batch's memory is used again
    const x = tf.tensor(
      batch.x.slice(),
      [batch.size, ...inputShape],
      batch.x instanceof Int32Array ? "int32" : "float32",
    );
    const labels = task === "multi-label" ? [batch.size, classes] : [batch.size];
    const y = tf.tensor(batch.y.slice(), labels, task === "classification" ? "int32" : "float32");
    const weights = batch.weights === undefined ? null : tf.tensor(batch.weights.slice(), labels, "float32");
    return withSeededRandom(random, () =>
      tf.variableGrads(() => trainingLoss(tf, this.#model, this.#shape, x, y, weights), [...this.#trainable]),
    );
  }

  /**
   * Tries forward and backward on a batch and changes nothing.
   * @returns the operation that this backend lacks, if that is what stops it
   * @throws {AccreteError} MODEL_INVALID for whatever else the model throws
   */
  probe(batch: Batch): string | undefined {
    const tf = this.#tf;
    const before = this.#model.weights.map(({ variable }) => variable.dataSync().slice());
    try {
      const [first] = microBatches(batch, this.#trainer.batchSize);
      tf.tidy(() => void this.#gradients(first!, 0).value.dataSync());
      return undefined;
    } catch (cause) {
      const missing = missingKernel(tf, cause);
      if (missing !== undefined) return missing;
      throw modelThrows(cause, batch.size);
    } finally {
      // batch norm's moving averages are changed by a forward pass
      this.#model.weights.forEach(({ variable }, i) => assign(tf, variable, before[i]!));
    }
  }
}

export function modelThrows(cause: unknown, records: number): AccreteError {
  return new AccreteError("MODEL_INVALID", `the model throws on a batch of ${records} records: ${messageOf(cause)}`, {
    cause,
  });
}

interface Gradients {
  readonly value: Tensor;
  /** by the variable's name */
  readonly grads: Readonly<Record<string, Tensor>>;
}

/** One update of all weights: clipping and coupled decay, then decoupled decay, then the optimizer. Inside a tidy. */
export function updateWeights(
  tf: Tf,
  optimizer: Optimizer,
  config: Pick<TrainerConfig, "clip" | "weightDecay">,
  updates: readonly Update[],
  at: Pick<StepAt, "update" | "learningRate">,
): void {
  const scalars = Object.fromEntries(
    Object.entries(optimizer.scalars(at)).map(([name, scalar]) => [name, tf.scalar(scalar)]),
  );
  const gradients = transformGradients(
    tf,
    config,
    updates.map(({ gradient }) => gradient),
    updates.map(({ variable }) => variable),
  );
  updates.forEach(({ variable, slots }, i) => {
    if (optimizer.decay !== null && decays(variable)) variable.assign(tf.mul(variable, scalars[optimizer.decay]!));
    optimizer.apply(tf, { variable, gradient: gradients[i]!, slots }, scalars);
  });
}

/**
 * Whether reading a tensor gives the very array that it has its values in, which whoever moves it to another thread would take away. So does the
 * plain backend, and the native one with values that no operation has asked for yet.
 */
function isSharedWhenRead(tf: Tf, tensor: Tensor): boolean {
  if (tf.getBackend() === "cpu") return true;
  return tf.getBackend() === "tensorflow" && nativeBackendOf(tf).tensorMap.get(tensor.dataId).values !== null;
}

/** The operation that the backend in use lacks, if that is what was thrown; the plain one lacks none. */
export function missingKernel(tf: Tf, thrown: unknown): string | undefined {
  if (tf.getBackend() === "cpu") return undefined;
  return /Kernel '?(\w+)'? not registered/i.exec(messageOf(thrown))?.[1];
}

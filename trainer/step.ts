/** One update of the weights: forward, loss, gradients, optimizer. Eager: a later version records it as one graph. */
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Plan } from "../protocol/types.ts";
import type { Model } from "./model.ts";
import { createOptimizer, slotName, type Optimizer } from "./optimizer.ts";
import { CounterRandom, withSeededRandom } from "./random.ts";
import type { Scalar, Tensor, Tf, Variable } from "./tf.ts";

export interface Batch {
  readonly size: number;
  /** size x records' width, normalised */
  readonly x: Float32Array;
  /** class indexes, or values */
  readonly y: Int32Array | Float32Array;
}

export interface Shape {
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly task: "classification" | "regression";
}

export class Stepper {
  readonly #tf: Tf;
  readonly #model: Model;
  readonly #shape: Shape;
  readonly #seed: number;
  readonly #optimizer: Optimizer;
  readonly #trainable: readonly Variable[];
  /** by name, see slotName */
  readonly slots = new Map<string, Variable>();

  constructor(tf: Tf, model: Model, plan: Plan, shape: Shape) {
    this.#tf = tf;
    this.#model = model;
    this.#shape = shape;
    this.#seed = plan.seed;
    this.#optimizer = createOptimizer(plan.trainer.optimizer);
    this.#trainable = model.weights.filter(({ trainable }) => trainable).map(({ variable }) => variable);
    for (const { name, variable, trainable } of model.weights) {
      for (const kind of trainable ? this.#optimizer.slotKinds : []) {
        this.slots.set(slotName(plan.trainer.optimizer.name, kind, name), tf.variable(tf.zeros(variable.shape), false));
      }
    }
    this.#optimizerName = plan.trainer.optimizer.name;
  }
  readonly #optimizerName: string;

  /**
   * Updates the weights by one batch.
   * @param at.step within the round, from 0: what dropout and noise draw from; at.update: of the optimizer, from 1
   * @returns the batch's mean loss before the update
   */
  run(batch: Batch, at: { step: number; update: number; learningRate: number }): number {
    const tf = this.#tf;
    return tf.tidy(() => {
      const { value, grads } = this.#gradients(batch, at.step);
      for (const { name, variable, trainable } of this.#model.weights) {
        const gradient = grads[variable.name];
        if (!trainable || gradient === undefined) continue;
        const slots = new Map(
          this.#optimizer.slotKinds.map((kind) => [kind, this.slots.get(slotName(this.#optimizerName, kind, name))!]),
        );
        this.#optimizer.apply(tf, { variable, gradient, slots }, at);
      }
      return value.dataSync()[0]!;
    });
  }

  #gradients(batch: Batch, step: number): { value: Tensor; grads: Readonly<Record<string, Tensor>> } {
    const tf = this.#tf;
    const { inputShape, classes, task } = this.#shape;
    const x = tf.tensor(batch.x, [batch.size, ...inputShape], "float32");
    const random = new CounterRandom({ seed: this.#seed, stream: "step", index: step });
    return withSeededRandom(random, () =>
      tf.variableGrads((): Scalar => {
        const scores = this.#model.apply(x, { training: true });
        const loss: Scalar =
          task === "regression"
            ? tf.losses.meanSquaredError(tf.tensor(batch.y, [batch.size, 1], "float32"), scores)
            : tf.losses.softmaxCrossEntropy(tf.oneHot(tf.tensor1d(batch.y, "int32"), classes), scores);
        // what the layers' regularizers add
        return this.#model.network.calculateLosses().reduce<Scalar>((sum, penalty) => tf.add(sum, penalty), loss);
      }, [...this.#trainable]),
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
      tf.tidy(() => void this.#gradients(batch, 0).value.dataSync());
      return undefined;
    } catch (cause) {
      const missing = missingKernel(tf, cause);
      if (missing !== undefined) return missing;
      throw new AccreteError(
        "MODEL_INVALID",
        `the model throws on a batch of ${batch.size} records: ${messageOf(cause)}`,
        { cause },
      );
    } finally {
      // batch norm's moving averages are changed by a forward pass
      this.#model.weights.forEach(({ variable }, i) => assign(tf, variable, before[i]!));
    }
  }
}

/** Sets a variable's values, and leaves no tensor behind. */
export function assign(tf: Tf, variable: Variable, values: Float32Array | Int32Array | Uint8Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape, variable.dtype as "float32")));
}

/** The operation that the backend in use lacks, if that is what was thrown; the plain one lacks none. */
export function missingKernel(tf: Tf, thrown: unknown): string | undefined {
  if (tf.getBackend() === "cpu") return undefined;
  return /Kernel '?(\w+)'? not registered/i.exec(messageOf(thrown))?.[1];
}

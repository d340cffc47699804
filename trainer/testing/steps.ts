/** Steps for the tests: a small model, batches and a stepper for it, on TensorFlow's library. */
import type { ModelContext } from "../../protocol/model.ts";
import type { Plan } from "../../protocol/types.ts";
import { planOf, type TrainerInput } from "./plan.ts";
import { buildModel, type Model } from "../model.ts";
import { CounterRandom } from "../random.ts";
import type { Schema } from "../schema.ts";
import { shapeOf, type Batch, type Shape, type StepAt, type Stepper } from "../step.ts";
import type { LayersModel, Tf } from "../tf.ts";

export interface Case {
  readonly inputShape: readonly number[];
  /** 0: regression */
  readonly classes: number;
  readonly build: (context: ModelContext) => LayersModel;
  readonly trainer?: TrainerInput;
}

export function built(
  tf: Tf,
  { inputShape, classes, build, trainer }: Case,
): { model: Model; shape: Shape; plan: Plan } {
  const task = classes === 0 ? "regression" : "classification";
  const schema: Schema = {
    format: 1,
    task,
    inputShape: [...inputShape],
    classes: Array.from({ length: classes }, (_, i) => `c${i}`),
    columns: null,
    label: null,
  };
  const plan = planOf(trainer);
  return {
    model: buildModel(tf, { build }, plan, schema),
    shape: shapeOf(schema, plan.trainer),
    plan,
  };
}

/** The same for the same index. Values are in [0, 3). */
export function batchOf(
  { inputShape, classes }: Pick<Case, "inputShape" | "classes">,
  size: number,
  index: number,
): Batch {
  const random = new CounterRandom({ seed: 5, stream: "order", index });
  const width = inputShape.reduce((product, each) => product * each, 1);
  const x = Float32Array.from({ length: size * width }, () => random.float() * 3);
  if (classes === 0) return { size, x, y: Float32Array.from({ length: size }, () => random.float()) };
  return { size, x, y: Int32Array.from({ length: size }, () => random.below(classes)) };
}

/** In memory of its own: that of a batch that is trained on is used again. */
export const copyOf = ({ size, x, y, weights }: Batch): Batch => ({
  size,
  x: x.slice(),
  y: y.slice(),
  ...(weights === undefined ? {} : { weights: weights.slice() }),
});

/** A learning rate of its own for each step. */
export const stepAt = (step: number): StepAt => ({ step, update: step + 1, learningRate: 0.02 / (1 + step / 10) });

/** Losses of a step for each size, from `from` on. */
export function runSteps(
  stepper: Stepper,
  of: Pick<Case, "inputShape" | "classes">,
  sizes: readonly number[],
  from = 0,
): number[] {
  return sizes.map((size, i) => stepper.run(batchOf(of, size, from + i), stepAt(from + i)));
}

/** Values of weights and slots, in their order. */
export function valuesOf(stepper: Stepper): (Float32Array | Int32Array | Uint8Array)[] {
  const snapshot = stepper.snapshot();
  return [...snapshot.weights, ...snapshot.slots].map((tensor) => tensor.read());
}

/** By how much any value differs at most: 0 only for the same bits. */
export function distance(one: readonly ArrayLike<number>[], other: readonly ArrayLike<number>[]): number {
  if (one.length !== other.length) return Infinity;
  let most = 0;
  one.forEach((values, i) => {
    for (let k = 0; k < values.length; k++) {
      const [a, b] = [values[k]!, other[i]![k]!];
      if (!Object.is(a, b)) most = Math.max(most, Math.abs(a - b) || Infinity); // NaN, or another sign of 0
    }
  });
  return most;
}

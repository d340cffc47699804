/** Measures on the holdout: in double precision and in a fixed order, so that the same weights have the same figures. */
import type { Metrics } from "../protocol/types.ts";
import type { Holdout } from "./holdout-state.ts";
import { measureOf } from "./measures.ts";
import type { Model } from "./model.ts";
import { nextTurn } from "./next-turn.ts";
import { modelComputes } from "./model-throws.ts";
import { floatsInto, inputArray, kindOf } from "./packed/row-layout.ts";
import { normaliseInto, type Normalisation } from "./scale.ts";
import type { Shape } from "./step.ts";
import type { Tf } from "./tf.ts";

const BATCH = 256;

/**
 * What measures.ts has for the task, over the holdouts of all rounds; and for each round accuracy or mse of its own, as
 * `accuracy.round<n>`. Without a record in the holdout only `holdoutRecords: 0`.
 * Signals and timers come between its batches.
 * @throws {AccreteError} MODEL_INVALID if the model throws
 */
export async function evaluate(
  tf: Tf,
  model: Model,
  holdout: Holdout,
  shape: Shape,
  normalisation: Normalisation | null,
): Promise<Metrics> {
  if (holdout.count === 0) return { holdoutRecords: 0 };
  const { classes } = shape;
  const labels = holdout.labels.length / holdout.count;
  const measure = measureOf(shape);
  for (let from = 0; from < holdout.count; from += BATCH) {
    const size = Math.min(BATCH, holdout.count - from);
    const scores = modelComputes(
      () => scoresOf(tf, model, holdout, shape, normalisation, from, size),
      () => `on ${size} records of the holdout`,
    );
    for (let i = 0; i < size; i++)
      measure.add(
        scores.subarray(i * classes, (i + 1) * classes),
        holdout.labels.subarray((from + i) * labels, (from + i + 1) * labels),
        holdout.rounds[from + i]!,
      );
    await nextTurn();
  }
  const metrics: Metrics = { holdoutRecords: holdout.count, ...measure.metrics() };
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)));
}

function scoresOf(
  tf: Tf,
  model: Model,
  holdout: Holdout,
  shape: Shape,
  normalisation: Normalisation | null,
  from: number,
  size: number,
): Float32Array {
  const { width, features } = holdout;
  const x = inputArray(kindOf(features), size * width);
  if (x instanceof Int32Array) x.set(features.subarray(from * width, (from + size) * width));
  else floatsInto(features, from * width, size * width, x, 0);
  if (normalisation !== null && x instanceof Float32Array)
    for (let i = 0; i < size; i++) normaliseInto(normalisation, x, width, i, x, i);
  return tf.tidy(() =>
    model
      .apply(tf.tensor(x, [size, ...shape.inputShape], x instanceof Int32Array ? "int32" : "float32"), {
        training: false,
      })
      .dataSync(),
  ) as Float32Array;
}

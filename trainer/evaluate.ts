/** Measures on the holdout: in double precision and in a fixed order, so that the same weights have the same figures. */
import type { Metrics } from "../protocol/types.ts";
import type { Holdout } from "./holdout-state.ts";
import type { Model } from "./model.ts";
import { normaliseInto, type Normalisation } from "./normalise.ts";
import type { Shape } from "./step.ts";
import type { Tf } from "./tf.ts";

const BATCH = 256;

interface Sums {
  records: number;
  loss: number;
  correct: number;
  absolute: number;
}

/**
 * loss (mean cross-entropy, or mean squared error), and accuracy in 0..1, or mse and mae; over the holdouts of all rounds, and
 * for each round its own as `accuracy.round<n>`. Without a record in the holdout only `holdoutRecords: 0`.
 */
export function evaluate(
  tf: Tf,
  model: Model,
  holdout: Holdout,
  shape: Shape,
  normalisation: Normalisation | null,
): Metrics {
  const total: Sums = { records: 0, loss: 0, correct: 0, absolute: 0 };
  const rounds = new Map<number, Sums>();
  for (let from = 0; from < holdout.count; from += BATCH) {
    const size = Math.min(BATCH, holdout.count - from);
    const scores = scoresOf(tf, model, holdout, shape, normalisation, from, size);
    for (let i = 0; i < size; i++) {
      const round = holdout.rounds[from + i]!;
      const own = rounds.get(round) ?? { records: 0, loss: 0, correct: 0, absolute: 0 };
      rounds.set(round, own);
      for (const sums of [total, own]) addRecord(sums, scores, i, holdout.labels[from + i]!, shape);
    }
  }
  if (total.records === 0) return { holdoutRecords: 0 };
  const metrics: Metrics = { holdoutRecords: total.records, ...measures(total, shape) };
  const headline = shape.task === "regression" ? "mse" : "accuracy";
  for (const [round, sums] of rounds) metrics[`${headline}.round${round}`] = measures(sums, shape)[headline]!;
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
  let x = features.subarray(from * width, (from + size) * width);
  if (normalisation !== null) {
    const scaled = new Float32Array(size * width);
    for (let i = 0; i < size; i++) normaliseInto(normalisation, features, width, from + i, scaled, i);
    x = scaled;
  }
  return tf.tidy(() =>
    model.apply(tf.tensor(x, [size, ...shape.inputShape], "float32"), { training: false }).dataSync(),
  ) as Float32Array;
}

function addRecord(sums: Sums, scores: Float32Array, i: number, label: number, { task, classes }: Shape): void {
  sums.records++;
  if (task === "regression") {
    const error = scores[i]! - label;
    sums.loss += error * error;
    sums.absolute += Math.abs(error);
    return;
  }
  const row = scores.subarray(i * classes, (i + 1) * classes);
  let best = 0;
  for (let c = 1; c < classes; c++) if (row[c]! > row[best]!) best = c;
  const peak = row[best]!;
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += Math.exp(row[c]! - peak);
  sums.loss += Math.log(sum) + peak - row[label]!;
  if (best === label) sums.correct++;
}

function measures({ records, loss, correct, absolute }: Sums, { task }: Shape): Metrics {
  if (task === "regression") return { loss: loss / records, mse: loss / records, mae: absolute / records };
  return { loss: loss / records, accuracy: correct / records };
}

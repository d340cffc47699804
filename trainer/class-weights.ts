/** How much each class's records count in the loss: a function of the config and of the round's training records, so no state. */
import { AccreteError } from "../protocol/errors.ts";
import { classWeightsFault } from "../protocol/task-config.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import { countClasses, type PackedRecords } from "./packed/records.ts";
import type { Schema } from "./schema.ts";
import type { Batch } from "./step.ts";

/** Weights of labels. */
export interface ClassWeights {
  /** @param label of classification the class; of multi-label, 0 or 1 of the class in `column` */
  of(label: number, column: number): number;
}

/**
 * By name: a class's records count so much (multi-label: its column). balanced: n / (k n_c) for a class with n_c of n records, k the
 * classes that have any; multi-label: for each column so with k = 2, those that have the class and those that don't.
 * @param records those that are trained on count
 * @returns null: all count the same
 * @see King and Zeng 2001, Logistic Regression in Rare Events Data; scikit-learn's class_weight "balanced"
 * @throws {AccreteError} CONFIG_INVALID if there is no such class
 */
export function classWeightsOf(
  trainer: Pick<TrainerConfig, "classWeights">,
  schema: Pick<Schema, "task" | "classes">,
  records: PackedRecords,
): ClassWeights | null {
  const { classWeights } = trainer;
  if (classWeights === null || schema.task === "regression") return null;
  const { classes, task } = schema;
  const fault = classWeightsFault(trainer, classes);
  if (fault !== undefined) throw new AccreteError("CONFIG_INVALID", fault);
  if (classWeights !== "balanced") {
    const byClass = Float64Array.from(classes, (name) => classWeights[name] ?? 1);
    return { of: (label, column) => byClass[task === "multi-label" ? column : label]! };
  }
  const counts = countClasses(records, classes.length);
  const all = records.train.length;
  if (task === "multi-label") return { of: (label, c) => all / (2 * (label === 1 ? counts[c]! : all - counts[c]!)) };
  const present = counts.filter((count) => count > 0).length;
  return { of: (label) => all / (present * counts[label]!) };
}

/** The batch with its classes' weights, times those that it has. */
export function weighted(batch: Batch, classWeights: ClassWeights | null): Batch {
  if (classWeights === null) return batch;
  const { size, y } = batch;
  const width = y.length / size;
  const weights = new Float32Array(y.length);
  for (let i = 0; i < y.length; i++) weights[i] = classWeights.of(y[i]!, i % width) * (batch.weights?.[i] ?? 1);
  return { ...batch, weights };
}

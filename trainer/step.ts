/** What one update of the weights is, whoever does it: op by op (eager-step.ts), or as one graph. */
import type { TensorValues } from "./native-backend.ts";
import type { Task } from "../protocol/data-config.ts";
import type { Dtype } from "../protocol/safetensors.ts";
import { lossOfTask } from "../protocol/task-config.ts";
import type { LossName, TrainerConfig } from "../protocol/trainer-config.ts";
import { outputsOf, type Schema } from "./schema.ts";

export interface Batch {
  readonly size: number;
  /** size x inputs of one record, normalised; int32: token ids */
  readonly x: Float32Array | Int32Array;
  /** class indexes, or values; multi-label: size x classes, each 0 or 1 */
  readonly y: Int32Array | Float32Array;
  /** how much each of y counts, at least 0; left out: 1 */
  readonly weights?: Float32Array | undefined;
}

export interface Shape {
  /** tokens: x is int32; left out: numbers */
  readonly inputs?: "numbers" | "tokens" | undefined;
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly task: Task;
  readonly loss: LossName;
  readonly labelSmoothing: number;
}

export function shapeOf(
  schema: Pick<Schema, "inputShape" | "classes" | "task" | "vocabulary">,
  trainer: Pick<TrainerConfig, "loss" | "labelSmoothing">,
): Shape {
  const { inputShape, task } = schema;
  return {
    inputs: schema.vocabulary === undefined ? "numbers" : "tokens",
    inputShape,
    classes: outputsOf(schema),
    task,
    loss: lossOfTask(task, trainer),
    labelSmoothing: trainer.labelSmoothing,
  };
}

/** Where in a run a step is: everything that it depends on beside weights, slots and batch. */
export interface StepAt {
  /** within the round, from 0: what dropout and noise draw from */
  readonly step: number;
  /** of the optimizer, from 1 */
  readonly update: number;
  readonly learningRate: number;
}

export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface SnapshotTensor extends TensorSpec {
  /** A copy of its values, as they were at the snapshot. Once: what it held may be gone afterwards. */
  read(): Float32Array | Int32Array | Uint8Array;
}

/** Weights in the model's order, slots in the stepper's. Steps may go on while it is read. */
export interface Snapshot {
  readonly weights: readonly SnapshotTensor[];
  readonly slots: readonly SnapshotTensor[];
  /** Lets go of what was not read. */
  dispose(): void;
}

/**
 * Holds the weights that are trained and the optimizer's slots. It begins with the weights that the model has when it is made, and with
 * slots that are as a new optimizer's.
 */
export interface Stepper {
  /** what it is, for people: "native, one graph" */
  readonly kind: string;
  readonly slots: readonly TensorSpec[];
  /** Sets every slot. @param values of a slot's type and size, asked for each once: the stepper's from then on */
  setSlots(values: (name: string) => TensorValues): void;
  /** Updates the weights by one batch. @returns the batch's mean loss before the update */
  run(batch: Batch, at: StepAt): number;
  snapshot(): Snapshot;
  /** Puts the trained weights into the model's own variables, for whoever evaluates the model. */
  pull(): void;
  dispose(): void;
}

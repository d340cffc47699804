/** What one update of the weights is, whoever does it: op by op (eager-step.ts), or as one graph. */
import type { Dtype } from "../protocol/safetensors.ts";

export interface Batch {
  readonly size: number;
  /** size x inputs of one record, normalised */
  readonly x: Float32Array;
  /** class indexes, or values */
  readonly y: Int32Array | Float32Array;
}

export interface Shape {
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly task: "classification" | "regression";
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
  /** Sets every slot. @param values by name, of the slot's size */
  setSlots(values: ReadonlyMap<string, Float32Array>): void;
  /** Updates the weights by one batch. @returns the batch's mean loss before the update */
  run(batch: Batch, at: StepAt): number;
  snapshot(): Snapshot;
  /** Puts the trained weights into the model's own variables, for whoever evaluates the model. */
  pull(): void;
  dispose(): void;
}

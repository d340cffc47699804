/** The loop: a generator of steps, so that the caller says when to save, to log and to stop. */
import { AccreteError } from "../protocol/errors.ts";
import { rateText } from "../protocol/training-progress.ts";
import type { Plan } from "../protocol/types.ts";
import { weighted, type ClassWeights } from "./class-weights.ts";
import { indexesOf } from "./holdout-state.ts";
import { stepRecords } from "./micro-batches.ts";
import { normaliseInto, type Normalisation } from "./normalise.ts";
import type { Records } from "./records.ts";
import { batchesOf, epochOrder } from "./sampler.ts";
import { learningRateAt, learningRateScaleOf } from "./schedule.ts";
import type { Position } from "./state.ts";
import type { Batch, Stepper } from "./step.ts";

export interface TrainingSet {
  readonly records: Records;
  /** rows to train on, in order */
  readonly rows: Uint32Array;
  readonly normalisation: Normalisation | null;
  /** null: all records count the same */
  readonly classWeights: ClassWeights | null;
}

export interface StepDone {
  /** after the step */
  readonly position: Position;
  readonly batchRecords: number;
  /** with which it was made */
  readonly learningRate: number;
  readonly epochEnded: boolean;
}

export function trainingSet(
  records: Records,
  normalisation: Normalisation | null,
  classWeights: ClassWeights | null = null,
): TrainingSet {
  return { records, rows: indexesOf(records, 0), normalisation, classWeights };
}

export function stepsOf(set: TrainingSet, plan: Plan): number {
  return batchesOf(set.rows.length, stepRecords(plan.trainer)) * plan.epochsToAdd;
}

/**
 * Trains from a position to the round's end. The same position, weights and slots give the same bits.
 * @param updates of this optimizer before the round
 * @throws {AccreteError} LOSS_NOT_FINITE, before the step's weights can be saved
 */
export function* trainFrom(
  stepper: Stepper,
  set: TrainingSet,
  plan: Plan,
  from: Position,
  updates: number,
): Generator<StepDone> {
  const batches = batchesOf(set.rows.length, stepRecords(plan.trainer));
  const steps = stepsOf(set, plan);
  if (steps === 0) return;
  const scale = learningRateScaleOf(plan);
  let position = from;
  while (position.epochIndex < plan.epochsToAdd) {
    const order = epochOrder({ seed: plan.seed, epochIndex: position.epochIndex, records: set.rows.length });
    for (const { epochIndex } = position; position.epochIndex === epochIndex;) {
      const batch = weighted(batchAt(set, order, position.batchIndex, stepRecords(plan.trainer)), set.classWeights);
      const learningRate = scale * learningRateAt(plan.trainer, { step: position.step, steps });
      const loss = stepper.run(batch, { step: position.step, update: updates + position.step + 1, learningRate });
      if (!Number.isFinite(loss)) {
        throw new AccreteError(
          "LOSS_NOT_FINITE",
          `the loss is ${loss} in step ${position.step + 1} of ${steps} of round ${plan.round}, epoch ${position.epochIndex + 1}, at a learning rate of ${rateText(learningRate)}`,
        );
      }
      position = afterBatch(position, loss, batch.size, batches);
      yield { position, batchRecords: batch.size, learningRate, epochEnded: position.batchIndex === 0 };
    }
  }
}

function afterBatch(position: Position, loss: number, size: number, batches: number): Position {
  const lossSum = position.lossSum + loss * size;
  const lossRecords = position.lossRecords + size;
  const step = position.step + 1;
  const batchIndex = position.batchIndex + 1;
  if (batchIndex < batches) return { ...position, batchIndex, step, lossSum, lossRecords };
  return {
    epochIndex: position.epochIndex + 1,
    batchIndex: 0,
    step,
    lossSum: 0,
    lossRecords: 0,
    epochLoss: lossSum / lossRecords,
  };
}

/** One batch, normalised; the last of an epoch may be smaller. */
export function batchAt(set: TrainingSet, order: Uint32Array, index: number, batchSize: number): Batch {
  const { records, rows, normalisation } = set;
  const chosen = order.subarray(index * batchSize, (index + 1) * batchSize);
  const { features, labels } = records;
  const values = chosen.length * records.width;
  const x = features instanceof Int32Array ? new Int32Array(values) : new Float32Array(values);
  const perRecord = records.count === 0 ? 1 : labels.length / records.count; // multi-label: one for each class
  const size = chosen.length * perRecord;
  const y = labels instanceof Float32Array ? new Float32Array(size) : new Int32Array(size);
  chosen.forEach((of, i) => {
    const row = rows[of]!;
    if (normalisation !== null && features instanceof Float32Array && x instanceof Float32Array)
      normaliseInto(normalisation, features, records.width, row, x, i);
    else x.set(features.subarray(row * records.width, (row + 1) * records.width), i * records.width);
    y.set(labels.subarray(row * perRecord, (row + 1) * perRecord), i * perRecord);
  });
  return { size: chosen.length, x, y };
}

/** The loop: a generator of steps, so that the caller says when to save, to log and to stop. */
import { AccreteError } from "../protocol/errors.ts";
import { rateText } from "../protocol/training-progress.ts";
import type { Plan } from "../protocol/types.ts";
import { openBatches, type ReadAhead } from "./batches.ts";
import { weighted, type ClassWeights } from "./class-weights.ts";
import { stepRecords } from "./micro-batches.ts";
import { modelComputes } from "./model-throws.ts";
import type { Augmentation } from "./packed/augment.ts";
import { Gatherer, type Gathering } from "./packed/gather.ts";
import type { PackedRecords } from "./packed/records.ts";
import { batchesOf, epochOrder } from "./sampler.ts";
import type { Normalisation } from "./scale.ts";
import { learningRateAt, learningRateScaleOf } from "./schedule.ts";
import type { Position } from "./state.ts";
import type { Batch, Stepper } from "./step.ts";

export interface TrainingSet {
  readonly records: PackedRecords;
  /** rows to train on, in order */
  readonly rows: Uint32Array;
  readonly normalisation: Normalisation | null;
  readonly augmentation: Augmentation | null;
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

export interface TrainHow {
  /** told before each step, once its batch is there. @param step of the round, from 1 */
  readonly begin?: (step: number) => void;
  readonly readAhead?: ReadAhead;
}

export function trainingSet(
  records: PackedRecords,
  how: Partial<Omit<TrainingSet, "records" | "rows">> = {},
): TrainingSet {
  const { normalisation = null, augmentation = null, classWeights = null } = how;
  return { records, rows: records.train, normalisation, augmentation, classWeights };
}

export function stepsOf(set: TrainingSet, plan: Plan): number {
  return batchesOf(set.rows.length, stepRecords(plan.trainer)) * plan.epochsToAdd;
}

/**
 * Trains from a position to the round's end. The same position, weights and slots give the same bits.
 * @param updates of this optimizer before the round
 * @throws {AccreteError} LOSS_NOT_FINITE, before the step's weights can be saved; MODEL_INVALID if the model throws
 */
export async function* trainFrom(
  stepper: Stepper,
  set: TrainingSet,
  plan: Plan,
  from: Position,
  updates: number,
  how: TrainHow = {},
): AsyncGenerator<StepDone> {
  const batches = batchesOf(set.rows.length, stepRecords(plan.trainer));
  const steps = stepsOf(set, plan);
  if (steps === 0) return;
  const scale = learningRateScaleOf(plan);
  await using source = openBatches(gathering(set, plan), plan, from, how.readAhead);
  let position = from;
  while (position.epochIndex < plan.epochsToAdd) {
    const next = source.next();
    const batch = weighted(next instanceof Promise ? await next : next, set.classWeights);
    const learningRate = scale * learningRateAt(plan.trainer, { step: position.step, steps });
    const { step } = position;
    const at = { step, update: updates + step + 1, learningRate };
    const where = (): string => `in step ${step + 1} of ${steps} of round ${plan.round}`;
    how.begin?.(position.step + 1);
    const loss = modelComputes(() => stepper.run(batch, at), where);
    if (!Number.isFinite(loss)) {
      throw new AccreteError(
        "LOSS_NOT_FINITE",
        `the loss is ${loss} ${where()}, epoch ${position.epochIndex + 1}, at a learning rate of ${rateText(learningRate)}`,
      );
    }
    position = afterBatch(position, loss, batch.size, batches);
    yield { position, batchRecords: batch.size, learningRate, epochEnded: position.batchIndex === 0 };
  }
}

function gathering({ records, normalisation, augmentation }: TrainingSet, { seed, trainer }: Plan): Gathering {
  return { records, normalisation, augmentation, seed, batchSize: stepRecords(trainer) };
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

/** The round's first batch, to try the model with: as large as any. undefined: there is nothing to train on. */
export function firstBatch(set: TrainingSet, plan: Plan): Batch | undefined {
  if (set.rows.length === 0) return undefined;
  using gatherer = new Gatherer(gathering(set, plan), null);
  const order = epochOrder({ seed: plan.seed, epochIndex: 0, records: set.rows.length });
  return weighted(gatherer.batch(order, { epochIndex: 0, batchIndex: 0 }), set.classWeights);
}

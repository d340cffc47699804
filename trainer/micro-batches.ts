/**
 * Gradient accumulation: one update learns from accumulate x batchSize records, and holds the activations of batchSize at a time. What
 * was added up so far is no state, as a save comes between two updates.
 */
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Batch } from "./step.ts";

/** Records of one step. */
export function stepRecords({ batchSize, accumulate }: Pick<TrainerConfig, "batchSize" | "accumulate">): number {
  return batchSize * accumulate;
}

/** The parts of a batch, in order, each of batchSize but the last: views of it. */
export function microBatches(batch: Batch, batchSize: number): readonly Batch[] {
  if (batch.size <= batchSize) return [batch];
  const parts: Batch[] = [];
  const [inputs, labels] = [batch.x.length / batch.size, batch.y.length / batch.size];
  for (let from = 0; from < batch.size; from += batchSize) {
    const to = Math.min(from + batchSize, batch.size);
    parts.push({
      size: to - from,
      x: batch.x.subarray(from * inputs, to * inputs),
      y: batch.y.subarray(from * labels, to * labels),
      weights: batch.weights?.subarray(from * labels, to * labels),
    });
  }
  return parts;
}

/** What a batch's mean is divided by: the part that a micro-batch has in the whole's mean is its weight by the whole's. */
export function weightOf({ size, weights }: Batch): number {
  return weights?.reduce((sum, weight) => sum + weight, 0) ?? size;
}

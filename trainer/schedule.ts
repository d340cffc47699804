import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Plan } from "../protocol/types.ts";

/** Of a round that goes on from trained weights; the same in each such round, it does not add up. */
export function learningRateScaleOf({ parent, trainer }: Plan): number {
  return parent !== null && parent.step > 0 ? trainer.onRound.learningRateScale : 1;
}

/**
 * The learning rate of a step, a pure function of where it is in the round.
 * warmup-cosine rises in equal parts from 0 to the rate over the first steps, then falls by half a cosine to
 * floor x rate, which the step after the last would have.
 * @param at.step within the round, from 0; at.steps: all of the round's
 * @see Loshchilov and Hutter 2017, SGDR, equation 5 (one period)
 */
export function learningRateAt(
  trainer: Pick<TrainerConfig, "schedule" | "optimizer">,
  at: { step: number; steps: number },
): number {
  const { schedule } = trainer;
  const rate = trainer.optimizer.learningRate;
  if (schedule.name === "constant") return rate;
  const warmupSteps = Math.round(schedule.warmup * at.steps);
  if (at.step < warmupSteps) return (rate * (at.step + 1)) / warmupSteps;
  const progress = (at.step - warmupSteps) / Math.max(1, at.steps - warmupSteps);
  return rate * (schedule.floor + (1 - schedule.floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}

import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Plan } from "../protocol/types.ts";

/** Of a round that goes on from trained weights; the same in each such round, it does not add up. */
export function learningRateScaleOf({ parent, trainer }: Plan): number {
  return parent !== null && parent.step > 0 ? trainer.onRound.learningRateScale : 1;
}

/**
 * The learning rate of a step, a pure function of where it is in the round. With t steps done of T:
 * - constant: rate
 * - warmup-cosine: rises in equal parts from 0 to the rate over the first steps, then falls by half a cosine to floor x rate, which the
 *   step after the last would have
 * - step: rate x factor^floor(t / (every T)), torch's StepLR
 * - exponential: rate x factor^(t / T), torch's ExponentialLR with gamma = factor^(1 / T)
 * - one-cycle: rises by half a cosine from start x rate to the rate, which it has after warmup T - 1 steps, then falls so to floor x rate,
 *   which the last step has; torch's OneCycleLR, with start = 1 / div_factor and floor = start / final_div_factor, and no cycle of the momentum
 * @param at.step within the round, from 0; at.steps: all of the round's
 * @see Loshchilov and Hutter 2017, SGDR, equation 5 (one period); Smith and Topin 2019, Super-Convergence (one cycle)
 */
export function learningRateAt(
  trainer: Pick<TrainerConfig, "schedule" | "optimizer">,
  at: { step: number; steps: number },
): number {
  const { schedule } = trainer;
  const rate = trainer.optimizer.learningRate;
  switch (schedule.name) {
    case "constant":
      return rate;
    case "warmup-cosine": {
      const warmupSteps = Math.round(schedule.warmup * at.steps);
      if (at.step < warmupSteps) return (rate * (at.step + 1)) / warmupSteps;
      const progress = (at.step - warmupSteps) / Math.max(1, at.steps - warmupSteps);
      return rate * (schedule.floor + (1 - schedule.floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
    }
    case "step":
      return rate * schedule.factor ** Math.floor(at.step / Math.max(1, Math.round(schedule.every * at.steps)));
    case "exponential":
      return rate * schedule.factor ** (at.step / at.steps);
    case "one-cycle": {
      const { warmup, start, floor } = schedule;
      const peak = Math.max(0, warmup * at.steps - 1);
      if (at.step < peak) return rate * eased(start, 1, at.step / peak);
      return rate * eased(1, floor, (at.step - peak) / Math.max(1, at.steps - 1 - peak));
    }
  }
}

/** From one value to another by half a cosine. @param part 0..1 of the way */
function eased(from: number, to: number, part: number): number {
  return to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * part));
}

/** How long a round will take, by those of before. */

/** A committed round: the bytes of its items times its epochs, and how long its jobs ran. */
export interface PastRound {
  readonly work: number;
  readonly jobMs: number;
}

/** Newest rounds that an estimate goes by: older ones had another model, or another machine. */
export const ESTIMATE_ROUNDS = 5;

/**
 * Milliseconds that jobs will run for so much work: a start-up plus a rate, neither below 0, by least squares; with one round, or rounds
 * of one size, in proportion to the work. undefined: there is nothing to go by.
 * @param work bytes times epochs
 */
export function estimateMs(past: readonly PastRound[], work: number): number | undefined {
  const known = past.filter((round) => round.work > 0 && round.jobMs > 0);
  if (known.length === 0) return undefined;
  const mean = (of: (round: PastRound) => number): number =>
    known.reduce((sum, round) => sum + of(round), 0) / known.length;
  const [workMean, msMean] = [mean((round) => round.work), mean((round) => round.jobMs)];
  const variance = mean((round) => (round.work - workMean) ** 2);
  const covariance = mean((round) => (round.work - workMean) * (round.jobMs - msMean));
  const proportional = mean((round) => round.work * round.jobMs) / mean((round) => round.work ** 2);
  if (variance === 0) return Math.round(proportional * work);
  const rate = covariance / variance;
  // a larger round that took no longer says that the start-up is all; one out of proportion, that there is none
  if (rate < 0) return Math.round(msMean);
  const startUp = msMean - rate * workMean;
  return Math.round(startUp < 0 ? proportional * work : startUp + rate * work);
}

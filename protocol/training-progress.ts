/** The line of a job's log that says how far a training is: written by the trainer, known again by `up` and `status`. */
import { duration } from "./duration.ts";

export interface TrainingProgress {
  /** from 1 */
  readonly epoch: number;
  readonly epochs: number;
  /** done, of the round */
  readonly step: number;
  readonly steps: number;
  /** mean of the epoch so far */
  readonly loss: number;
  /** of the newest step */
  readonly learningRate: number;
  readonly examplesPerSecond: number;
  /** until the last step; undefined: nothing is known yet, or nothing is left */
  readonly leftMs: number | undefined;
}

/** "epoch 2/6 step 185/1110 loss 0.3063 rate 9.8e-4 8694 examples/s, 12 s left" */
export function progressText(progress: TrainingProgress): string {
  const { epoch, epochs, step, steps, loss, learningRate, examplesPerSecond, leftMs } = progress;
  const left = leftMs === undefined || step >= steps ? "" : `, ${duration(Math.ceil(leftMs / 1_000) * 1_000)} left`;
  return `epoch ${epoch}/${epochs} step ${step}/${steps} loss ${loss.toFixed(4)} rate ${rateText(learningRate)} ${Math.round(examplesPerSecond)} examples/s${left}`;
}

/** Such a line for a narrow terminal, shorter and shorter: what is left stays. Of another line there are no shorter forms. */
export function shorterProgress(text: string): string[] {
  if (!isProgress(text)) return [];
  const withoutRate = text.replace(/ rate \S+/, "");
  return [withoutRate, withoutRate.replace(/ \d+ examples\/s/, "")];
}

/** 0.05, 0.00123, 9.8e-7: three digits. */
export function rateText(rate: number): string {
  return String(Number(rate.toPrecision(3)));
}

/** Such a line, without the round in front: what comes often, and says nothing that the next one does not. */
export function isProgress(text: string): boolean {
  return /^epoch \d+\/\d+ step \d+\/\d+ /.test(text);
}

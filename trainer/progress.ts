/** One line a step of progress for the log: at the end of an epoch, and in between at most one a second. */
import { progressText } from "../protocol/training-progress.ts";
import type { StepDone } from "./train.ts";

const EVERY_MS = 1_000;

export interface ProgressOptions {
  readonly say: (line: string) => void;
  readonly nowMs: () => number;
  readonly round: number;
  readonly epochs: number;
  readonly steps: number;
  /** steps that were done before this run */
  readonly from: number;
  /** of this run; undefined before the first */
  readonly medianStepMs: () => number | undefined;
}

export class Progress {
  readonly #options: ProgressOptions;
  #last: { ms: number; step: number };
  #records = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#last = { ms: options.nowMs(), step: options.from };
  }

  step({ position, batchRecords, epochEnded, learningRate }: StepDone): void {
    const { say, nowMs, round, epochs, steps, medianStepMs } = this.#options;
    this.#records += batchRecords;
    const ms = nowMs();
    if (!epochEnded && ms - this.#last.ms < EVERY_MS) return;
    const loss = epochEnded ? position.epochLoss : position.lossSum / position.lossRecords;
    const median = medianStepMs();
    const text = progressText({
      epoch: epochEnded ? position.epochIndex : position.epochIndex + 1,
      epochs,
      step: position.step,
      steps,
      loss: loss ?? 0,
      learningRate,
      examplesPerSecond: this.#records / Math.max(0.001, (ms - this.#last.ms) / 1_000),
      leftMs: median === undefined ? undefined : median * (steps - position.step),
    });
    say(`round ${round} ${text}`);
    this.#last = { ms, step: position.step };
    this.#records = 0;
  }
}

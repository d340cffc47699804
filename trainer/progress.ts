/** One line a step of progress for the log: at the end of an epoch, and in between at most one a second. */
import type { StepDone } from "./train.ts";

const EVERY_MS = 1_000;

export class Progress {
  readonly #options: {
    say: (line: string) => void;
    nowMs: () => number;
    round: number;
    epochs: number;
    steps: number;
    from: number;
  };
  #last: { ms: number; step: number };
  #records = 0;

  constructor(options: {
    say: (line: string) => void;
    nowMs: () => number;
    round: number;
    epochs: number;
    steps: number;
    from: number;
  }) {
    this.#options = options;
    this.#last = { ms: options.nowMs(), step: options.from };
  }

  step({ position, batchRecords, epochEnded }: StepDone): void {
    const { say, nowMs, round, epochs, steps } = this.#options;
    this.#records += batchRecords;
    const ms = nowMs();
    if (!epochEnded && ms - this.#last.ms < EVERY_MS) return;
    const perSecond = Math.round(this.#records / Math.max(0.001, (ms - this.#last.ms) / 1_000));
    const loss = epochEnded ? position.epochLoss : position.lossSum / position.lossRecords;
    const epoch = epochEnded ? position.epochIndex : position.epochIndex + 1;
    say(
      `round ${round} epoch ${epoch}/${epochs} step ${position.step}/${steps} loss ${(loss ?? 0).toFixed(4)} ${perSecond} examples/s`,
    );
    this.#last = { ms, step: position.step };
    this.#records = 0;
  }
}

/** What a run has taken: seconds of each part of it, and how long its steps are. Figures of the machine, never a part of a checkpoint. */
import { createHistogram } from "node:perf_hooks";
import type { Metrics } from "../protocol/types.ts";

const PARTS = ["stage", "read", "train", "save", "evaluate"] as const;
type Part = (typeof PARTS)[number];

export class Timings {
  readonly #nowMs: () => number;
  readonly #ms = new Map<Part, number>(PARTS.map((part) => [part, 0]));
  /** microseconds, to three digits, in bounded memory */
  readonly #steps = createHistogram({ lowest: 1, highest: Number.MAX_SAFE_INTEGER, figures: 3 });
  #records = 0;

  /** @param nowMs of a clock that never goes back */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Adds what the work takes to a part of the run, also if it fails. */
  async measure<T>(part: Part, work: () => T | Promise<T>): Promise<T> {
    const beganMs = this.#nowMs();
    try {
      return await work();
    } finally {
      this.#add(part, this.#nowMs() - beganMs);
    }
  }

  step(ms: number, records: number): void {
    this.#add("train", ms);
    this.#steps.record(Math.max(1, Math.round(ms * 1_000)));
    this.#records += records;
  }

  /** undefined before the first step */
  get medianStepMs(): number | undefined {
    return this.#steps.count === 0 ? undefined : this.#percentileMs(50);
  }

  /** Of a run without a step only the seconds of its parts. */
  metrics(): Metrics {
    const seconds = Object.fromEntries(PARTS.map((part) => [`run.seconds.${part}`, this.#ms.get(part)! / 1_000]));
    if (this.#steps.count === 0) return seconds;
    const trainSeconds = this.#ms.get("train")! / 1_000;
    return {
      ...seconds,
      ...(trainSeconds > 0 ? { "run.examplesPerSecond": this.#records / trainSeconds } : {}),
      ...Object.fromEntries([50, 90, 99].map((of) => [`run.stepMs.p${of}`, this.#percentileMs(of)])),
    };
  }

  #percentileMs(of: number): number {
    return this.#steps.percentile(of) / 1_000;
  }

  #add(part: Part, ms: number): void {
    this.#ms.set(part, this.#ms.get(part)! + ms);
  }
}

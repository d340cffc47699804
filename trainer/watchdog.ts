/**
 * Ends a training that hangs. A step that never returns blocks every timer of its thread, so a worker looks on: the thread that trains
 * writes down what it has begun, and the worker (watchdog-worker.ts) ends the process if that is not over within its limit.
 */
import { Worker } from "node:worker_threads";
import { messageOf } from "../protocol/errors.ts";
import { programBeside } from "./program-beside.ts";

/** In the order of their numbers in shared memory. */
export const DOING = ["step", "save", "evaluation"] as const;
type Doing = (typeof DOING)[number];

export interface Watchdog {
  /** What goes on from here to `end`, one thing at a time. @param step of the round, from 1: where it is */
  begin(what: Doing, step: number, limitMs: number): void;
  end(): void;
}

export const UNWATCHED: Watchdog = { begin: () => undefined, end: () => undefined };

/** A step below this never hangs, whatever the median: the first one may record a graph, or compile kernels for a GPU. */
export const HANG_LEAST_MS = 600_000;
const HANG_MEDIANS = 20;
/** What writes or reads as much as there is, however slow the disk. */
const OTHER_TIMES = 6;

/** How long a step may take. @param medianStepMs undefined: none is done yet */
export function stepLimitMs(leastMs: number, medianStepMs: number | undefined): number {
  return Math.max(leastMs, HANG_MEDIANS * (medianStepMs ?? 0));
}

export function saveLimitMs(leastMs: number): number {
  return OTHER_TIMES * leastMs;
}

/** @param steps as many as there are batches of what is evaluated */
export function evaluationLimitMs(leastMs: number, medianStepMs: number | undefined, steps: number): number {
  return Math.max(OTHER_TIMES * leastMs, HANG_MEDIANS * (medianStepMs ?? 0) * steps);
}

/** Of Shared: odd while something goes on, another number for each thing. */
export const COUNT = 0;
export const WHAT = 1;
export const STEP = 2;

export interface Shared {
  /** COUNT, WHAT, STEP */
  readonly cells: Int32Array<SharedArrayBuffer>;
  readonly limitMs: Float64Array<SharedArrayBuffer>;
}

/** The worker starts with the first `begin`, and ends with the process. @param say told if it can't be had: training goes on without it */
export function startWatchdog(say: (line: string) => void): Watchdog {
  const shared: Shared = {
    cells: new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT)),
    limitMs: new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT)),
  };
  const { cells, limitMs } = shared;
  let worker: Worker | undefined;
  return {
    begin(what, step, limit) {
      worker ??= startWorker(shared, say);
      limitMs[0] = limit;
      cells[WHAT] = DOING.indexOf(what);
      cells[STEP] = step;
      Atomics.store(cells, COUNT, (cells[COUNT]! | 1) + 2); // the others are seen once this one is
    },
    end() {
      Atomics.store(cells, COUNT, (cells[COUNT]! | 1) + 1);
    },
  };
}

const PROGRAM = programBeside(import.meta.url, "watchdog-worker");

function startWorker(shared: Shared, say: (line: string) => void): Worker {
  const worker = new Worker(PROGRAM, { workerData: shared });
  worker.on("error", (error) => say(`no watchdog: ${messageOf(error)}`));
  worker.unref();
  return worker;
}

/** The batches of a round from a position on: put together in this thread, or ahead of it by a worker. The same either way. */
import { Worker } from "node:worker_threads";
import type { Plan } from "../protocol/types.ts";
import type { BatchWork } from "./batches-worker.ts";
import { batchArrays, batchOf, Gatherer, type BatchArrays, type BatchAt, type Gathering } from "./packed/gather.ts";
import { BatchRing, ringBytes } from "./packed/ring.ts";
import { loadRows, packedBytes } from "./packed/rows.ts";
import { programBeside } from "./program-beside.ts";
import { batchesOf, epochOrder } from "./sampler.ts";
import type { Batch } from "./step.ts";

export interface BatchSource extends AsyncDisposable {
  /**
   * The next one; not more often than there are batches. Its memory is the one before's, or will be a later one's: at the next call nobody may
   * use it any more. Arrays of its own would be garbage as fast as data is trained on.
   * @throws {Error} what ended the worker
   */
  next(): Batch | Promise<Batch>;
}

/** For the tests: what is decided by size otherwise. */
export interface ReadAhead {
  readonly worker?: boolean;
  /** batches that may be ready at once */
  readonly slots?: number;
  /** path of the worker's program */
  readonly program?: URL;
}

/** Batches that are ready: enough to bridge what a disk takes now and then. */
const SLOTS_MAX = 16;
/** Two, so that one can be filled while the other is taken. */
const SLOTS_MIN = 2;
/** A worker takes 50 ms to start; what has fewer bytes, all epochs together, is gathered in less. */
const WORKER_BYTES_MIN = 134_217_728;

/** @param from the first batch to give */
export function openBatches(gathering: Gathering, plan: Plan, from: BatchAt, how: ReadAhead = {}): BatchSource {
  const { records } = gathering;
  const { memory } = plan.data;
  const { width, labelWidth } = records;
  const shape = { batchSize: Math.min(gathering.batchSize, records.train.length), width, labelWidth };
  const fitting = Math.floor(memory / 4 / ringBytes({ ...shape, slots: 1 }));
  const slots = how.slots ?? Math.max(SLOTS_MIN, Math.min(SLOTS_MAX, fitting));
  const bytes = 4 * width * records.train.length * (plan.epochsToAdd - from.epochIndex);
  const isAhead = how.worker ?? bytes >= WORKER_BYTES_MIN;
  const ahead = isAhead ? ringBytes({ ...shape, slots }) : 0;
  const held = packedBytes(records.file) + ahead <= memory ? loadRows(records.file) : null;
  if (!isAhead) return new DirectBatches(new Gatherer(gathering, held), gathering, from);
  const ring = { ...shape, slots, layout: records.file.layout };
  const needed = { ...gathering, records: { ...records, holdout: new Uint32Array(0) } };
  const work = { gathering: needed, held, from, epochs: plan.epochsToAdd, ring, shared: new SharedArrayBuffer(ahead) };
  return new BatchesAhead(work, how.program ?? programBeside(import.meta.url, "batches-worker"));
}

class DirectBatches implements BatchSource {
  readonly #gatherer: Gatherer;
  readonly #places: Places;
  readonly #into: BatchArrays;
  readonly #orderAt: (epochIndex: number) => Uint32Array;
  #order: { readonly epochIndex: number; readonly rows: Uint32Array } | undefined;

  constructor(gatherer: Gatherer, { seed, records, batchSize }: Gathering, from: BatchAt) {
    this.#gatherer = gatherer;
    this.#into = batchArrays(records, Math.min(batchSize, records.train.length));
    this.#places = new Places(from, batchesOf(records.train.length, batchSize));
    this.#orderAt = (epochIndex) => epochOrder({ seed, epochIndex, records: records.train.length });
  }

  next(): Batch {
    const at = this.#places.next();
    if (this.#order?.epochIndex !== at.epochIndex)
      this.#order = { epochIndex: at.epochIndex, rows: this.#orderAt(at.epochIndex) };
    return this.#gatherer.batch(this.#order.rows, at, this.#into);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gatherer[Symbol.dispose]();
  }
}

class BatchesAhead implements BatchSource {
  readonly #worker: Worker;
  readonly #ring: BatchRing;
  readonly #places: Places;
  readonly #work: BatchWork;
  #ended: Error | undefined;
  /** who waits for a batch */
  #wake: (() => void) | undefined;

  constructor(work: BatchWork, program: URL) {
    const { records, batchSize } = work.gathering;
    this.#work = work;
    this.#ring = new BatchRing(work.shared, work.ring);
    this.#places = new Places(work.from, batchesOf(records.train.length, batchSize));
    this.#worker = new Worker(program, { workerData: work, name: "batches" });
    this.#worker.once("error", (cause) => this.#end(new Error(`reading ahead failed: ${cause.message}`, { cause })));
    this.#worker.once("exit", (code) =>
      this.#end(new Error(`the thread that reads ahead ended with exit code ${code}`)),
    );
  }

  next(): Batch | Promise<Batch> {
    this.#ring.release();
    const filled = this.#ring.filled();
    return filled === undefined ? this.#take() : this.#takeOnce(filled);
  }

  async #takeOnce(filled: Promise<unknown>): Promise<Batch> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#ended !== undefined) resolve();
      void filled.then(() => resolve());
    });
    this.#wake = undefined;
    if (this.#ring.filled() === undefined) return this.#take(); // its end may have come after its last batch
    throw this.#ended ?? new Error("no batch is there, though the thread that reads ahead has told of one");
  }

  #take(): Batch {
    const { records, batchSize } = this.#work.gathering;
    const { batchIndex } = this.#places.next();
    const size = Math.min(batchSize, records.train.length - batchIndex * batchSize);
    return batchOf(this.#ring.take(size), records);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#wake?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The places of batches, one after the other. */
class Places {
  #at: BatchAt;
  readonly #batches: number;

  /** @param batches of an epoch */
  constructor(from: BatchAt, batches: number) {
    this.#at = from;
    this.#batches = batches;
  }

  next(): BatchAt {
    const { epochIndex, batchIndex } = this.#at;
    const isLast = batchIndex + 1 === this.#batches;
    this.#at = isLast ? { epochIndex: epochIndex + 1, batchIndex: 0 } : { epochIndex, batchIndex: batchIndex + 1 };
    return { epochIndex, batchIndex };
  }
}

/** Who writes checkpoints while training goes on: a worker thread (save-worker.ts), or this thread between the steps. */
import { join } from "node:path";
import type { Store } from "../protocol/ports.ts";
import { BYTES_OF, elementsOf } from "../protocol/safetensors.ts";
import type { TensorData } from "./safetensors.ts";
import { writeCheckpoint, type SaveJob, type Written } from "./save-job.ts";

export interface TensorToSave {
  readonly data: TensorData;
  /** a copy that nobody else has */
  readonly own: boolean;
}

export interface Writing {
  /** settles once all tensors are read, at once for most: then what they were read from may change */
  readonly taken: Promise<void>;
  readonly written: Promise<Written>;
}

/** Writes one checkpoint at a time. */
export interface CheckpointWriter {
  /** @param tensors read as they are asked for, in the order of the job's files */
  write(job: SaveJob, tensors: Iterable<TensorToSave>): Writing;
  close(): Promise<void>;
}

/**
 * A state of up to so many bytes is copied, and training goes on while the copy is written. A larger one is written tensor by tensor while
 * training waits: two of it would not fit where one barely does.
 */
export const COPIED_BYTES_MAX = 2 ** 30;
/** Of a larger one, read and not written yet; or one tensor, if that is larger. */
const HELD_BYTES_MAX = 2 ** 26;

/** On this thread: the store's writes and the hashing come between two steps. */
export function writeHere(store: Store, folder: string): CheckpointWriter {
  let saves = 0;
  return {
    write: (job, tensors) => {
      const flow = new Flow(job);
      const queue = new TensorQueue((bytes) => flow.release(bytes));
      const written = writeCheckpoint(store, join(folder, String(saves++)), job, () => queue.next());
      return flow.writing(tensors, ({ data }) => queue.push(data), written);
    },
    close: async () => undefined,
  };
}

/** Tensors on their way to who writes them. */
export class TensorQueue {
  readonly #used: (bytes: number) => void;
  readonly #waiting: TensorData[] = [];
  #wanted: ((data: TensorData) => void) | undefined;
  /** bytes of the newest one that was handed on */
  #inUse = 0;

  /** @param used told the bytes of each that was handed on, once the next one is asked for */
  constructor(used: (bytes: number) => void) {
    this.#used = used;
  }

  push(data: TensorData): void {
    if (this.#wanted === undefined) this.#waiting.push(data);
    else this.#give(data, this.#wanted);
  }

  /** One call at a time. */
  next(): Promise<TensorData> {
    this.#used(this.#inUse);
    this.#inUse = 0;
    return new Promise((resolve) => {
      const data = this.#waiting.shift();
      if (data === undefined) this.#wanted = resolve;
      else this.#give(data, resolve);
    });
  }

  #give(data: TensorData, to: (data: TensorData) => void): void {
    this.#wanted = undefined;
    this.#inUse = data.byteLength;
    to(data);
  }
}

/** Reads no more tensors than may be held. */
export class Flow {
  readonly #max: number;
  /** tensors that are not sent yet */
  #left: number;
  #held = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor({ tensorFiles }: SaveJob) {
    const tensors = tensorFiles.flatMap((file) => file.tensors);
    this.#left = tensors.length;
    const bytes = tensors.reduce((sum, { dtype, shape }) => sum + elementsOf(shape) * BYTES_OF[dtype], 0);
    this.#max = bytes > COPIED_BYTES_MAX ? HELD_BYTES_MAX : COPIED_BYTES_MAX;
  }

  release(bytes: number): void {
    this.#held -= bytes;
    this.#wake();
  }

  writing(tensors: Iterable<TensorToSave>, send: (tensor: TensorToSave) => void, written: Promise<Written>): Writing {
    written.catch(() => this.#end()); // whoever waits for `written` is told
    return { written, taken: this.#feed(tensors, send) };
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  async #feed(tensors: Iterable<TensorToSave>, send: (tensor: TensorToSave) => void): Promise<void> {
    for (const tensor of tensors) {
      this.#held += tensor.data.byteLength; // before it may be another thread's
      send(tensor);
      if (--this.#left === 0) return; // it is a copy: nothing is read any more
      while (this.#held > this.#max && !this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#ended) return;
    }
  }
}

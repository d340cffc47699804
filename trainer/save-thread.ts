/** The training thread's side of the thread that writes checkpoints. */
import { Worker } from "node:worker_threads";
import type { PlaceAt } from "../adapters/open-place.ts";
import { AccreteError, type ErrorCode } from "../protocol/errors.ts";
import { Flow, type CheckpointWriter, type TensorToSave, type Writing } from "./checkpoint-writer.ts";
import { programBeside } from "./program-beside.ts";
import type { TensorData } from "./safetensors.ts";
import type { SaveJob, Written } from "./save-job.ts";

export interface SaveWorkerData {
  /** where the state store is */
  readonly state: PlaceAt;
  /** for files on their way, and nobody else's */
  readonly folder: string;
}

export type SaveMessage =
  | { readonly op: "save"; readonly job: SaveJob }
  | { readonly op: "tensor"; readonly data: TensorData };

/** Requests to the store, of all saves so far. */
interface Requests {
  readonly writes: number;
  readonly reads: number;
}

export type SaveAnswer =
  | { readonly op: "released"; readonly bytes: number }
  | { readonly op: "written"; readonly written: Written; readonly requests: Requests }
  | {
      readonly op: "failed";
      readonly code: ErrorCode | null;
      readonly message: string;
      readonly stack: string | undefined;
    };

const PROGRAM = programBeside(import.meta.url, "save-worker");

interface Under {
  readonly flow: Flow;
  resolve(written: Written): void;
  reject(error: Error): void;
}

export class SaveThread implements CheckpointWriter {
  readonly #data: SaveWorkerData;
  #worker: Worker | undefined;
  #under: Under | undefined;
  #requests: Requests = { writes: 0, reads: 0 };

  constructor(data: SaveWorkerData) {
    this.#data = data;
  }

  get requests(): Requests {
    return this.#requests;
  }

  write(job: SaveJob, tensors: Iterable<TensorToSave>): Writing {
    const worker = (this.#worker ??= this.#start());
    const flow = new Flow(job);
    const { promise: written, resolve, reject } = Promise.withResolvers<Written>();
    this.#under = { flow, resolve, reject };
    this.#send(worker, { op: "save", job });
    const send = ({ data, own }: TensorToSave): void => this.#send(worker, { op: "tensor", data }, own);
    return flow.writing(tensors, send, written);
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(PROGRAM, { workerData: this.#data, execArgv: [] });
    worker.on("message", (answer: SaveAnswer) => this.#hear(answer));
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", (code) => this.#fail(new Error(`the thread that writes checkpoints has ended: ${code}`)));
    worker.unref(); // who waits for a save keeps the process; see #send
    return worker;
  }

  /** What nobody else has is moved, and not copied once more. */
  #send(worker: Worker, message: SaveMessage, own = false): void {
    worker.ref();
    const { buffer, byteLength } = message.op === "tensor" ? message.data : { buffer: undefined, byteLength: 0 };
    const movable = own && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
    worker.postMessage(message, movable ? [buffer] : []);
  }

  #hear(answer: SaveAnswer): void {
    if (answer.op === "released") return this.#under?.flow.release(answer.bytes);
    if (answer.op === "failed") {
      const { code, message, stack } = answer;
      const error = code === null ? new Error(message) : new AccreteError(code, message);
      if (stack !== undefined) error.stack = stack;
      return this.#fail(error);
    }
    this.#requests = answer.requests;
    this.#worker?.unref();
    this.#under?.resolve(answer.written);
    this.#under = undefined;
  }

  #fail(error: Error): void {
    this.#worker?.unref();
    this.#under?.reject(error);
    this.#under = undefined;
  }
}

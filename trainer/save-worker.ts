/**
 * The thread that writes checkpoints: hashing, files and the store's writes, while the training thread makes steps. It opens the store
 * itself, as the training thread's event loop turns only between two steps.
 */
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { countRequests } from "../adapters/counted-store.ts";
import { fileError } from "../adapters/file-errors.ts";
import { openStore } from "../adapters/open-place.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { TensorQueue } from "./checkpoint-writer.ts";
import { free } from "./collect-garbage.ts";
import type { SaveAnswer, SaveMessage, SaveWorkerData } from "./save-thread.ts";
import type { TensorData } from "./safetensors.ts";
import { writeCheckpoint, type SaveJob } from "./save-job.ts";

const { state, folder } = workerData as SaveWorkerData;
const { store, requests } = countRequests(await openStore(state));
const answer = (message: SaveAnswer): void => parentPort!.postMessage(message, []);
let saves = 0;
let queue: TensorQueue;

parentPort!.on("message", (message: SaveMessage) => {
  if (message.op === "tensor") return queue.push(message.data);
  queue = new TensorQueue((bytes) => answer({ op: "released", bytes }));
  void write(message.job, queue);
});

async function write(job: SaveJob, tensors: TensorQueue): Promise<void> {
  let before: TensorData | undefined;
  const next = async (): Promise<TensorData> => {
    if (before !== undefined) free(before);
    return (before = await tensors.next());
  };
  try {
    const written = await writeCheckpoint(store, join(folder, String(saves++)), job, next);
    answer({ op: "written", written, requests: requests() });
  } catch (thrown) {
    const error = fileError(thrown, "the trainer's own files", folder);
    answer({
      op: "failed",
      code: error instanceof AccreteError ? error.code : null,
      message: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  } finally {
    if (before !== undefined) free(before);
  }
}

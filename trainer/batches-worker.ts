/** The worker of batches.ts: puts batches together ahead of the training thread, until the ring is full, and on as it empties. */
import { workerData } from "node:worker_threads";
import { Gatherer, type BatchAt, type Gathering } from "./packed/gather.ts";
import { BatchRing, type RingShape } from "./packed/ring.ts";
import { batchesOf, Shuffle } from "./sampler.ts";

export interface BatchWork {
  readonly gathering: Gathering;
  /** the packed rows, if they are in memory */
  readonly held: SharedArrayBuffer | null;
  readonly from: BatchAt;
  /** of the round */
  readonly epochs: number;
  readonly ring: RingShape;
  /** of the ring */
  readonly shared: SharedArrayBuffer;
}

const { gathering, held, from, epochs, ring, shared } = workerData as BatchWork;
const { seed, batchSize } = gathering;
const records = gathering.records.train.length;
const batches = batchesOf(records, batchSize);
const slots = new BatchRing(shared, ring);
using gatherer = new Gatherer(gathering, held);

let shuffle = new Shuffle({ seed, epochIndex: from.epochIndex, records });
for (let { epochIndex, batchIndex } = from; epochIndex < epochs; epochIndex++, batchIndex = 0) {
  const order = shuffle.whole();
  // the next epoch's order is made while this one is read: at its end there would be a pause
  shuffle = new Shuffle({ seed, epochIndex: epochIndex + 1, records });
  for (; batchIndex < batches; batchIndex++) {
    slots.put((into) => gatherer.gather(order, { epochIndex, batchIndex }, into));
    shuffle.advance(batchSize);
  }
}

/** Batches from this thread and from the worker: the same, from any place on. */
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { DataConfig } from "../protocol/data-config.ts";
import type { Plan } from "../protocol/types.ts";
import { openBatches, type ReadAhead } from "./batches.ts";
import type { RecordsOfItem } from "./item-records.ts";
import type { BatchAt, Gathering } from "./packed/gather.ts";
import { epochOrder } from "./sampler.ts";
import type { Batch } from "./step.ts";
import { packed, packedPath } from "./testing/packing.ts";
import { Place } from "./testing/rounds.ts";
import { copyOf } from "./testing/steps.ts";

const COUNT = 53;
const SHAPE = [3, 4, 1];
const WIDTH = 12;
const NAMES = ["a", "b", "c"].map((name, record) => ({ name, record }));
const item: RecordsOfItem = {
  count: COUNT,
  shape: SHAPE,
  features: Float32Array.from({ length: COUNT * WIDTH }, (_, i) => i),
  labels: Int32Array.from({ length: COUNT }, (_, i) => i % 3),
  names: NAMES,
};
const classes = ["c", "b", "a"];
const HOLDOUT = [0, 7, 52];
const EPOCHS = 3;
const BATCH = 8; // 50 records to train on: 7 batches, the last of 2

const gathering = (more: Partial<Gathering> = {}): Gathering => ({
  records: packed(item, { classes, holdout: HOLDOUT }),
  normalisation: null,
  augmentation: null,
  seed: 5,
  batchSize: BATCH,
  ...more,
});

async function planWith(memory = 2 ** 30): Promise<Plan> {
  const plan = await new Place().plan({ items: [], trainer: { epochs: EPOCHS, batchSize: BATCH } });
  return { ...plan, seed: 5, data: { ...DataConfig.parse({ format: "idx" }), memory } };
}

async function batchesFrom(
  from: BatchAt,
  how: ReadAhead,
  more: Partial<Gathering> = {},
  memory?: number,
): Promise<Batch[]> {
  await using source = openBatches(gathering(more), await planWith(memory), from, how);
  const batches: Batch[] = [];
  for (let left = (EPOCHS - from.epochIndex) * 7 - from.batchIndex; left > 0; left--)
    batches.push(copyOf(await source.next()));
  return batches;
}

const START = { epochIndex: 0, batchIndex: 0 };
const kinds: [string, Partial<Gathering>][] = [
  ["floats as they are", {}],
  ["bytes", { records: packed({ ...item, features: Uint8Array.from(item.features) }, { classes, holdout: HOLDOUT }) }],
  [
    "normalised",
    { normalisation: { count: 4, mean: Array(WIDTH).fill(100), m2: Array(WIDTH).fill(7), frozen: false } },
  ],
  ["augmented", { augmentation: { flip: "horizontal", shift: 1, crop: 0.3, height: 3, width: 4, channels: 1 } }],
  [
    "weighted",
    { records: packed({ ...item, weights: Float32Array.from({ length: COUNT }, (_, i) => i / 9) }, { classes }) },
  ],
];

kinds.push(
  ["token ids", { records: packed({ ...item, features: Int32Array.from(item.features) }, { classes }) }],
  [
    "several classes and weights",
    {
      records: packed(
        {
          ...item,
          labels: Int32Array.from({ length: 2 * COUNT }, (_, i) => (i % 2 === 0 ? 0 : 1 + ((i >> 1) % 2))), // each has two
          offsets: Int32Array.from({ length: COUNT + 1 }, (_, i) => 2 * i),
          weights: Float32Array.from({ length: COUNT }, (_, i) => i / 9),
        },
        { classes, holdout: HOLDOUT },
      ),
    },
  ],
);

describe("the batches of a round", () => {
  it("are the records in the epochs' orders, with the schema's classes", async () => {
    const batches = await batchesFrom(START, { worker: false });
    expect(batches.map(({ size }) => size)).toEqual(Array.from({ length: EPOCHS }, () => [8, 8, 8, 8, 8, 8, 2]).flat());
    const train = Array.from({ length: COUNT }, (_, row) => row).filter((row) => !HOLDOUT.includes(row));
    const rows = [0, 1, 2].flatMap((epochIndex) =>
      [...epochOrder({ seed: 5, epochIndex, records: train.length })].map((of) => train[of]!),
    );
    expect(batches.flatMap(({ x }) => [...x])).toEqual(
      rows.flatMap((row) => [...item.features.subarray(row * WIDTH, (row + 1) * WIDTH)]),
    );
    expect(batches.flatMap(({ y }) => [...y])).toEqual(rows.map((row) => 2 - (row % 3)));
    expect(batches[0]).not.toHaveProperty("weights");
  });

  it.each(kinds)("are the same from the worker, in a ring of any size and from the disk: %s", async (_, more) => {
    const records = more.records ?? gathering().records;
    const direct = await batchesFrom(START, { worker: false }, { ...more, records });
    for (const slots of [1, 5])
      expect(await batchesFrom(START, { worker: true, slots }, { ...more, records })).toEqual(direct);
    for (const worker of [true, false])
      expect(await batchesFrom(START, { worker }, { ...more, records }, 1)).toEqual(direct); // nothing fits
  });

  it("have token ids as integers, and with several classes a 0 or 1 and a weight for each of them", async () => {
    const [tokens, several] = [kinds.at(-2)![1], kinds.at(-1)![1]];
    const [first] = await batchesFrom(START, { worker: true }, tokens);
    expect(first!.x).toBeInstanceOf(Int32Array);
    const batches = await batchesFrom(START, { worker: true }, several);
    for (const { size, x, y, weights } of batches)
      for (let i = 0; i < size; i++) {
        const row = x[i * WIDTH]! / WIDTH;
        expect([...y.subarray(3 * i, 3 * i + 3)]).toEqual(row % 2 === 0 ? [0, 1, 1] : [1, 0, 1]);
        expect([...weights!.subarray(3 * i, 3 * i + 3)]).toEqual(Array(3).fill(Math.fround(row / 9)));
      }
  });

  it.each([true, false])("are the rest of them from any place on, worker: %s", async (worker) => {
    const more = { augmentation: kinds[3]![1].augmentation! };
    const whole = await batchesFrom(START, { worker: false }, more);
    for (const [epochIndex, batchIndex] of [
      [0, 3],
      [1, 0],
      [2, 6],
    ] as const)
      expect(await batchesFrom({ epochIndex, batchIndex }, { worker }, more)).toEqual(
        whole.slice(epochIndex * 7 + batchIndex),
      );
  });

  it("are augmented anew in each epoch", async () => {
    const inputs = (batches: readonly Batch[]): number[][] =>
      batches.flatMap(({ x, size }) =>
        Array.from({ length: size }, (_, i) => [...x.subarray(i * WIDTH, (i + 1) * WIDTH)]),
      );
    const plain = inputs(await batchesFrom(START, { worker: false }));
    const changed = inputs(await batchesFrom(START, { worker: false }, { augmentation: kinds[3]![1].augmentation! }));
    const ofOneRecord = changed.filter((_, i) => plain[i]![0] === 9 * WIDTH);
    expect(ofOneRecord).toHaveLength(EPOCHS);
    expect(new Set(ofOneRecord.map(String)).size).toBe(EPOCHS);
  });
});

describe("a worker that ends", () => {
  async function why(program: string): Promise<unknown> {
    const path = `${packedPath()}.mjs`;
    writeFileSync(path, program);
    await using source = openBatches(gathering(), await planWith(), START, {
      worker: true,
      program: pathToFileURL(path),
    });
    return await Promise.resolve(source.next()).catch((error: unknown) => error);
  }

  it("ends the training with what it threw", async () => {
    expect(await why('throw new Error("EIO: the disk")')).toMatchObject({
      message: "reading ahead failed: EIO: the disk",
    });
  });

  it("without a word ends it, too", async () => {
    expect(await why("process.exit(3)")).toMatchObject({
      message: "the thread that reads ahead ended with exit code 3",
    });
  });
});

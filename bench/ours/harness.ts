/**
 * Wall-clock milliseconds a step of the MLP 784-512-512-10 on batches of 32: "bare": the step alone, on batches in memory; "loop": of the
 * trainer's process as it is, data from disk, progress, a checkpoint at each epoch; the difference of two rounds of 3 and 9 epochs, so that what
 * comes once does not count (both are large enough to be read ahead by a worker).
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { printFigure } from "./figure.ts";
import { network, randomBatches, schemaOf } from "./models.ts";
import { makePlace, moduleOf } from "./place.ts";
import { openStepper } from "./stepper.ts";

const RECORDS = 20_000;
const BATCH = 32;
const TRAINER = fileURLToPath(new URL("../../dist/trainer/main.js", import.meta.url));

if (process.argv[2] === "bare") {
  const batches = Array.from({ length: 8 }, () => randomBatches("mlp", BATCH)).flat();
  const schema = schemaOf("mlp");
  const { stepper } = await openStepper({
    threads: 1,
    schema,
    network: (tf) => network(tf, "mlp"),
    batch: batches[0]!,
  });
  const train = (steps: number, from: number): void => {
    for (let i = from; i < from + steps; i++)
      stepper.run(batches[i % batches.length]!, { step: i, update: i + 1, learningRate: 0.001 });
  };
  train(50, 0);
  const [steps, began] = [(6 * RECORDS) / BATCH, performance.now()];
  train(steps, 50);
  printFigure((performance.now() - began) / steps);
} else {
  const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
  try {
    writeFileSync(join(folder, "digits.idx"), idxFile());
    const [few, many] = [await secondsOf(folder, 3), await secondsOf(folder, 9)];
    printFigure((1_000 * (many - few)) / ((6 * RECORDS) / BATCH));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An array of images and then one of labels. */
function idxFile(): Uint8Array {
  const header = (type: number, ...sizes: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(4 + 4 * sizes.length);
    bytes.writeUInt32BE((type << 8) | sizes.length);
    sizes.forEach((size, i) => bytes.writeUInt32BE(size, 4 + 4 * i));
    return bytes;
  };
  const pixels = Buffer.from(Uint8Array.from({ length: RECORDS * 784 }, () => Math.floor(Math.random() * 256)));
  const labels = Buffer.from(Uint8Array.from({ length: RECORDS }, (_, i) => i % 10));
  return Buffer.concat([header(8, RECORDS, 28, 28), pixels, header(8, RECORDS), labels]);
}

async function secondsOf(dataFolder: string, epochs: number): Promise<number> {
  const module = moduleOf(512, 512).replace(
    "layers: [",
    "layers: [tf.layers.flatten({ inputShape: [...inputShape] }),",
  );
  const data = { format: "idx", holdout: 0 } as const;
  using place = await makePlace(dataFolder, { module, data, trainer: { epochs, batchSize: BATCH } });
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [TRAINER], {
    encoding: "utf8",
    env: { ...process.env, ...place.env, ACCRETE_THREADS: "1" },
  });
  if (status !== 0) throw new Error(stderr);
  return (performance.now() - began) / 1_000;
}

/**
 * A checkpoint of some 200 MB: "save" by the trainer until it is whole in the store; "restore" from there to tensors; "raw-write" and
 * "raw-read" the same bytes and their sha256 alone, fsync included. Wall-clock milliseconds, the median of five.
 */
import { createHash } from "node:crypto";
import { open, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { readSafetensors } from "../../trainer/safetensors.ts";
import { restore } from "../../trainer/checkpoint.ts";
import { median } from "../contest.ts";
import { printFigure } from "./figure.ts";
import { largeNetwork } from "./large.ts";
import { openSaver, openStepper } from "./stepper.ts";

const PARAMETERS = 17_500_000; // weights and two slots of each: 210 MB
const TIMES = 5;
const [, , what] = process.argv;
const large = largeNetwork(PARAMETERS);

async function timed(work: (time: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time <= TIMES; time++) {
    const began = performance.now();
    await work(time);
    if (time > 0) times.push(performance.now() - began); // the first one warms up
  }
  return median(times);
}

const NAMES = ["weights.safetensors", "optimizer.safetensors"];

/** Paths of the files of the newest checkpoint that are large. */
async function largeFiles(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true });
  return NAMES.map((name) =>
    join(
      folder,
      all.findLast((path) => path.endsWith(name))!,
    ),
  );
}

async function measure(): Promise<void> {
  await using saver = openSaver();
  const { trained, stepper } = await openStepper({ threads: 2, ...large });
  stepper.run(large.batch, { step: 0, update: 1, learningRate: 0.001 });
  if (what === "save") {
    printFigure(
      await timed(async (time) => {
        const { written } = await saver.begin(trained, time + 1);
        await written;
      }),
    );
  } else {
    const { written } = await saver.begin(trained, 1);
    const checkpoint = await written;
    const files = await largeFiles(join(saver.folder, "state"));
    if (what === "restore")
      printFigure(
        await timed(async (time) => {
          const { path } = await restore(saver.store, checkpoint.manifest, join(saver.folder, String(time)));
          for (const name of NAMES) readSafetensors(path(name)!, name);
        }),
      );
    if (what === "raw-read")
      printFigure(
        await timed(async () => {
          for (const file of files)
            createHash("sha256")
              .update(await readFile(file))
              .digest();
        }),
      );
    if (what === "raw-write") {
      const bytes = await Promise.all(files.map((file) => readFile(file)));
      printFigure(
        await timed(async (time) => {
          for (const [i, data] of bytes.entries()) {
            createHash("sha256").update(data).digest();
            await using file = await open(join(saver.folder, `raw-${time}-${i}`), "w");
            await file.writeFile(data);
            await file.sync();
          }
        }),
      );
    }
  }
}

await measure();
process.exit(); // TensorFlow's threads would take a while

/**
 * Steps of the MLP for a minute, with ten checkpoints meanwhile. "percent": how much of the time the training thread waits for them;
 * "memcpy": how long it waits for one, in copies of the same bytes.
 */
import { median } from "../contest.ts";
import { printFigure } from "./figure.ts";
import { network, randomBatches, schemaOf } from "./models.ts";
import { openSaver, openStepper } from "./stepper.ts";

const [, , what, secondsText] = process.argv;
const milliseconds = Number(secondsText) * 1_000;
const SAVES = 10;
const batches = randomBatches("mlp", 32);
const schema = schemaOf("mlp");
const { trained, stepper } = await openStepper({
  threads: 1,
  schema,
  network: (tf) => network(tf, "mlp"),
  batch: batches[0]!,
});
async function measure(): Promise<void> {
  await using saver = openSaver();
  let step = 0;
  const train = (): void => {
    stepper.run(batches[step % batches.length]!, { step, update: step + 1, learningRate: 0.001 });
    step++;
  };
  while (step < 50) train();

  const waits: number[] = [];
  let written: Promise<unknown> = Promise.resolve();
  const began = performance.now();
  for (let due = milliseconds / SAVES / 2; performance.now() - began < milliseconds;) {
    train();
    await new Promise((resolve) => setImmediate(resolve));
    if (performance.now() - began < due) continue;
    due += milliseconds / SAVES;
    const at = performance.now();
    await written;
    ({ written } = await saver.begin(trained, step));
    waits.push(performance.now() - at);
  }
  const took = performance.now() - began;
  await written;
  const sum = waits.reduce((all, wait) => all + wait, 0);
  console.error(`${step} steps, ${waits.length} saves, waited ${sum.toFixed(1)} ms of ${took.toFixed(0)}`);
  if (what === "percent") printFigure((100 * sum) / took);
  else {
    const snapshot = stepper.snapshot();
    const values = [...snapshot.weights, ...snapshot.slots].map((tensor) => tensor.read());
    const copies = Array.from({ length: 9 }, () => {
      const at = performance.now();
      for (const data of values) data.slice();
      return performance.now() - at;
    });
    printFigure(median(waits) / median(copies));
  }
}

await measure();
process.exit(); // TensorFlow's threads would take a while

/** What a snapshot of the step op by op gives is the reader's own: the thread that writes checkpoints takes the arrays away. */
import { expect, it } from "vitest";
import { EagerStepper } from "./eager-step.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { built, distance, runSteps, valuesOf, type Case } from "./testing/steps.ts";
import { loadTf } from "./tf.ts";

it.skipIf(WITH_NATIVE === undefined).each([
  ["wasm", WITHOUT_NATIVE],
  ["cpu", { ...WITHOUT_NATIVE, backend: "cpu" }],
  ["native", WITH_NATIVE!],
] as const)("on %s the model keeps its weights, trained or not", async (name, options) => {
  const { tf, backend } = await loadTf(options);
  expect(backend).toBe(name);
  const of: Case = {
    inputShape: [3],
    classes: 2,
    build: ({ tf: given }) =>
      given.sequential({ layers: [given.layers.dense({ units: 2, inputShape: [3], name: `own-${name}` })] }),
    trainer: { optimizer: { name: "adam" } },
  };
  const { model, shape, plan } = built(tf, of);
  for (const { variable } of model.weights) variable.assign(tf.tensor([...variable.dataSync()], variable.shape)); // as a restore does
  const stepper = new EagerStepper(tf, model, plan, shape);
  for (const train of [() => [], () => runSteps(stepper, of, [4, 4])]) {
    train();
    const [taken, expected] = [valuesOf(stepper), valuesOf(stepper).map((values) => values.slice())];
    for (const { buffer } of taken) (buffer as ArrayBuffer).transfer(0);
    expect(distance(valuesOf(stepper), expected)).toBe(0);
  }
});

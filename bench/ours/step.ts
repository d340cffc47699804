/** The trainer's step on batches in memory: model, batch size, steps. */
import { buildModel } from "../../trainer/model.ts";
import { chooseStepper } from "../../trainer/choose-stepper.ts";
import { cpuMsPerCall, printFigure } from "./figure.ts";
import { modelNameOf, network, randomBatches, schemaOf } from "./models.ts";
import { shapeOf } from "../../trainer/step.ts";
import { loadNative } from "./native.ts";
import { planOf } from "../../trainer/testing/plan.ts";

const name = modelNameOf(process.argv[2]);
const [size, steps] = [Number(process.argv[3]), Number(process.argv[4])];
const loaded = await loadNative(1);
const plan = planOf({ batchSize: size, schedule: { name: "constant" } });
const model = buildModel(loaded.tf, { build: ({ tf }) => network(tf, name) }, plan, schemaOf(name));
const batches = randomBatches(name, size);
const { stepper } = await chooseStepper(loaded, {
  model,
  plan,
  shape: shapeOf(schemaOf(name), plan.trainer),
  batch: batches[0],
  sizes: [size],
  say: (line) => console.error(line),
});
console.log(stepper.kind);
printFigure(
  cpuMsPerCall(
    (i) => stepper.run(batches[i % batches.length]!, { step: i, update: i + 1, learningRate: 0.001 }),
    steps,
  ),
);

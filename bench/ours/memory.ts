/** The most memory of a process that trains 100 million parameters with Adam, as a multiple of the parameters' own bytes; steps and one checkpoint. */
import { printFigure } from "./figure.ts";
import { largeNetwork } from "./large.ts";
import { openSaver, openStepper } from "./stepper.ts";

const PARAMETERS = 100_000_000;
const [, , what] = process.argv;
const large = largeNetwork(PARAMETERS);
const { trained, stepper } = await openStepper({ threads: 2, ...large });
const parameters = stepper.slots.reduce((sum, { shape }) => sum + shape.reduce((all, side) => all * side, 1), 0) / 2;
for (let step = 0; step < 5; step++) {
  stepper.run(large.batch, { step, update: step + 1, learningRate: 0.001 });
  if (what !== "saving" || step !== 2) continue;
  await using saver = openSaver();
  await (
    await saver.begin(trained, step)
  ).written;
}
printFigure((process.resourceUsage().maxRSS * 1_024) / (4 * parameters));
process.exit();

import { join, resolve } from "node:path";
import { Command } from "commander";
import { readTrainingHistory, type HistoryPoint } from "../../ledger/training-history.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelinesOf } from "../compose.ts";
import { EventRun } from "../event-run.ts";
import type { GlobalOptions, Pipeline } from "../pipeline.ts";
import { count } from "../print.ts";
import { line, printJson } from "../terminal.ts";
import { userFolder } from "../user-folder.ts";

const FOLLOW_MS = 2_000;

export function tensorboardCommand(): Command {
  return new Command("tensorboard")
    .summary("write event files that TensorBoard shows")
    .description(
      "Writes the curves of each pipeline to a folder of its name in <dir>, as an event file of TensorBoard: loss and learning rate of each epoch; holdout metrics, speed and cost of each round. They are made from what is stored, of the rounds that the newest checkpoint was trained by, so they can be deleted and written again at any time.",
    )
    .argument("<dir>", "the folder to give to `tensorboard --logdir`")
    .option("--follow", "go on, and add each epoch as it is saved")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete tensorboard runs && tensorboard --logdir runs\n  $ accrete tensorboard runs --follow",
    )
    .action(async (dir: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { follow?: boolean }>();
      const pipelines = await openPipelinesOf(options);
      const target = resolve(userFolder(process.env), dir);
      const runs = pipelines.map((pipeline) => ({
        pipeline,
        run: new EventRun(join(target, pipeline.config.name), pipeline.config.budget?.pricePerHour),
        shown: "",
      }));
      do {
        const written = [];
        for (const one of runs) {
          const { text, ...report } = await write(one.pipeline, one.run);
          written.push(report);
          if (options.json !== true && text !== one.shown) line(text);
          one.shown = text;
        }
        if (options.json === true && options.follow !== true) printJson(written);
        if (options.follow === true) await new Promise((wake) => setTimeout(wake, FOLLOW_MS));
      } while (options.follow === true);
    });
}

async function write(
  { config, store }: Pipeline,
  run: EventRun,
): Promise<{ pipeline: string; file: string | null; epochs: number; rounds: number; text: string }> {
  const history = await readTrainingHistory(store);
  const file = (await run.update(history, Date.now())) ?? null;
  const of = (is: HistoryPoint["is"]): number => history.filter((point) => point.is === is).length;
  const [epochs, rounds] = [of("epoch"), of("round")];
  const text =
    file === null
      ? `${config.name}: nothing has been trained yet`
      : `${config.name}: ${count(epochs, "epoch")}, ${count(rounds, "round")} in ${printable(file)}`;
  return { pipeline: config.name, file, epochs, rounds, text };
}

import { Command, InvalidArgumentError } from "commander";
import { promote } from "../../ledger/commands.ts";
import { previewPromote } from "../../ledger/rollback.ts";
import { isConfirmed } from "../confirm.ts";
import { checkpoint } from "../print.ts";
import { line, printJson } from "../terminal.ts";
import {
  changeCommand,
  goOn,
  nothingChanged,
  openOperatorOf,
  promoteText,
  said,
  type ChangeOptions,
} from "./change.ts";
import { openPipelineOf } from "../compose.ts";

export function promoteCommand(): Command {
  return changeCommand("promote")
    .summary("make a round's checkpoint the live one")
    .description(
      "Makes the checkpoint of a round the live one, which users of the model load, and changes nothing else: a running training goes on, and the next round that passes the gate moves live again. It shows what it will do, and asks.",
    )
    .argument("<round>", "a round that is kept (`accrete log` marks them), or 0: nothing is live", roundArgument)
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete promote 3\n  $ accrete promote 3 --yes --reason 'better on the night shift'",
    )
    .action(async (round: number, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      const pipeline = await openPipelineOf(options);
      const preview = await previewPromote(pipeline, round);
      if (preview.same) {
        const live = preview.from === null ? "nothing is live" : `${checkpoint(preview.from)} is live`;
        return options.json === true ? printJson(preview) : line(`${live} already: nothing to do`);
      }
      const show = (): void =>
        options.json === true ? printJson(preview) : line(promoteText(pipeline.config.name, preview));
      if (!(await isConfirmed(options, show))) return nothingChanged();
      const operator = await openOperatorOf(pipeline, options);
      const entry = await promote(operator.ledger, { round, ...said(options, `promote ${round}`), seq: preview.seq });
      await goOn(pipeline, operator, options, entry);
    });
}

function roundArgument(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("a round's number, or 0, was expected.");
  return Number(text);
}

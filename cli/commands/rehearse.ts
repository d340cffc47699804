import { Command } from "commander";
import { hasMemory } from "../../ledger/checkpoints.ts";
import { readHead } from "../../ledger/read.ts";
import { readStatus } from "../../ledger/status.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { line, printJson } from "../terminal.ts";
import { openOperatorOf } from "./change.ts";
import { stepText } from "./status.ts";

export function rehearseCommand(): Command {
  return new Command("rehearse")
    .summary("start a round on the replay memory alone")
    .description(
      "Starts a round without new data, on what the checkpoint's replay memory holds of earlier rounds. What waits or is to be trained again comes first. The trainer of this version keeps no such memory yet, so there is nothing to rehearse so far.",
    )
    .addHelpText("after", "\nExamples:\n  $ accrete rehearse && accrete up --once")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const pipeline = await openPipelineOf(options);
      const { head } = await readHead(pipeline.store);
      if (!(await hasMemory(pipeline.store, head.checkpoint)))
        throw new AccreteError(
          "NO_MEMORY",
          head.checkpoint === null
            ? "nothing has been trained yet"
            : `the checkpoint of round ${head.checkpoint.round} has no replay memory`,
        );
      const operator = await openOperatorOf(pipeline, options);
      await operator.tick({ kind: "rehearse", seq: head.seq });
      const after = await readStatus(pipeline);
      if (options.json === true) return printJson(after);
      const { open, next } = after;
      line(
        `${pipeline.config.name}: ${open === null ? "" : `round ${open.round}: `}${stepText(next, after, pipeline.words)}`,
      );
      if ("advice" in next) line(`what to do: ${pipeline.words.typed(printable(next.advice))}`);
      // one that runs already may have committed it by now
      if (open?.kind === "rehearse" || after.round > head.round) line(pipeline.words.runsOn);
      else line("No rehearsal was started: what waits comes first. Ask again after it.");
    });
}

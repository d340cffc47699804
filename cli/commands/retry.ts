import { Command } from "commander";
import { readStatus } from "../../ledger/status.ts";
import { tick } from "../../ledger/tick.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { choosePipeline, NO_TICKS, openLedger, openWorkspace, type GlobalOptions } from "../compose.ts";
import { Progress } from "../progress.ts";
import { line, printJson } from "../terminal.ts";
import { stepText } from "./status.ts";

export function retryCommand(): Command {
  return new Command("retry")
    .summary("one attempt more for a blocked round")
    .description(
      "Makes one attempt more for a round that is blocked, once what blocked it is mended. It trains the same plan: same items,\nsame code and config, from the newest checkpoint that the attempts before have saved.",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete status      says what blocks the round, and where the log is\n  $ accrete retry",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const pipeline = choosePipeline(await openWorkspace(options), options.pipeline);
      const { config, store } = pipeline;
      const { next, seq } = await readStatus(pipeline);
      if (next.is === "paused")
        throw new AccreteError(
          "NOTHING_TO_RETRY",
          `${config.name} is paused, not blocked: ${next.reason}. ${next.advice}`,
        );
      if (next.is !== "blocked") throw new AccreteError("NOTHING_TO_RETRY", `${config.name} is not blocked`);
      // another attempt is of no use where there is a result already
      if (next.attempt === 0)
        throw new AccreteError("NOTHING_TO_RETRY", `round ${next.round} has a result: ${next.reason}. ${next.advice}`);
      const notify =
        options.json === true ? { notify: async () => undefined } : new Progress([config.name]).notify(store);
      const ledger = await openLedger(pipeline, { ticks: NO_TICKS, notify });
      await tick(ledger, { kind: "retry", seq, round: next.round, attempt: next.attempt });
      const after = await readStatus(pipeline);
      if (options.json === true) return printJson(after);
      line(`${config.name}: round ${next.round}: ${stepText(after.next, after)}`);
      line("The training runs on by itself; `accrete up` goes on from here (one that runs already notices).");
    });
}

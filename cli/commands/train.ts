import { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { readHead } from "../../ledger/read.ts";
import { readStatus } from "../../ledger/status.ts";
import { sweep } from "../../ledger/sweep.ts";
import { tick } from "../../ledger/tick.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { choosePipeline, NO_TICKS, openLedger, openWorkspace, type GlobalOptions } from "../compose.ts";
import { Progress } from "../progress.ts";
import { line, printJson } from "../terminal.ts";
import { stepText } from "./status.ts";

export function trainCommand(): Command {
  return new Command("train")
    .summary("start a round now, without waiting for the quiet period or the minimum")
    .description(
      "Takes in what is in the data folder and starts a round of all that waits: before the quiet period is over, and with fewer\nitems than trigger.minItems. The training runs on by itself; `accrete up` commits its result, one that runs already too.",
    )
    .addHelpText("after", "\nExamples:\n  $ accrete train\n  $ accrete train && accrete up --once")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const pipeline = choosePipeline(await openWorkspace(options), options.pipeline);
      const { config, items, store } = pipeline;
      const progress = new Progress([config.name]);
      const notify = options.json === true ? { notify: async () => undefined } : progress.notify(store);
      const ledger = await openLedger(pipeline, { ticks: NO_TICKS, notify });
      // what was put there a moment ago may still grow
      await sleep(items.settleMs);
      await sweep(ledger, items);
      await tick(ledger, { kind: "plain" });
      const before = await readStatus(pipeline);
      if (before.open === null && before.waiting === null && before.redoItems === 0)
        throw new AccreteError("NOTHING_TO_TRAIN", "nothing waits to be trained");
      if (before.open === null) {
        const { head } = await readHead(store);
        await tick(ledger, { kind: "train", seq: head.seq });
      }
      const after = await readStatus(pipeline);
      if (options.json === true) return printJson(after);
      line(`${config.name}: round ${after.open?.round ?? after.round}: ${stepText(after.next, after)}`);
      if (before.open !== null && before.waiting !== null) line("What waits beside it is taken by the round after it.");
      line("The training runs on by itself; `accrete up` goes on from here (one that runs already notices).");
    });
}

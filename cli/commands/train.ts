import { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { forecast, type Forecast } from "../../ledger/forecast.ts";
import { readHead } from "../../ledger/read.ts";
import { readStatus } from "../../ledger/status.ts";
import { budgetText } from "../../protocol/budget.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions, Pipeline } from "../pipeline.ts";
import { bytes, count, duration, item } from "../print.ts";
import { printable } from "../../protocol/printable.ts";
import { line, printJson } from "../terminal.ts";
import { openOperatorOf } from "./change.ts";
import type { Words } from "../words.ts";
import { stepText } from "./status.ts";

export function trainCommand(): Command {
  return new Command("train")
    .summary("start a round now, without waiting for the quiet period or the minimum")
    .description(
      "Takes in what is in the data folder and starts a round of all that waits: before the quiet period is over, and with fewer items than trigger.minItems. The training runs on by itself; `accrete up` commits its result, one that runs already too.",
    )
    .option(
      "--dry-run",
      "say which items it would train, and about how long and how much; nothing is taken in or changed",
    )
    .option("--all", "with --dry-run: list every item, not only the first 20")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete train\n  $ accrete train --dry-run\n  $ accrete train && accrete up --once",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { dryRun?: boolean; all?: boolean }>();
      const pipeline = await openPipelineOf(options);
      if (options.dryRun === true) return dryRun(pipeline, options);
      if (options.all === true) throw new AccreteError("USAGE", "--all goes with --dry-run");
      const { config, store, words } = pipeline;
      const operator = await openOperatorOf(pipeline, options);
      await pipeline.takeIn(operator);
      const before = await readStatus(pipeline);
      if (before.open === null && before.waiting === null && before.redoItems === 0)
        throw new AccreteError("NOTHING_TO_TRAIN", `nothing waits to be trained${words.soon}`);
      if (before.open === null) {
        const { head } = await readHead(store);
        await operator.tick({ kind: "train", seq: head.seq });
      }
      const after = await readStatus(pipeline);
      if (options.json === true) return printJson(after);
      line(`${config.name}: round ${after.open?.round ?? after.round}: ${stepText(after.next, after, words)}`);
      if (before.open !== null && before.waiting !== null) line("What waits beside it is taken by the round after it.");
      line(words.runsOn);
    });
}

/** Items that --dry-run lists without --all. */
const LISTED = 20;

async function dryRun(pipeline: Pipeline, options: { json?: boolean; all?: boolean }): Promise<void> {
  await sleep(pipeline.items.settleMs);
  const would = await forecast(pipeline, pipeline.items);
  const listed = options.all === true ? would.items : would.items.slice(0, LISTED);
  if (options.json === true) {
    const { status, items, ...rest } = would;
    return printJson({ pipeline: status.pipeline, ...rest, count: items.length, items: listed, next: status.next });
  }
  line(`${pipeline.config.name}: ${headline(would)}`);
  for (const one of listed) line(`  ${item(one)}`);
  if (listed.length < would.items.length)
    line(`  and ${count(would.items.length - listed.length, "more", "more")}: --all lists them`);
  if (would.items.length > 0 && would.later > 0)
    line(`${count(would.later, "item")} would wait for the round after it.`);
  for (const text of obstacles(would, pipeline.words)) line(text);
  line("Nothing was taken in or changed.");
}

function headline({ items, bytes: size, epochs, jobMs, by, dollars, status }: Forecast): string {
  if (items.length === 0) return "nothing waits to be trained";
  const round = (status.open?.round ?? status.round) + 1;
  const cost = dollars === undefined ? "" : `, ${dollars < 0.005 ? "less than $0.01" : `about $${dollars.toFixed(2)}`}`;
  const time =
    jobMs === undefined
      ? "how long is not known before the first round"
      : `about ${duration(jobMs)}${cost}, judged by ${by === 1 ? "the last round" : `the last ${by} rounds`}`;
  return `round ${round} would learn ${count(items.length, "item")} (${bytes(size)}), ${count(epochs, "epoch")}: ${time}`;
}

/** What would come before it, and what only `train` passes over. */
function obstacles(would: Forecast, words: Words): string[] {
  const { items, status, budget, jobMs, minItems, intervalEndsMs } = would;
  const { next, open, nowMs, redoItems } = status;
  const texts: string[] = [];
  if (next.is === "paused") texts.push(`It would not start: ${printable(next.reason)}.`);
  if (open !== null) texts.push(`Round ${open.round} is open and comes first: ${stepText(next, status, words)}.`);
  else if (redoItems > 0) texts.push("They are what a rollback left; what waits comes after it.");
  if (items.length === 0) return texts;
  if (budget.do === "stop")
    texts.push(`Its job would not start yet: ${budgetText(budget)}; it would in ${duration(budget.untilMs - nowMs)}.`);
  else if (jobMs !== undefined && jobMs > budget.leftMs)
    texts.push(`The budget leaves ${duration(budget.leftMs)}: it would save then, and go on when there is a new one.`);
  if (minItems !== undefined)
    texts.push(`${words.alone} would wait until ${count(minItems, "item")} are there (minItems).`);
  if (intervalEndsMs !== undefined)
    texts.push(`${words.alone} would wait ${duration(intervalEndsMs - nowMs)} more (minInterval).`);
  return texts;
}

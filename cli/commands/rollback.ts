import { Command, InvalidArgumentError } from "commander";
import { itemId } from "../../protocol/digest.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { findObjects, toTakeOut } from "../objects.ts";
import { changeCommand, changeHistory, toTrainAgain, type ChangeOptions } from "./change.ts";
import { openPipelineOf } from "../compose.ts";

interface RollbackOptions extends ChangeOptions {
  readonly to: number | "head";
  readonly replay?: boolean;
  readonly without?: readonly string[];
  readonly with?: readonly string[];
}

export function rollbackCommand(): Command {
  return changeCommand("rollback")
    .summary("go on from an older round, or give up a blocked one")
    .description(
      "Goes on from the checkpoint of an older round, in a new round. Nothing is deleted: what the rounds that are left have learned stays in the log and consumed, but the model has not seen it. The open round ends, and what it has of the inbox waits again: `--to head` plans it anew with today's config and model. It shows what it will do, and asks. Live stays: `promote` moves it.",
    )
    .requiredOption(
      "--to <round>",
      "a round that is kept (`accrete log` marks them), head, or 0: nothing trained",
      roundOption,
    )
    .option("--replay", "train again what the rounds that are left had learned")
    .option("--without <object...>", "take these out: they are not trained any more")
    .option("--with <object...>", "train these too, which were rejected, taken out or left")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete rollback --to 3                                back to round 3\n  $ accrete rollback --to 3 --replay --without day-4.csv   and all since then again, but for one file\n  $ accrete rollback --to head                             a blocked round anew, after mending config or model\n  $ accrete rollback --to 0 --replay                       all again from nothing",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<RollbackOptions>();
      const pipeline = await openPipelineOf(options);
      const names = { without: options.without ?? [], with: options.with ?? [] };
      const objects = await findObjects(pipeline, [...names.without, ...names.with]);
      const out = toTakeOut(objects.slice(0, names.without.length));
      const wish = { to: options.to, replay: options.replay === true, without: out, with: [] };
      const { items, notes } =
        names.with.length === 0
          ? { items: [], notes: [] }
          : await toTrainAgain(pipeline, objects.slice(names.without.length), wish);
      const outIds = new Set(out.map(itemId));
      const both = items.find((item) => outIds.has(itemId(item)));
      if (both !== undefined) throw new AccreteError("USAGE", `${both.key} is named by --with and by --without`);
      await changeHistory(pipeline, options, { wish: { ...wish, with: items }, typed: typedText(options), notes });
    });
}

/** A round's number, 0 for nothing trained, or head. */
function roundOption(text: string): number | "head" {
  if (text === "head") return text;
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("a round's number, head or 0 was expected.");
  return Number(text);
}

function typedText({ to, replay, without, with: again }: RollbackOptions): string {
  return [
    `rollback --to ${to}`,
    ...(replay === true ? ["--replay"] : []),
    ...(without === undefined ? [] : ["--without", ...without]),
    ...(again === undefined ? [] : ["--with", ...again]),
  ].join(" ");
}

import type { Command } from "commander";
import { asRollback } from "../../ledger/rollback.ts";
import { printable } from "../../protocol/printable.ts";
import { findObjects, OBJECT_HELP, stillToTakeOut } from "../objects.ts";
import { line, printJson } from "../terminal.ts";
import { changeCommand, changeHistory, type ChangeOptions } from "./change.ts";
import { plainWhereText } from "./why.ts";
import { openPipelineOf } from "../compose.ts";

export function dropCommand(): Command {
  return changeCommand("drop")
    .summary("take objects out: the model forgets them and never learns them again")
    .description(
      "Takes objects out of history: goes back to the newest kept round before the first that has learned one of them, and trains all that came after again without them. What was not learned yet (it waits, or its round is open or blocked) is only kept out. All versions of an object are meant; one alone is named by its id. It shows what it will do, and asks.",
    )
    .argument("<object...>", OBJECT_HELP)
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete drop digits/day-4.csv\n  $ accrete drop .accrete/data/digits/day-4*.csv --reason 'mislabelled'\n  $ accrete drop -- -Zp3kq0VvJt0w5mB1cXhYg     an id that starts with a dash",
    )
    .action(async (names: string[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      const pipeline = await openPipelineOf(options);
      const objects = await findObjects(pipeline, names);
      const items = stillToTakeOut(objects);
      if (items.length === 0) {
        const versions = objects.flatMap((object) => object.versions);
        if (options.json === true) return printJson(versions);
        const said = versions.map(
          ({ item, now }) => `${printable(item.key)}: nothing to do: ${plainWhereText(now, pipeline.words)}`,
        );
        for (const text of new Set(said)) line(text);
        return;
      }
      await changeHistory(pipeline, options, { wish: asRollback(items), typed: `drop ${names.join(" ")}` });
    });
}

import { stripVTControlCharacters } from "node:util";
import { Command } from "commander";
import type { Event, Version, Whereabouts } from "../../ledger/why.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import type { Words } from "../words.ts";
import { findObjects, OBJECT_HELP } from "../objects.ts";
import { bytes, dateTime, withoutKey } from "../print.ts";
import { line, printJson, style } from "../terminal.ts";

export function whyCommand(): Command {
  return new Command("why")
    .summary("what became of an object: learned, waiting, rejected, left")
    .description(
      "Says of each version of an object (each content that it ever had) which round has learned it, or why it waits, was rejected, or is not in the model any more.",
    )
    .argument("<object>", OBJECT_HELP)
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete why digits/day-1.csv\n  $ accrete why .accrete/data/digits/day-1.csv\n  $ accrete why -- -Zp3kq0VvJt0w5mB1cXhYg     an id that starts with a dash",
    )
    .action(async (object: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const pipeline = await openPipelineOf(options);
      const versions = (await findObjects(pipeline, [object])).flatMap((found) => found.versions);
      if (options.json === true) return printJson(versions);
      for (const version of versions) line(versionText(version, pipeline.words));
    });
}

function versionText({ item, itemId, present, events, now }: Version, words: Words): string {
  const head = `${style("bold", printable(item.key))}  ${bytes(item.size)}  ${style("dim", `${itemId}  etag ${printable(item.etag).slice(0, 16)}`)}${present ? "" : `  (not in the ${words.data} now)`}`;
  return [
    head,
    `  ${whereText(now, words, item.key)}`,
    ...(now.is === "rejected" && present
      ? [
          words.typed(
            `  what to do: put a mended file under the same name; if the config was wrong, mend it, ${words.reload}, then \`accrete retry\` with this name`,
          ),
        ]
      : []),
    ...events.map((event) => `  ${style("dim", eventText(event, item.key))}`),
  ].join("\n");
}

const CODES: Readonly<Record<string, string>> = {
  gone: "it was gone when the round read it",
  bad: "it could not be read",
  archived: "it is archived",
  forbidden: "it may not be read",
};

/** The same without colours, for a message. */
export function plainWhereText(now: Whereabouts, words: Words): string {
  return stripVTControlCharacters(whereText(now, words));
}

function whereText(now: Whereabouts, words: Words, key = ""): string {
  switch (now.is) {
    case "learned":
      return style("green", `learned by round ${now.round}`);
    case "being-learned":
      return `being learned by round ${now.round}, which is open`;
    case "to-redo":
      return "to be trained again in the next round, after a rollback";
    case "waiting":
      return words.typed(`waits in the inbox since ${dateTime(now.sinceMs)}: \`accrete status\` says for what`);
    case "rejected":
      return style(
        "yellow",
        `rejected by round ${now.round}: ${CODES[now.code] ?? now.code}: ${printable(withoutKey(now.message, key))}`,
      );
    case "taken-out":
      return `taken out by entry ${now.seq}: ${printable(now.reason)}`;
    case "left-by-rollback":
      return style(
        "yellow",
        `not in the model: round ${now.rounds.join(", ")} had learned it and was left by a rollback`,
      );
    case "not-taken-in":
      return words.notTakenIn;
    case "ignored":
      return `it does not count: ${{ "other-prefix": "its key does not start with data.prefix", "other-suffix": "its key ends with none of data.suffixes", "folder-marker": "it is a folder's marker", empty: "it is empty", "too-old": "it was last written before data.since", "not-an-item": "its key can't be one" }[now.because]}`;
    case "lost":
      return style("red", "its round was given up, and its segment is in the inbox no more: put the file again");
  }
}

function eventText(event: Event, key: string): string {
  if (event.what === "given-up") return `planned by round ${event.round}, which was closed without a commit`;
  const at = dateTime(event.atMs);
  switch (event.what) {
    case "trained":
      return `${at}  trained by round ${event.round} (entry ${event.seq})${event.onLine ? "" : ", which was left by a rollback"}`;
    case "rejected":
      return `${at}  rejected by round ${event.round} (entry ${event.seq}): ${event.code}: ${printable(withoutKey(event.message, key))}`;
    case "taken-out":
    case "asked-again":
      return `${at}  ${event.what === "taken-out" ? "taken out" : "asked for again"} by ${printable(event.by)} (entry ${event.seq}): ${printable(event.reason)}`;
  }
}

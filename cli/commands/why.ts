import { relative, resolve, sep } from "node:path";
import { Command } from "commander";
import { why, type Event, type Version, type Whereabouts } from "../../ledger/why.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import {
  choosePipeline,
  openItemsNow,
  openWorkspace,
  userFolder,
  type GlobalOptions,
  type Workspace,
} from "../compose.ts";
import { bytes, dateTime } from "../print.ts";
import { line, printJson, style } from "../terminal.ts";

export function whyCommand(): Command {
  return new Command("why")
    .summary("what became of an object: learned, waiting, rejected, left")
    .description(
      "Says of each version of an object (each content that it ever had) which round has learned it, or why it waits, was\nrejected, or is not in the model any more.",
    )
    .argument("<object>", "its key (the path in the data folder), its path, or an item's id")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete why digits/day-1.csv\n  $ accrete why .accrete/data/digits/day-1.csv\n  $ accrete why -- -Zp3kq0VvJt0w5mB1cXhYg     an id that starts with a dash",
    )
    .action(async (object: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const workspace = await openWorkspace(options);
      const pipeline = choosePipeline(workspace, options.pipeline);
      const ports = { ...pipeline, items: openItemsNow(workspace) };
      let versions = await why(ports, object);
      const key = keyOfPath(workspace, object);
      if (versions.length === 0 && key !== undefined && key !== object) versions = await why(ports, key);
      if (versions.length === 0)
        throw new AccreteError(
          "NOT_FOUND",
          `${object}: no round, no segment and no file in ${workspace.dataFolder} has it`,
        );
      if (options.json === true) return printJson(versions);
      for (const version of versions) line(versionText(version));
    });
}

/** The key of a path below the data folder. */
function keyOfPath(workspace: Workspace, path: string): string | undefined {
  const below = relative(workspace.dataFolder, resolve(userFolder(process.env), path));
  return below === "" || below.startsWith("..") ? undefined : below.split(sep).join("/");
}

function versionText({ item, itemId, present, events, now }: Version): string {
  const head = `${style("bold", printable(item.key))}  ${bytes(item.size)}  ${style("dim", `${itemId}  etag ${printable(item.etag).slice(0, 16)}`)}${present ? "" : "  (not in the data folder now)"}`;
  return [head, `  ${whereText(now)}`, ...events.map((event) => `  ${style("dim", eventText(event))}`)].join("\n");
}

const CODES: Readonly<Record<string, string>> = {
  gone: "it was gone when the round read it",
  bad: "it could not be read",
  archived: "it is archived",
  forbidden: "it may not be read",
};

export function whereText(now: Whereabouts): string {
  switch (now.is) {
    case "learned":
      return style("green", `learned by round ${now.round}`);
    case "being-learned":
      return `being learned by round ${now.round}, which is open`;
    case "to-redo":
      return "to be trained again in the next round, after a rollback";
    case "waiting":
      return `waits in the inbox since ${dateTime(now.sinceMs)}: \`accrete status\` says for what`;
    case "rejected":
      return style(
        "yellow",
        `rejected by round ${now.round}: ${CODES[now.code] ?? now.code}: ${printable(now.message)}`,
      );
    case "taken-out":
      return `taken out by entry ${now.seq}: ${printable(now.reason)}`;
    case "left-by-rollback":
      return style(
        "yellow",
        `not in the model: round ${now.rounds.join(", ")} had learned it and was left by a rollback`,
      );
    case "not-taken-in":
      return "in the data folder, but not taken in yet: `accrete up` does it";
    case "ignored":
      return `it does not count: ${{ "other-prefix": "its key does not start with data.prefix", "other-suffix": "its key ends with none of data.suffixes", "folder-marker": "it is a folder's marker", empty: "it is empty", "too-old": "it was last written before data.since", "not-an-item": "its key can't be one" }[now.because]}`;
    case "lost":
      return style("red", "its round was given up, and its segment is in the inbox no more: put the file again");
  }
}

function eventText(event: Event): string {
  if (event.what === "given-up") return `planned by round ${event.round}, which was closed without a commit`;
  const at = dateTime(event.atMs);
  switch (event.what) {
    case "trained":
      return `${at}  trained by round ${event.round} (entry ${event.seq})${event.onLine ? "" : ", which is not on the head's line any more"}`;
    case "rejected":
      return `${at}  rejected by round ${event.round} (entry ${event.seq}): ${event.code}: ${printable(event.message)}`;
    case "taken-out":
    case "asked-again":
      return `${at}  ${event.what === "taken-out" ? "taken out" : "asked for again"} by ${printable(event.by)} (entry ${event.seq}): ${printable(event.reason)}`;
  }
}

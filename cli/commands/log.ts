import { Command } from "commander";
import { readEntry, readHead } from "../../ledger/read.ts";
import type { LogEntry } from "../../protocol/types.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { cost, count, dateTime, MAIN_METRICS, metrics, speed, table } from "../print.ts";
import { line, printJson } from "../terminal.ts";
import { countOption } from "../options.ts";

export function logCommand(): Command {
  return new Command("log")
    .summary("what has been committed, newest first")
    .description(
      "Lists the entries of the log, newest first: rounds, rollbacks, promotes. A checkpoint marked `kept` can be pulled, gone back to and promoted.",
    )
    .option("--limit <n>", "so many at most", countOption, 20)
    .addHelpText("after", "\nExamples:\n  $ accrete log\n  $ accrete log --limit 100 --json")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { limit: number }>();
      const { store, config } = await openPipelineOf(options);
      const { head } = await readHead(store);
      const entries: LogEntry[] = [];
      for (let seq = head.seq; seq > 0 && entries.length < options.limit; seq--)
        entries.push((await readEntry(store, seq)).document);
      if (options.json === true) return printJson(entries);
      if (entries.length === 0) return line("nothing has been committed yet");
      const kept = new Set(head.keep.map(({ checkpoint }) => checkpoint.manifest));
      const marks = (entry: LogEntry): string => {
        if (entry.kind !== "round" || entry.checkpoint === null) return "";
        const { manifest } = entry.checkpoint;
        return [manifest === head.live?.manifest ? "live" : "", kept.has(manifest) ? "kept" : ""]
          .filter((mark) => mark !== "")
          .join(", ");
      };
      line(
        table(
          entries.map((entry) => [
            String(entry.seq),
            dateTime(entry.at),
            entry.kind,
            String(entry.round),
            ...what(entry, config.budget?.pricePerHour),
            marks(entry),
          ]),
          ["entry", "when", "kind", "round", "epoch", "step", "what", ""],
        ),
      );
      const left = head.seq - entries.length;
      if (left > 0) line(`... and ${count(left, "older entry", "older entries")}: --limit ${head.seq}`);
    });
}

/** @param pricePerHour of the config as it is now; undefined: none is known */
function what(entry: LogEntry, pricePerHour: number | undefined): [epoch: string, step: string, what: string] {
  const at = [String(entry.checkpoint?.epoch ?? 0), String(entry.checkpoint?.step ?? 0)] as const;
  if (entry.kind === "rollback")
    return [
      ...at,
      printable(
        `to ${entry.to === 0 ? "nothing trained" : `entry ${entry.to}`}${entry.replay ? " with replay" : ""}, by ${entry.by}: ${entry.reason}`,
      ),
    ];
  if (entry.kind === "promote")
    return [
      ...at,
      printable(
        `${entry.live === null ? "nothing" : `round ${entry.live.round}`} goes live, by ${entry.by}: ${entry.reason}`,
      ),
    ];
  const rejected = entry.rejected === 0 ? "" : `, ${entry.rejected} rejected`;
  const refused = entry.gate.passed ? "" : `; refused: ${entry.gate.reasons.join("; ")}`;
  const measured = metrics(entry.metrics, MAIN_METRICS);
  const ran = [cost(entry.jobMs, pricePerHour), speed(entry.metrics)].filter((text) => text !== undefined).join(", ");
  const parts = [`${count(entry.items, "item")}${rejected}`, measured, ran].filter((text) => text !== "");
  return [...at, printable(`${parts.join("; ")}${refused}`)];
}

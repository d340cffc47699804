import { Command } from "commander";
import type { Finding } from "../../ledger/verify-context.ts";
import { verify } from "../../ledger/verify.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { choosePipeline, openWorkspace, type GlobalOptions } from "../compose.ts";
import { digestThroughFile } from "../digest-of-object.ts";
import { bytes, count } from "../print.ts";
import { line, LiveLine, printJson, style, type Style } from "../terminal.ts";

const STYLES: Readonly<Record<Finding["severity"], Style>> = { damage: "red", warning: "yellow", info: "dim" };

export function verifyCommand(): Command {
  return new Command("verify")
    .summary("check every digest and link of what is stored")
    .description(
      "Checks each stored file by its digest and each link from the first entry to the head, names what is damaged or missing,\nand changes nothing. It may run beside `accrete up`. Exit code 1 if something is damaged.",
    )
    .addHelpText("after", "\nExamples:\n  $ accrete verify\n  $ accrete verify --json | jq .damaged")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { store, config } = choosePipeline(await openWorkspace(options), options.pipeline);
      const findings: Finding[] = [];
      const live = new LiveLine();
      await using digests = await digestThroughFile(store);
      const verified = await verify(store, {
        digestOf: digests.digestOf,
        onFinding(finding) {
          findings.push(finding);
          live.clear();
          if (options.json !== true)
            line(
              `${style(STYLES[finding.severity], finding.severity.padEnd(7))}  ${printable(finding.key)}: ${printable(finding.message)}`,
            );
        },
        onProgress: (at) => {
          if (options.json !== true) live.set(`${count(at.files, "file")}, ${bytes(at.bytes)}: ${printable(at.key)}`);
        },
      });
      live.clear();
      if (options.json === true) printJson({ ...verified, findings });
      else
        line(
          `${config.name}: ${count(verified.files, "file")}, ${bytes(verified.bytes)}, ${count(verified.entries, "entry", "entries")} of the log: ${verified.damaged === 0 ? style("green", "all whole") : style("red", `${verified.damaged} damaged`)}`,
        );
      if (verified.damaged === 0) return;
      const names = [...new Set(findings.filter(({ severity }) => severity === "damage").map(({ key }) => key))];
      const more = names.length > 10 ? `, and ${names.length - 10} more` : "";
      throw new AccreteError(
        "NOT_VERIFIED",
        `${count(names.length, "file")} of ${config.name}: ${names.slice(0, 10).join(", ")}${more}`,
      );
    });
}

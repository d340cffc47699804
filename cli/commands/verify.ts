import { Command } from "commander";
import { repair, type Repaired } from "../../ledger/repair.ts";
import type { Finding } from "../../ledger/verify-context.ts";
import { verify, type Verified } from "../../ledger/verify.ts";
import { AccreteError } from "../../protocol/errors.ts";
import type { Store } from "../../protocol/ports.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelineOf } from "../compose.ts";
import { digestThroughFile } from "../digest-of-object.ts";
import type { GlobalOptions, Pipeline } from "../pipeline.ts";
import { bytes, count } from "../print.ts";
import { line, LiveLine, printJson, style, type Style } from "../terminal.ts";

const STYLES: Readonly<Record<Finding["severity"], Style>> = { damage: "red", warning: "yellow", info: "dim" };

const DID: Readonly<Record<Repaired["did"], Style>> = {
  mended: "green",
  rebuilt: "green",
  aside: "yellow",
  left: "red",
};

/** Each pass mends or leaves all that the one before has found. */
const REPAIR_PASSES_MAX = 5;

export function verifyCommand(): Command {
  return new Command("verify")
    .summary("check every digest and link of what is stored, and mend what can be mended")
    .description(
      "Checks each stored file by its digest and each link from the first entry to the head, and names what is damaged or missing. Without --repair it changes nothing. It may run beside `accrete up`. Exit code 1 if something is damaged.\n\n--repair mends what the rest of the state proves: a flipped bit in any file of up to 32 KiB, live.json, consumed/, quarantine/, a round's entry of the log, the bundled model. The damaged bytes are kept under damaged/ in the state folder or bucket. On AWS it takes the stack's repair role (its output RepairRoleArn), which the operator's policy allows.",
    )
    .option("--repair", "mend what can be mended, and say of the rest what to do")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete verify\n  $ accrete verify --repair\n  $ accrete verify --json | jq .damaged",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { repair?: boolean }>();
      const pipeline = await openPipelineOf(options);
      const quiet = options.json === true;
      const repaired: Repaired[] = [];
      const mending = options.repair === true ? await pipeline.openRepair() : undefined;
      let { verified, findings } = await check(pipeline, quiet);
      // what is mended may name more: a manifest the files of its checkpoint
      for (let passes = 0; mending !== undefined && verified.damaged > 0 && passes < REPAIR_PASSES_MAX; passes++) {
        const left = new Set(repaired.flatMap(({ did, key }) => (did === "left" ? [key] : [])));
        const keys = damagedKeys(findings).filter((key) => !left.has(key));
        if (keys.length === 0) break;
        repaired.push(...(await mend(pipeline, mending, keys, quiet)));
        ({ verified, findings } = await check(pipeline, true));
      }
      if (quiet) printJson({ ...verified, findings, ...(options.repair === true ? { repaired } : {}) });
      else line(summary(pipeline, verified));
      if (verified.damaged > 0) throw notVerified(pipeline, findings, repaired);
    });
}

async function check({ store }: Pipeline, quiet: boolean): Promise<{ verified: Verified; findings: Finding[] }> {
  const findings: Finding[] = [];
  const live = new LiveLine();
  await using digests = await digestThroughFile(store);
  const verified = await verify(store, {
    digestOf: digests.digestOf,
    onFinding(finding) {
      findings.push(finding);
      live.clear();
      if (!quiet)
        line(
          `${style(STYLES[finding.severity], finding.severity.padEnd(7))}  ${printable(finding.key)}: ${printable(finding.message)}`,
        );
    },
    onProgress: (at) => {
      if (!quiet) live.set(`${count(at.files, "file")}, ${bytes(at.bytes)}: ${printable(at.key)}`);
    },
  });
  live.clear();
  return { verified, findings };
}

async function mend(pipeline: Pipeline, store: Store, keys: readonly string[], quiet: boolean): Promise<Repaired[]> {
  const { config } = pipeline;
  const code = await pipeline.bundleToday();
  const repaired = await repair({ store, config, code }, keys);
  for (const { key, did, message } of quiet ? [] : repaired)
    line(`${style(DID[did], did.padEnd(7))}  ${printable(key)}: ${printable(message)}`);
  return repaired;
}

function damagedKeys(findings: readonly Finding[]): string[] {
  return [...new Set(findings.filter(({ severity }) => severity === "damage").map(({ key }) => key))];
}

function summary({ config }: Pipeline, verified: Verified): string {
  const state = verified.damaged === 0 ? style("green", "all whole") : style("red", `${verified.damaged} damaged`);
  return `${config.name}: ${count(verified.files, "file")}, ${bytes(verified.bytes)}, ${count(verified.entries, "entry", "entries")} of the log: ${state}`;
}

function notVerified({ config }: Pipeline, findings: readonly Finding[], repaired: readonly Repaired[]): AccreteError {
  const names = damagedKeys(findings);
  const more = names.length > 10 ? `, and ${names.length - 10} more` : "";
  const [one] = repaired.filter(({ did }) => did === "left");
  const what = one === undefined ? "" : `. Of ${one.key}: ${one.message}`;
  return new AccreteError(
    "NOT_VERIFIED",
    `${count(names.length, "file")} of ${config.name}: ${names.slice(0, 10).join(", ")}${more}${what}`,
  );
}

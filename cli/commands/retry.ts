import type { Command } from "commander";
import { readStatus } from "../../ledger/status.ts";
import type { Version } from "../../ledger/why.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { openPipelineOf } from "../compose.ts";
import { findObjects, OBJECT_HELP } from "../objects.ts";
import type { Pipeline } from "../pipeline.ts";
import { line, printJson } from "../terminal.ts";
import { changeCommand, changeHistory, openOperatorOf, toTrainAgain, type ChangeOptions } from "./change.ts";
import { stepText } from "./status.ts";
import { plainWhereText } from "./why.ts";

export function retryCommand(): Command {
  return changeCommand("retry")
    .summary("one attempt more for a blocked round; or a second chance for objects")
    .description(
      "Without an object: makes one attempt more for a round that is blocked, once what blocked it is mended. It trains the same plan: same items, same code and config, from the newest checkpoint that the attempts before have saved.\n\nWith objects: trains those again that were rejected, taken out or left by a rollback, in a new round. It shows what it will do, and asks.",
    )
    .argument("[object...]", OBJECT_HELP)
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete status                    says what blocks the round, and where the log is\n  $ accrete retry\n  $ accrete retry digits/day-4.csv    it could not be read then, and can now",
    )
    .action(async (names: string[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      const pipeline = await openPipelineOf(options);
      await (names.length === 0 ? retryRound(pipeline, options) : retryObjects(pipeline, options, names));
    });
}

async function retryRound(pipeline: Pipeline, options: ChangeOptions): Promise<void> {
  const { config, words } = pipeline;
  const { next, seq } = await readStatus(pipeline);
  if (next.is === "paused")
    throw new AccreteError("NOTHING_TO_RETRY", `${config.name} is paused, not blocked: ${next.reason}. ${next.advice}`);
  if (next.is !== "blocked") throw new AccreteError("NOTHING_TO_RETRY", `${config.name} is not blocked`);
  // another attempt is of no use where there is a result already
  if (next.attempt === 0)
    throw new AccreteError("NOTHING_TO_RETRY", `round ${next.round} has a result: ${next.reason}. ${next.advice}`);
  const operator = await openOperatorOf(pipeline, options);
  const stopped = await operator.tick({ kind: "retry", seq, round: next.round, attempt: next.attempt });
  const after = await readStatus(pipeline);
  // no attempt was made
  const isSame = after.next.is === "blocked" && after.next.round === next.round && after.next.attempt === next.attempt;
  if (isSame) process.exitCode = 1;
  if (options.json === true) return printJson(after);
  if (isSame) return line(`${config.name}: ${stopped === undefined ? NOT_SEEN : printable(stopped)}`);
  line(`${config.name}: round ${next.round}: ${stepText(after.next, after, words)}`);
  line(words.runsOn);
}

/** An attempt that the ledger has not made within a minute: it has another tick to make, or no money is left. */
const NOT_SEEN = "the ledger was asked, and no attempt is seen yet: `accrete status` says what comes next";

async function retryObjects(pipeline: Pipeline, options: ChangeOptions, names: readonly string[]): Promise<void> {
  const objects = await findObjects(pipeline, names);
  // the open round would end for nothing
  const underWay = objects.filter(({ versions }) => isUnderWay(wanted(versions)));
  const others = objects.filter((object) => !underWay.includes(object));
  const already = underWay.map(
    ({ name, versions }) => `${printable(name)} is under way: ${plainWhereText(wanted(versions).now, pipeline.words)}`,
  );
  if (others.length === 0) throw new AccreteError("NOTHING_TO_RETRY", already.join("; "));
  const wish = { to: "head", replay: false, without: [], with: [] } as const;
  const { items, notes } = await toTrainAgain(pipeline, others, wish);
  await changeHistory(pipeline, options, {
    wish: { ...wish, with: items },
    typed: `retry ${names.join(" ")}`,
    notes: [...already, ...notes],
  });
}

/** The version that is present now, else the newest. */
function wanted(versions: readonly Version[]): Version {
  return versions.find(({ present }) => present) ?? versions.at(-1)!;
}

function isUnderWay({ now }: Version): boolean {
  return now.is === "to-redo" || now.is === "being-learned";
}

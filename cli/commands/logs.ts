import { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { inspectAttempts } from "../../ledger/inspect.ts";
import { AccreteError } from "../../protocol/errors.ts";
import type { Job } from "../../protocol/ports.ts";
import { printable } from "../../protocol/printable.ts";
import { isAlive } from "../../protocol/round.ts";
import { openPipelineOf } from "../compose.ts";
import { countOption } from "../options.ts";
import type { GlobalOptions, JobLog, Pipeline } from "../pipeline.ts";
import { jsonText, line, printJson } from "../terminal.ts";

interface LogsOptions extends GlobalOptions {
  readonly attempt?: number;
  readonly follow?: boolean;
}

export function logsCommand(): Command {
  return new Command("logs")
    .summary("what the job of a round has said")
    .description(
      "Prints the log of a round's newest attempt: on this machine the job's file, with --stack its stream in CloudWatch. A job that is not known any more has none: this machine keeps the newest ones, AWS Batch all of the last week.",
    )
    .argument("<round>", "its number", countOption)
    .option("--attempt <n>", "of this attempt, not the newest", countOption)
    .option("--follow", "go on until the job ends")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete logs 3\n  $ accrete logs 3 --attempt 1\n  $ accrete logs 4 --follow\n  $ accrete logs 4 --follow --stack accrete-prod-digits",
    )
    .action(async (round: number, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LogsOptions>();
      const pipeline = await openPipelineOf(options);
      const { attempt, job } = await jobOf(pipeline, round, options.attempt);
      const log = await logOf(pipeline, job, options.follow === true);
      const lines: string[] = [];
      const ended = options.follow === true ? async () => !(await isRunning(pipeline, job.id)) : undefined;
      if (log !== undefined)
        for await (const text of log.lines(ended)) {
          if (options.json !== true) line(printable(text));
          else if (options.follow === true) line(jsonText(text, 0));
          else lines.push(text);
        }
      if (options.json === true && options.follow !== true)
        return printJson({ round, attempt, job: job.id, state: job.state, lines });
      if (log === undefined) line(`attempt ${attempt} waits for a machine: it has said nothing yet`);
    });
}

/** @throws {AccreteError} NOT_FOUND */
async function jobOf(
  pipeline: Pipeline,
  round: number,
  asked: number | undefined,
): Promise<{ attempt: number; job: Job }> {
  const { attempts } = await inspectAttempts(pipeline, round);
  const found = asked === undefined ? attempts.at(-1) : attempts.find(({ attempt }) => attempt === asked);
  if (found === undefined) {
    const which =
      attempts.length === 0 ? "no attempt" : `attempts ${attempts.map(({ attempt }) => attempt).join(", ")}`;
    throw new AccreteError("NOT_FOUND", `round ${round} has ${which}`);
  }
  const { attempt, job } = found;
  if (job === undefined)
    throw new AccreteError(
      "NOT_FOUND",
      `the job of attempt ${attempt} of round ${round} is not known, or not any more`,
    );
  return { attempt, job };
}

const LOOK_MS = 2_000;

/** A job that waits for a machine has none yet. */
async function logOf(pipeline: Pipeline, job: Job, follow: boolean): Promise<JobLog | undefined> {
  for (let now: Job | undefined = job; ; now = (await pipeline.jobs.describe([job.id]))[0]) {
    const log = now === undefined ? undefined : pipeline.logOf(now);
    if (log !== undefined || !follow || now === undefined || !isAlive(now)) return log;
    await sleep(LOOK_MS);
  }
}

async function isRunning({ jobs }: Pipeline, id: string): Promise<boolean> {
  return (await jobs.describe([id])).some(isAlive);
}

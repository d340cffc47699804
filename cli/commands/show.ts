import { Command } from "commander";
import { readRound, type RoundReport } from "../../ledger/round-report.ts";
import { dollarsOf, runMs } from "../../protocol/budget.ts";
import { itemId } from "../../protocol/digest.ts";
import { endText } from "../../protocol/job-end.ts";
import { printable } from "../../protocol/printable.ts";
import { isAlive } from "../../protocol/round.ts";
import { withoutRun } from "../../protocol/run-metrics.ts";
import type { Metrics } from "../../protocol/types.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { countOption } from "../options.ts";
import { bytes, cost, count, dateTime, duration, item, metric, speed, table, withoutKey } from "../print.ts";
import { line, printJson, style } from "../terminal.ts";

const ITEMS_SHOWN = 20;
/** The newest: of a round of many epochs there are as many. */
const CHECKPOINTS_SHOWN = 5;

export function showCommand(): Command {
  return new Command("show")
    .summary("all of one round: plan, items, attempts, checkpoints, metrics")
    .description(
      "Shows a round: what it was to do, its attempts with the paths of their logs, its checkpoints, its metrics beside those of the live checkpoint, what the gate has decided, and what was rejected and why.",
    )
    .argument("<round>", "its number", countOption)
    .option("--all", `all items and rejected ones, not just the first ${ITEMS_SHOWN}, and all checkpoints`)
    .addHelpText("after", "\nExamples:\n  $ accrete show 3\n  $ accrete show 3 --json | jq .result.metrics")
    .action(async (round: number, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { all?: boolean }>();
      const pipeline = await openPipelineOf(options);
      const report = await readRound(pipeline, round);
      const pricePerHour = pipeline.config.budget?.pricePerHour;
      if (options.json === true) printJson({ ...report, ...timeOf(report, pricePerHour) });
      else for (const part of parts(report, pricePerHour, options.all === true ? Infinity : ITEMS_SHOWN)) line(part);
    });
}

/** How long its jobs ran: by its entry, else by the jobs that are known. @returns dollars null: no price is known */
function timeOf(report: RoundReport, pricePerHour: number | undefined): { jobMs: number; dollars: number | null } {
  const jobs = report.attempts.flatMap(({ job }) => job ?? []);
  const jobMs = report.entry?.jobMs ?? runMs(jobs, Date.now());
  return { jobMs, dollars: pricePerHour === undefined ? null : dollarsOf(jobMs, { pricePerHour }) };
}

function* parts(report: RoundReport, pricePerHour: number | undefined, limit: number): Generator<string> {
  const { plan, round, state, entry } = report;
  const ended =
    entry === null
      ? state === "closed"
        ? "closed by a rollback, without a commit"
        : "open"
      : `committed as entry ${entry.seq}, ${dateTime(entry.at)}`;
  yield `${style("bold", `round ${round}`)}  ${ended}`;
  const parent =
    plan.parent === null
      ? plan.start === null
        ? "nothing trained"
        : `the weights of trainer.start (sha256 ${plan.start.slice(0, 12)})`
      : `round ${plan.parent.round} (epoch ${plan.parent.epoch}, step ${plan.parent.step})`;
  yield `  ${plan.kind}: ${count(plan.epochsToAdd, "epoch")} from ${parent}, seed ${plan.seed}, code ${plan.code.slice(0, 12)}`;
  yield* items(report, limit);
  yield* attempts(report);
  yield* time(report, pricePerHour);
  yield* checkpoints(report, limit === Infinity ? limit : CHECKPOINTS_SHOWN);
  yield* outcome(report, limit);
}

function* items({ plan }: RoundReport, limit: number): Generator<string> {
  yield `\n${style("bold", "items")}  ${count(plan.items.length, "item")}, ${bytes(plan.items.reduce((sum, { size }) => sum + size, 0))}`;
  for (const one of plan.items.slice(0, limit)) yield `  ${item(one)}  ${style("dim", itemId(one))}`;
  if (plan.items.length > limit) yield `  ... and ${count(plan.items.length - limit, "more", "more")}: --all`;
}

function* attempts(report: RoundReport): Generator<string> {
  if (report.attempts.length === 0) return;
  yield `\n${style("bold", "attempts")}`;
  for (const { attempt, intentMs, job, record, failure } of report.attempts) {
    const state =
      job === undefined
        ? record === undefined
          ? "no job is recorded"
          : `job ${record.jobId} is not known any more`
        : isAlive(job)
          ? job.state
          : // the failure record below says it in full
            `${job.state}: ${(endText(job) ?? "").split(failure === undefined ? "\n" : `: ${failure.code}: `)[0]}`;
    yield `  ${attempt}  ${dateTime(intentMs)}  ${printable(state)}`;
    if (failure !== undefined)
      yield `     ${style("red", printable(`${failure.code}: ${failure.message}`))}${failure.items.length === 0 ? "" : `: ${printable(failure.items.join(", "))}`}`;
    if (job?.log !== undefined) yield `     log ${printable(job.log)}`;
  }
}

function* time(report: RoundReport, pricePerHour: number | undefined): Generator<string> {
  const { jobMs } = timeOf(report, pricePerHour);
  if (jobMs === 0) return;
  yield `\n${style("bold", "time")}  ${cost(jobMs, pricePerHour)} of jobs`;
  if (report.result !== null) for (const text of runTexts(report.result.metrics)) yield `  ${text}`;
}

const PARTS = ["stage", "read", "train", "save", "evaluate"] as const;

/** What the run that made the result took. */
function* runTexts(metrics: Metrics): Generator<string> {
  const parts = PARTS.flatMap((part) => {
    const seconds = metrics[`run.seconds.${part}`];
    return seconds === undefined ? [] : [`${part} ${duration(seconds * 1_000)}`];
  });
  if (parts.length > 0) yield parts.join(", ");
  const steps = [50, 90, 99].flatMap((of) => metrics[`run.stepMs.p${of}`] ?? []);
  if (steps.length === 3)
    yield `${[speed(metrics), `a step ${steps.map((ms) => metric(ms)).join(" / ")} ms (median / p90 / p99)`].filter((text) => text !== undefined).join(", ")}`;
  const memory = [
    ["peak memory", metrics["run.peakBytes"]],
    ["GPU memory", metrics["run.gpuBytes"]],
  ] as const;
  const known = memory.flatMap(([name, size]) => (size === undefined ? [] : [`${name} ${bytes(size)}`]));
  if (known.length > 0) yield known.join(", ");
}

function* checkpoints({ checkpoints: folders }: RoundReport, limit: number): Generator<string> {
  if (folders.length === 0) return;
  yield `\n${style("bold", "checkpoints")}`;
  const shown = folders.slice(-limit);
  if (shown.length < folders.length) yield `  ${count(folders.length - shown.length, "older one")}: --all`;
  for (const folder of shown) {
    const size = folder.files.reduce((sum, file) => sum + file.size, 0);
    yield `  ${folder.prefix}  ${count(folder.files.length, "file")}, ${bytes(size)}${folder.whole ? "" : ", unfinished"}`;
  }
}

function* outcome({ result, entry }: RoundReport, limit: number): Generator<string> {
  if (result === null) return;
  const { metrics, liveMetrics, rejected } = result;
  yield `\n${style("bold", "metrics")}  ${count(result.epochsAdded, "epoch")}, ${count(result.stepsAdded, "step")} added`;
  const rows = Object.keys(withoutRun(metrics))
    .sort()
    .map((name) => [
      `  ${name}`,
      metric(metrics[name]!),
      ...(liveMetrics === null ? [] : [liveMetrics[name] === undefined ? "" : metric(liveMetrics[name])]),
    ]);
  if (rows.length > 0) yield table(rows, ["  ", "this", ...(liveMetrics === null ? [] : ["live before"])]);
  if (entry !== null) {
    const { gate } = entry;
    const decided = gate.passed
      ? gate.goesLive
        ? "passed: goes live"
        : "passed: live stays"
      : style("yellow", "refused");
    yield `\n${style("bold", "gate")}  ${decided} (${gate.because})${gate.reasons.length === 0 ? "" : `: ${printable(gate.reasons.join("; "))}`}`;
  }
  if (rejected.length === 0) return;
  yield `\n${style("bold", "rejected")}  ${count(rejected.length, "item")}`;
  for (const one of rejected.slice(0, limit))
    yield `  ${item(one.item)}  ${one.code}: ${printable(withoutKey(one.message, one.item.key))}`;
  if (rejected.length > limit) yield `  ... and ${count(rejected.length - limit, "more", "more")}: --all`;
}

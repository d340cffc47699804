import { Command } from "commander";
import type { NextStep, OpenRound } from "../../ledger/open-round.ts";
import { readStatus, type Status, type Waiting } from "../../ledger/status.ts";
import { budgetText, dollarsOf, runMs } from "../../protocol/budget.ts";
import { printable } from "../../protocol/printable.ts";
import { isAlive } from "../../protocol/round.ts";
import type { PipelineConfig } from "../../protocol/config.ts";
import type { LogEntry } from "../../protocol/types.ts";
import { nextScheduledMs, openPipelineOf, openPipelinesOf } from "../compose.ts";
import type { DeadLetters, GlobalOptions, Pipeline } from "../pipeline.ts";
import { ago, bytes, checkpoint, count, dateTime, dollars, duration, MAIN_METRICS, metrics, table } from "../print.ts";
import { isTerminal, jsonText, line, printJson, style } from "../terminal.ts";
import type { Words } from "../words.ts";

export function statusCommand(): Command {
  return new Command("status")
    .summary("what the pipeline has learned, what waits, what comes next")
    .description(
      "Says which checkpoint the pipeline is at and which one is live, what data waits and for what, how the open round is doing, and what to type if something is blocked.",
    )
    .option("--follow", "go on and say it again when it changes")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete status\n  $ accrete status --follow\n  $ accrete status --json | jq .round",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { follow?: boolean }>();
      const all = options.pipeline === undefined && options.json !== true && options.follow !== true;
      const pipelines = all ? await openPipelinesOf(options) : [await openPipelineOf(options)];
      if (options.follow === true) return follow(pipelines[0]!, options.json === true);
      for (const [i, pipeline] of pipelines.entries()) {
        const status = await readShown(pipeline);
        const notices = await pipeline.undelivered();
        const letters = await pipeline.deadLetters();
        const deadLetters = letters === undefined ? {} : { deadLetters: letters.count };
        if (options.json === true) printJson({ ...status, notices, ...deadLetters });
        else {
          line(`${i > 0 ? "\n" : ""}${statusText(status, pipeline.words)}`);
          for (const one of notices) line(`  ${undeliveredText(one)}`);
          if (letters !== undefined && letters.count > 0) line(`  ${deadLettersText(letters)}`);
        }
      }
    });
}

/** With what only the config and the clock say. */
interface Shown extends Status {
  readonly schedule: { readonly retrain: Retrain; readonly nextMs: number } | null;
  /** what the running job has said last: epoch, step, loss */
  readonly progress: string | null;
  /** what the open round has taken so far; dollars: null where no price is known */
  readonly soFar: { readonly jobMs: number; readonly dollars: number | null } | null;
}
type Retrain = NonNullable<PipelineConfig["schedule"]>["retrain"];

async function readShown(pipeline: Pipeline): Promise<Shown> {
  const { config } = pipeline;
  const status = await readStatus(pipeline);
  const nextMs = nextScheduledMs(config, status.nowMs);
  const schedule = nextMs === undefined ? null : { retrain: config.schedule!.retrain, nextMs };
  const log = status.next.is === "training" ? pipeline.logOf(status.next.job) : undefined;
  const said = await log?.last();
  return {
    ...status,
    schedule,
    progress: said?.replace(/^round \d+:? +/, "") ?? null,
    soFar: soFar(status, config.budget?.pricePerHour),
  };
}

function soFar({ open, nowMs }: Status, pricePerHour: number | undefined): Shown["soFar"] {
  const jobs = open?.attempts.flatMap(({ job }) => job ?? []) ?? [];
  if (jobs.length === 0) return null;
  const jobMs = runMs(jobs, nowMs);
  return { jobMs, dollars: pricePerHour === undefined ? null : dollarsOf(jobMs, { pricePerHour }) };
}

/** On a terminal in place, elsewhere a line for each change, until it is interrupted. */
async function follow(pipeline: Pipeline, json: boolean): Promise<never> {
  const { words } = pipeline;
  let shown = "";
  let said = "";
  for (;;) {
    const status = await readShown(pipeline);
    const text = json ? jsonText(status, 0) : isTerminal() ? statusText(status, words) : oneLine(status, words);
    // times go on by themselves: only what else has changed is news to a log
    const news = json || !isTerminal() ? withoutTimes(status) : text;
    // what has changed may not be in the line, such as a checkpoint that was saved
    if (news !== shown && (text !== said || isTerminal())) {
      if (isTerminal() && !json) process.stdout.write("\u001b[2J\u001b[H");
      line(text);
      said = text;
      shown = news;
    }
    await new Promise((resolve) => setTimeout(resolve, words.followMs));
  }
}

function withoutTimes(status: Status): string {
  return JSON.stringify(status, (name, value: unknown) =>
    ["nowMs", "untilMs", "nextMs", "progress", "soFar"].includes(name) ? undefined : value,
  );
}

export function oneLine(status: Status & Partial<Pick<Shown, "progress">>, words: Words): string {
  const waits = status.waiting === null ? "" : `; ${count(status.waiting.items, "item")} waiting`;
  return `${status.pipeline}: ${checkpoint(status.checkpoint)}${waits}; ${stepText(status.next, status, words)}${status.progress == null ? "" : `: ${printable(status.progress)}`}`;
}

/** What the newest entry did to the model, before how long ago that was. */
const SINCE: Readonly<Record<Exclude<LogEntry["kind"], "promote">, string>> = { round: "", rollback: "rolled back " };

export function statusText(status: Shown, words: Words): string {
  const { nowMs, entry } = status;
  const measured = metrics(status.metrics, MAIN_METRICS);
  const rows: [string, string][] = [
    [
      "model",
      `${checkpoint(status.checkpoint)}${measured === "" ? "" : `: ${measured}`}${entry === null || entry.kind === "promote" ? "" : `, ${SINCE[entry.kind]}${ago(status.entryMs, nowMs)}`}`,
    ],
    ["live", liveText(status)],
  ];
  if (status.waiting !== null) rows.push(["waits", waitingText(status.waiting, nowMs)]);
  if (status.redoItems > 0) rows.push(["to redo", `${count(status.redoItems, "item")} of a rollback`]);
  if (status.open !== null) rows.push(...openRows(status.open, nowMs));
  if (status.progress !== null) rows.push(["", printable(status.progress)]);
  if (status.soFar?.dollars != null)
    rows.push(["", `${duration(status.soFar.jobMs)} of jobs so far, ${dollars(status.soFar.dollars)}`]);
  if (status.rejected > 0)
    rows.push([
      "rejected",
      `${count(status.rejected, "item")} in all: \`accrete log\` has their rounds, \`accrete show ROUND\` names them`,
    ]);
  rows.push(["next", stepText(status.next, status, words)]);
  if (status.spent !== null)
    rows.push(["spent", `$${status.spent.day.toFixed(2)} today, $${status.spent.month.toFixed(2)} this month (UTC)`]);
  if (status.schedule !== null) rows.push(["retrains", retrainsText(status, status.schedule, words)]);
  if ("advice" in status.next) rows.push(["", `what to do: ${printable(status.next.advice)}`]);
  return words.typed(
    `${style("bold", status.pipeline)}\n${table(rows.map(([name, text]) => [`  ${style("dim", name)}`, text]))}`,
  );
}

type Undelivered = Awaited<ReturnType<Pipeline["undelivered"]>>[number];

function undeliveredText({ channel, waiting, givenUp, error }: Undelivered): string {
  const what = [
    waiting === 0 ? "" : `${count(waiting, "notice waits", "notices wait")} for the ${channel}`,
    givenUp === 0 ? "" : `${count(givenUp, "notice", "notices")} did not reach the ${channel} and will not`,
  ];
  const why = error === undefined ? "`accrete up` sends them" : printable(error);
  return style(
    "yellow",
    `${what.filter((text) => text !== "").join("; ")}: ${why}; \`accrete doctor --notify\` tries it`,
  );
}

function deadLettersText({ count: letters, alarm }: DeadLetters): string {
  return style(
    "yellow",
    `${count(letters, "message")} could not be handled: dead letters, of which the alarm ${printable(alarm)} tells; what to do: docs/operations.md#dead-letters`,
  );
}

const RETRAINS: Readonly<Record<Retrain, string>> = {
  pending: "what waits",
  rehearse: "what waits, or else its memory,",
  full: "all anew",
};

/** all anew at 2026-08-01 03:00:00 (in 3 h) */
export function scheduleText({ retrain, nextMs }: NonNullable<Shown["schedule"]>, nowMs: number): string {
  return `${RETRAINS[retrain]} at ${dateTime(nextMs)} (in ${duration(nextMs - nowMs)})`;
}

function retrainsText({ full, nowMs }: Shown, schedule: NonNullable<Shown["schedule"]>, { needsLoop }: Words): string {
  const when = scheduleText(schedule, nowMs);
  if (full === null) return `${when}${needsLoop}`;
  if (full.items === 0) return `${when}, if anything is trained by then${needsLoop}`;
  if (full.fits) return `${when}: ${count(full.items, "item")}${needsLoop}`;
  return style("red", `not: ${count(full.items, "item")} don't fit one round, so full retraining is left out`);
}

function liveText({ live, checkpoint: head, entry, entryMs, nowMs }: Status): string {
  if (entry?.kind === "promote")
    return `${live === null ? "nothing" : checkpoint(live)}, promoted ${ago(entryMs, nowMs)}`;
  if (live === null) return "nothing yet";
  if (live.manifest === head?.manifest) return "the same";
  const refused =
    entry?.kind === "round" && !entry.gate.passed
      ? `; round ${entry.round} did not pass the gate: ${printable(entry.gate.reasons.join("; "))}`
      : "";
  return `${checkpoint(live)}${refused}`;
}

function waitingText(waiting: Waiting, nowMs: number): string {
  const damaged =
    waiting.damaged.length === 0
      ? ""
      : `; ${count(waiting.damaged.length, "segment is", "segments are")} damaged: see \`accrete verify\``;
  return `${count(waiting.items, "item")} (${bytes(waiting.bytes)}) in ${count(waiting.segments, "segment")}${waiting.more ? " and more" : ""}, since ${duration(nowMs - waiting.sinceMs)}${damaged}`;
}

function openRows(open: OpenRound, nowMs: number): [string, string][] {
  const kind = { extend: "", redo: ", again after a rollback", rehearse: ", memory only" }[open.kind];
  const from = open.parentRound === 0 ? "from nothing" : `from round ${open.parentRound}`;
  const rows: [string, string][] = [
    [
      `round ${open.round}`,
      `${count(open.items, "item")} (${bytes(open.bytes)}), ${count(open.epochs, "epoch")} ${from}${kind}`,
    ],
  ];
  for (const { attempt, job, jobId, sinceMs } of open.attempts) {
    const state =
      job === undefined
        ? jobId === undefined
          ? "not recorded"
          : "not known any more"
        : isAlive(job)
          ? `${job.state} for ${duration(nowMs - (job.startedMs ?? job.createdMs))}`
          : job.state === "succeeded"
            ? job.state
            : printable(job.reason ?? job.state);
    rows.push([
      "",
      `attempt ${attempt}, ${ago(sinceMs, nowMs)}: ${state}${job?.log === undefined ? "" : `, log ${printable(job.log)}`}`,
    ]);
  }
  return rows;
}

const DUE: Readonly<Record<Extract<NextStep, { is: "due" }>["to"], string>> = {
  finish: "the newest entry is followed up",
  commit: "the result is committed",
  submit: "an attempt is started",
  plan: "what waits becomes a round",
  redo: "what a rollback left becomes a round",
  tidy: "segments whose items are consumed are deleted",
  "take-back": "the round that the gate refused is rolled back",
};

export function stepText(next: NextStep, { nowMs }: Pick<Status, "nowMs">, words: Words): string {
  switch (next.is) {
    case "idle":
      return words.idle;
    case "waiting":
      if (next.for === "minimum")
        return `waits until ${count(next.minItems, "item")} are there; \`accrete train\` starts now`;
      if (next.for === "budget")
        return `${budgetText(next)}: goes on in ${duration(next.untilMs - nowMs)}, or raise budget in accrete.config.ts and ${words.reload}`;
      return `starts in ${duration(next.untilMs - nowMs)}${next.for === "min-interval" ? " (minInterval)" : " if nothing else comes"}${words.needsLoop}`;
    case "training":
      return `attempt ${next.attempt} is ${next.job.state === "running" ? "training" : "waiting for a machine"}`;
    case "looking":
      return `whether its job runs is known in ${duration(next.untilMs - nowMs)}`;
    case "due":
      return `${DUE[next.to]}${words.needsLoop}`;
    case "blocked":
    case "paused":
      return style("red", `${next.is}: ${printable(next.code)}: ${printable(next.reason)}`);
  }
}

import { Command } from "commander";
import type { SkipReason } from "../../adapters/directory-walk.ts";
import type { DirectoryWatcher } from "../../adapters/directory-watcher.ts";
import type { Job } from "../../protocol/ports.ts";
import { printable } from "../../protocol/printable.ts";
import { isAlive } from "../../protocol/round.ts";
import { nextScheduledMs, refuseStack } from "../compose.ts";
import {
  choosePipeline,
  openPipeline,
  openWorkspace,
  type LocalPipeline,
  type Workspace,
  watchData,
} from "../compose-local.ts";
import { Obstructed } from "../failure.ts";
import { startLoop, type Done, type Loop } from "../loop.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { count, duration } from "../print.ts";
import { Progress } from "../progress.ts";
import { line, style } from "../terminal.ts";
import { ON_THIS_MACHINE } from "../words.ts";
import { scheduleText, stepText } from "./status.ts";

export function upCommand(): Command {
  return new Command("up")
    .summary("run the loop here: what is dropped into the data folder is learned")
    .description(
      "Runs the loop on this machine until it is stopped. Files that are put into the data folder are learned once the quiet period of accrete.config.ts has passed. Ctrl-C asks a running training to save and waits for it; a second Ctrl-C leaves at once. Whatever ends it, nothing is lost: the next `up` goes on where this one was. Changes of accrete.config.ts and of the model count from the next start.",
    )
    .option("--once", "end as soon as nothing is left to do; exit code 1 if a round is blocked")
    .addHelpText("after", "\nExamples:\n  $ accrete up\n  $ accrete up --once\n  $ accrete up --pipeline digits")
    .action(async (_options: unknown, command: Command) =>
      up(command.optsWithGlobals<GlobalOptions & { once?: boolean }>()),
    );
}

const SKIPPED: Readonly<Record<SkipReason, string>> = {
  "name-not-utf8": "its name is not UTF-8; give it another one",
  "name-too-long": "its name is longer than 1,024 bytes with its folders; give it a shorter one",
  "symbolic-link": "a symbolic link that leads to no file of the data folder; put the file itself there",
  "not-readable": "this user may not read it; give it the right (chmod), then it is learned",
  "not-a-file": "it is a pipe, a socket or a device",
};

async function up(options: GlobalOptions & { once?: boolean }): Promise<void> {
  refuseStack(options, "up", "the stack runs by itself; `accrete status --follow` looks on");
  const skipped = new Set<string>();
  const workspace = await openWorkspace(options, {
    onSkipped(name, why) {
      if (skipped.size < 1_000 && !skipped.has(name))
        progress.say("", "warning", `${name} is passed over: ${SKIPPED[why]}`);
      skipped.add(name);
    },
  });
  const pipelines =
    options.pipeline === undefined
      ? workspace.config.pipelines.map((config) => openPipeline(workspace, config))
      : [choosePipeline(workspace, options.pipeline)];
  const progress = new Progress(pipelines.map(({ config }) => config.name));
  const once = options.once === true;
  sayStart(workspace, pipelines, once);

  const sayRequests = (): void => {
    for (const { config, requests } of pipelines) progress.say(config.name, "requests", requests());
  };
  const debug = process.env["ACCRETE_DEBUG"] !== undefined;
  if (debug) process.on("SIGUSR2", sayRequests);
  const signals = listenForSignals();
  const loops: Loop[] = [];
  let watcher: DirectoryWatcher | undefined;
  try {
    if (!once) {
      // before the loops' first sweep: what comes between is told by both
      const onError = (error: unknown): void => progress.error("", error);
      watcher = await watchData(workspace, {
        onSettled: (paths) => loops.forEach((loop) => loop.arrived(paths)),
        onError,
      });
    }
    for (const pipeline of pipelines) loops.push(await startLoop(pipeline, { progress, once }));
    const ended = once ? Promise.all(loops.map((loop) => loop.untilDone())) : new Promise<never>(() => undefined);
    const outcome = await Promise.race([ended, signals.first]);
    if (typeof outcome === "string") await saveAndLeave(loops, pipelines, { progress, signal: outcome, once });
    else sayDone(outcome);
  } finally {
    watcher?.close();
    await Promise.all(loops.map((loop) => loop.stop()));
    signals.close();
    if (debug) sayRequests();
  }
}

function sayStart(workspace: Workspace, pipelines: readonly LocalPipeline[], once: boolean): void {
  line(`data    ${printable(workspace.dataFolder)}`);
  line(`state   ${printable(workspace.stateFolder)}`);
  for (const { config } of pipelines) {
    const where = config.data.prefix === "" ? "all of the data" : `data under ${printable(config.data.prefix)}`;
    line(
      `${style("bold", config.name)}  learns ${where}, ${duration(config.trigger.quietPeriod)} after the last file has come`,
    );
    const nextMs = nextScheduledMs(config, Date.now());
    if (nextMs !== undefined && config.schedule !== null)
      line(
        `${" ".repeat(config.name.length)}  retrains ${scheduleText({ retrain: config.schedule.retrain, nextMs }, Date.now())}`,
      );
  }
  line(once ? "until nothing is left to do" : "Ctrl-C stops it: a running training saves first");
}

function sayDone(outcomes: readonly Done[]): void {
  for (const done of outcomes) {
    const { status } = done;
    if (done.is === "obstacle") continue;
    const { next } = status;
    if (next.is === "waiting" && next.for === "budget") {
      line(
        `${style("bold", status.pipeline)}  ends before round ${status.open?.round ?? 0} is trained: ${stepText(next, status, ON_THIS_MACHINE)}`,
      );
      continue;
    }
    const trained =
      status.checkpoint === null
        ? "nothing has been trained yet"
        : `the model is at round ${status.round}, epoch ${status.checkpoint.epoch}`;
    const waits =
      next.is === "waiting" && next.for === "minimum"
        ? `; ${count(status.waiting?.items ?? 0, "item")} of at least ${next.minItems} wait for more`
        : "";
    line(`${style("bold", status.pipeline)}  nothing is left to do: ${trained}${waits}`);
  }
  const obstacle = outcomes.find((done) => done.is === "obstacle");
  if (obstacle === undefined) return;
  const { status } = obstacle;
  throw new Obstructed(`${status.pipeline} is ${status.next.is}: ${obstacle.obstacle.reason}`, obstacle.obstacle);
}

async function saveAndLeave(
  loops: readonly Loop[],
  pipelines: readonly LocalPipeline[],
  how: { progress: Progress; signal: string; once: boolean },
): Promise<void> {
  const { progress, signal, once } = how;
  await Promise.all(
    loops.map(async (loop, i) => {
      const { config, jobs } = pipelines[i]!;
      const running = await loop.stop();
      for (const job of running) {
        progress.say(
          config.name,
          "stopping",
          `the training is asked to save and end; Ctrl-C again leaves at once, and it trains on by itself`,
        );
        await jobs.terminate(job.id, "accrete up was stopped");
      }
      await untilEnded(pipelines[i]!, running);
      if (running.length > 0) progress.say(config.name, "stopped", "the next `accrete up` goes on from there");
    }),
  );
  process.exitCode = once ? (signal === "SIGINT" ? 130 : 143) : 0;
}

async function untilEnded({ jobs }: LocalPipeline, running: readonly Job[]): Promise<void> {
  const ids = running.map(({ id }) => id);
  while (ids.length > 0 && (await jobs.describe(ids)).some(isAlive))
    await new Promise((resolve) => setTimeout(resolve, 100));
}

/** The first signal settles `first`; the second ends the process at once. */
function listenForSignals(): { first: Promise<"SIGINT" | "SIGTERM">; close(): void } {
  const { promise, resolve } = Promise.withResolvers<"SIGINT" | "SIGTERM">();
  let seen = 0;
  const on = (signal: "SIGINT" | "SIGTERM") => (): void => {
    if (seen++ > 0) process.exit(signal === "SIGINT" ? 130 : 143);
    resolve(signal);
  };
  const handlers = { SIGINT: on("SIGINT"), SIGTERM: on("SIGTERM") };
  process.on("SIGINT", handlers.SIGINT);
  process.on("SIGTERM", handlers.SIGTERM);
  return {
    first: promise,
    close() {
      process.off("SIGINT", handlers.SIGINT);
      process.off("SIGTERM", handlers.SIGTERM);
    },
  };
}

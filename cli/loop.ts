/**
 * The loop of one pipeline on this machine: news of files become arrivals, timers and the ends of jobs become ticks. It holds no state
 * of its own, so it may be killed at any moment, and any number may run on the same directory.
 */
import { openTimerTicks, type TimerTicks } from "../adapters/timer-ticks.ts";
import { pruneJobs, watchJobs } from "../adapters/process-jobs-watch.ts";
import { inspectAttempts } from "../ledger/inspect.ts";
import { intake } from "../ledger/intake.ts";
import { janitor } from "../ledger/janitor.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { listInbox, readHead } from "../ledger/read.ts";
import { readStatus, type Obstacle, type Status } from "../ledger/status.ts";
import { sweep } from "../ledger/sweep.ts";
import { tick } from "../ledger/tick.ts";
import type { Job, Tick } from "../protocol/ports.ts";
import { isAlive } from "../protocol/round.ts";
import type { Item } from "../protocol/types.ts";
import { openLedger, type Pipeline } from "./compose.ts";
import { followLog, type JobTail } from "./job-tail.ts";
import { count } from "./print.ts";
import type { Progress } from "./progress.ts";
import { isTerminal } from "./terminal.ts";

const SWEEP_MS = 15 * 60_000;
/** A tick without any news: the net under hints that were lost, and under another process that was killed. */
const NET_MS = 10_000;
const NET_ONCE_MS = 1_000;
/** Between two looks whether anything is left to do, for --once. */
const LOOK_MS = 200;
/** Ticks of --once that fail in a row until it gives up. */
const ERRORS_MAX = 3;

export interface Loop {
  /** These files have settled; paths relative to the data folder. */
  arrived(paths: readonly string[]): void;
  /** Settles when nothing is left to do, or an operator has to do something. */
  untilDone(): Promise<Done>;
  /** Starts nothing more. @returns the jobs that run */
  stop(): Promise<readonly Job[]>;
}

export type Done = { readonly is: "done"; readonly status: Status } | { readonly is: "obstacle"; readonly obstacle: Obstacle; readonly status: Status };

/**
 * Opens the loop and starts it.
 * @throws {AccreteError} MODEL_NOT_LOADABLE, or what the first look at the state throws
 */
export async function startLoop(pipeline: Pipeline, options: { progress: Progress; once: boolean }): Promise<Loop> {
  const { config, store, items, jobs } = pipeline;
  const { progress, once } = options;
  const { name } = config;
  const underWay = new Set<Promise<unknown>>();
  const timers: NodeJS.Timeout[] = [];
  let closed = false;
  let errorsInARow = 0;
  let lastError: unknown;
  let headSeq: number | undefined;
  let tail: { job: string; tail: JobTail } | undefined;

  const ticks: TimerTicks = openTimerTicks({ run: runTick, onError: failed });
  const ledger: Ledger = await openLedger(pipeline, { ticks, notify: progress.notify(store) });

  function failed(error: unknown): void {
    errorsInARow++;
    lastError = error;
    progress.error(name, error);
  }

  /** Work beside the ticks; stop() waits for it. */
  function start(work: () => Promise<unknown>): void {
    if (closed) return;
    const promise = work()
      .catch(failed)
      .finally(() => underWay.delete(promise));
    underWay.add(promise);
  }

  async function runTick(why: Tick): Promise<void> {
    await tick(ledger, why);
    if (errorsInARow > 0) progress.forget(name, "error", "");
    errorsInARow = 0;
    const { head } = await readHead(store);
    if (headSeq !== undefined && head.seq !== headSeq) start(tidy);
    headSeq = head.seq;
    await followJob(head.round + 1);
  }

  async function tidy(): Promise<void> {
    await janitor(store, { history: config.keep.history });
    await pruneJobs(pipeline.jobsFolder);
  }

  async function runningJobs(round: number): Promise<readonly Job[]> {
    const { attempts } = await inspectAttempts({ store, jobs, config }, round);
    return attempts.flatMap(({ job }) => (job !== undefined && isAlive(job) ? [job] : []));
  }

  /** Follows the log of the open round's job, also of one that another process has started. */
  async function followJob(round: number): Promise<void> {
    const job = (await runningJobs(round)).at(-1);
    if (tail !== undefined && tail.job !== job?.id) {
      await tail.tail.close();
      tail = undefined;
      progress.jobEnded();
    }
    if (job?.log === undefined || tail !== undefined) return;
    tail = { job: job.id, tail: followLog(job.log, { everyMs: isTerminal() ? 200 : 500, onLine: (text) => progress.job(name, round, text) }) };
  }

  async function takeIn(paths: readonly string[]): Promise<void> {
    const found = await Promise.all(paths.map(async (path) => ({ path, item: await items.itemAt(path) })));
    const unsettled = found.filter(({ item }) => item === "unsettled").map(({ path }) => path);
    if (unsettled.length > 0) setTimeout(() => start(() => takeIn(unsettled)), items.settleMs).unref();
    const arrivals = found.flatMap(({ item }): Item[] => (typeof item === "object" ? [item] : []));
    if (arrivals.length === 0) return;
    sayTakenIn((await intake(ledger, arrivals)).accepted);
  }

  async function sweepOnce(): Promise<number> {
    const { accepted } = await sweep(ledger, items);
    sayTakenIn(accepted);
    return accepted;
  }

  function sayTakenIn(accepted: number): void {
    if (accepted > 0) progress.say(name, "arrived", count(accepted, "item"));
  }

  const jobsWatch = await watchJobs({ folder: pipeline.jobsFolder, jobs, onEnded: () => void ticks.ask({ kind: "plain" }, 0), onError: failed });
  await sweepOnce();
  const startedMs = performance.now();
  const newest = await newestSegment();
  await ticks.ask(newest === undefined ? { kind: "plain" } : { kind: "segment", segment: newest }, 0);
  start(tidy);
  timers.push(setInterval(() => void ticks.ask({ kind: "plain" }, 0), once ? NET_ONCE_MS : NET_MS));
  if (!once) timers.push(setInterval(() => start(sweepOnce), SWEEP_MS));

  async function newestSegment(): Promise<string | undefined> {
    let newestKey: string | undefined;
    for (let after: string | undefined; ; ) {
      const page = await listInbox(store, after);
      newestKey = page.segments.toSorted((a, b) => a.modifiedMs - b.modifiedMs).at(-1)?.key ?? newestKey;
      if (!page.more || page.last === undefined) return newestKey;
      after = page.last;
    }
  }

  async function untilDone(): Promise<Done> {
    for (;;) {
      await ticks.whenIdle();
      if (closed) return new Promise<never>(() => undefined); // nobody waits for it any more
      if (errorsInARow >= ERRORS_MAX) throw lastError;
      const status = await readStatus({ store, jobs, config });
      const { next } = status;
      if (next.is === "blocked" || next.is === "paused") return { is: "obstacle", obstacle: next, status };
      if (next.is === "idle" || (next.is === "waiting" && next.for === "minimum")) {
        // a file that was dropped just before the start was not settled at the first sweep
        const settledInMs = startedMs + items.settleMs + 100 - performance.now();
        if (settledInMs > 0) await sleep(settledInMs);
        if ((await sweepOnce()) === 0) return { is: "done", status };
      } else if (next.is === "due") {
        await ticks.ask({ kind: "plain" }, 0);
      } else if (next.is === "waiting") {
        await ticks.ask({ kind: "plain" }, next.untilMs - status.nowMs + 10);
      }
      await sleep(LOOK_MS);
    }
  }

  async function stop(): Promise<readonly Job[]> {
    closed = true;
    for (const timer of timers) clearInterval(timer);
    jobsWatch.close();
    await ticks.close();
    await Promise.all(underWay);
    await tail?.tail.close();
    progress.jobEnded();
    return runningJobs((await readHead(store)).head.round + 1);
  }

  let stopped: Promise<readonly Job[]> | undefined;
  return { arrived: (paths) => start(() => takeIn(paths)), untilDone, stop: () => (stopped ??= stop()) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

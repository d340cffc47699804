/**
 * The loop of one pipeline on this machine: news of files become arrivals, timers and the ends of jobs become ticks. It holds no state
 * of its own, so it may be killed at any moment, and any number may run on the same directory.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { JobsWatch } from "../adapters/process-jobs-watch.ts";
import type { ScheduleTimer } from "../adapters/schedule-timer.ts";
import type { TimerTicks } from "../adapters/timer-ticks.ts";
import { inspectAttempts } from "../ledger/inspect.ts";
import { intake } from "../ledger/intake.ts";
import { janitor } from "../ledger/janitor.ts";
import { inParallel, type Ledger } from "../ledger/ledger.ts";
import { inboxPages, readHead } from "../ledger/read.ts";
import { scheduledUntil } from "../ledger/schedule.ts";
import type { Obstacle } from "../ledger/open-round.ts";
import { readStatus, type Status } from "../ledger/status.ts";
import { sweep } from "../ledger/sweep.ts";
import { tick } from "../ledger/tick.ts";
import type { Job, Store, Tick } from "../protocol/ports.ts";
import { isAlive } from "../protocol/round.ts";
import { openLedger, openSchedule, openTicks, tidyJobs, watchEnds, type LocalPipeline } from "./compose-local.ts";
import { followLog, type JobTail } from "./job-tail.ts";
import { count } from "./print.ts";
import type { Progress } from "./progress.ts";
import { isTerminal } from "./terminal.ts";

const SWEEP_MS = 15 * 60_000;
/** A tick without any news: the net under hints that were lost, and under another process that was killed. */
const NET_MS = 10_000;
const NET_ONCE_MS = 1_000;
/** A file has surely settled so long after `settleMs`. */
const SETTLED_MS = 100;
/** Between two looks whether anything is left to do, for --once. */
const LOOK_MS = 200;
/** Ticks of --once that fail in a row until it gives up. */
const ERRORS_MAX = 3;
/** Between two looks at the log of the job that runs. */
const TAIL_MS = { terminal: 200, log: 500 } as const;

export type Done =
  | { readonly is: "done"; readonly status: Status }
  | { readonly is: "obstacle"; readonly obstacle: Obstacle; readonly status: Status };

export interface LoopOptions {
  readonly progress: Progress;
  /** it ends when nothing is left to do: looks often */
  readonly once: boolean;
}

/**
 * Starts the loop.
 * @throws {AccreteError} MODEL_NOT_LOADABLE, or what the first look at the state throws
 */
export async function startLoop(pipeline: LocalPipeline, options: LoopOptions): Promise<Loop> {
  const loop = new Loop(pipeline, options);
  try {
    await loop.start();
    return loop;
  } catch (error) {
    // what was opened would keep the process alive; that the state can't be read is what `error` says
    await loop.stop().catch(() => []);
    throw error;
  }
}

export class Loop {
  readonly #pipeline: LocalPipeline;
  readonly #options: LoopOptions;
  readonly #ticks: TimerTicks;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #timers: NodeJS.Timeout[] = [];
  #ledger: Ledger | undefined;
  #jobsWatch: JobsWatch | undefined;
  #schedule: ScheduleTimer | undefined;
  #tail: { readonly round: number; readonly job: string; readonly tail: JobTail } | undefined;
  #headSeq: number | undefined;
  #startedMs = 0;
  #errorsInARow = 0;
  #lastError: unknown;
  #stopped: Promise<readonly Job[]> | undefined;

  constructor(pipeline: LocalPipeline, options: LoopOptions) {
    this.#pipeline = pipeline;
    this.#options = options;
    this.#ticks = openTicks({ run: (why) => this.#runTick(why), onError: (error) => this.#failed(error) });
  }

  async start(): Promise<void> {
    const { store } = this.#pipeline;
    const { progress, once } = this.#options;
    this.#startNotices();
    this.#ledger = await openLedger(this.#pipeline, { ticks: this.#ticks, notify: progress.notify(store) });
    const onEnded = (): void => void this.#ticks.ask({ kind: "plain" }, 0);
    this.#jobsWatch = await watchEnds(this.#pipeline, { onEnded, onError: (error) => this.#failed(error) });
    await this.#sweep();
    this.#startedMs = performance.now();
    const newest = await newestSegment(store);
    await this.#ticks.ask(newest === undefined ? { kind: "plain" } : { kind: "segment", segment: newest }, 0);
    this.#schedule = openSchedule(this.#pipeline, {
      afterMs: await scheduledUntil(store),
      onDue: (why) => void this.#ticks.ask(why, 0),
    });
    this.#beside(() => this.#tidy());
    this.#timers.push(setInterval(() => this.#beside(() => this.#net()), once ? NET_ONCE_MS : NET_MS));
    if (once) return;
    this.#timers.push(setInterval(() => this.#beside(() => this.#sweep()), SWEEP_MS));
    // a file that was dropped just before the start had not settled at the first sweep, and makes no news any more
    this.#timers.push(setTimeout(() => this.#beside(() => this.#sweep()), this.#pipeline.items.settleMs + SETTLED_MS));
  }

  /** These files have settled; paths relative to the data folder. */
  arrived(paths: readonly string[]): void {
    this.#beside(() => this.#takeIn(paths));
  }

  /** Settles when nothing is left to do, or an operator has to do something. */
  async untilDone(): Promise<Done> {
    const { items } = this.#pipeline;
    for (;;) {
      await this.#ticks.whenIdle();
      if (this.#stopped !== undefined) return new Promise<never>(() => undefined); // nobody waits for it any more
      if (this.#errorsInARow >= ERRORS_MAX) throw this.#lastError;
      const status = await readStatus(this.#pipeline);
      const { next } = status;
      if (next.is === "blocked" || next.is === "paused") return { is: "obstacle", obstacle: next, status };
      if (next.is === "idle" || (next.is === "waiting" && next.for === "minimum")) {
        const settledInMs = this.#startedMs + items.settleMs + SETTLED_MS - performance.now();
        if (settledInMs > 0) await sleep(settledInMs);
        if ((await this.#sweep()) === 0) return { is: "done", status };
      } else if (next.is === "waiting" && next.for === "budget") {
        return { is: "done", status }; // hours, or weeks: it goes on by itself
      } else if (next.is === "due") {
        await this.#ticks.ask({ kind: "plain" }, 0);
      } else if (next.is === "waiting") {
        await this.#ticks.ask({ kind: "plain" }, next.untilMs - status.nowMs + 10);
      }
      await sleep(LOOK_MS);
    }
  }

  /** Starts nothing more, and waits for what is under way. @returns the jobs that run: they go on */
  stop(): Promise<readonly Job[]> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<readonly Job[]> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#jobsWatch?.close();
    this.#schedule?.close();
    await this.#ticks.close();
    await Promise.all(this.#underWay);
    // not waited for: it keeps the process for its few seconds, and a place that does not answer keeps nothing else
    void this.#pipeline.outbox.stop();
    await this.#tail?.tail.close();
    this.#options.progress.jobEnded();
    return this.#runningJobs((await readHead(this.#pipeline.store)).head.round + 1);
  }

  #startNotices(): void {
    const { progress } = this.#options;
    const { config, outbox } = this.#pipeline;
    outbox.start({
      warn: (about, message) => progress.sayOnce(config.name, "warning", about, message),
      passed: (about) => progress.forget(config.name, "warning", about),
    });
  }

  #opened(): Ledger {
    if (this.#ledger === undefined) throw new Error("the loop has not started");
    return this.#ledger;
  }

  #failed(error: unknown): void {
    this.#errorsInARow++;
    this.#lastError = error;
    this.#options.progress.error(this.#pipeline.config.name, error);
  }

  /** Work beside the ticks; stop() waits for it. */
  #beside(work: () => Promise<unknown>): void {
    if (this.#stopped !== undefined) return;
    const promise: Promise<unknown> = work()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#underWay.delete(promise));
    this.#underWay.add(promise);
  }

  async #runTick(why: Tick): Promise<void> {
    const { store, config } = this.#pipeline;
    await this.#tail?.tail.read(); // what the job has said comes before what follows from it
    await tick(this.#opened(), why);
    if (this.#errorsInARow > 0) this.#options.progress.forget(config.name, "error", "");
    this.#errorsInARow = 0;
    const { head } = await readHead(store);
    if (this.#headSeq !== undefined && head.seq !== this.#headSeq) this.#beside(() => this.#tidy());
    this.#headSeq = head.seq;
    await this.#followJob(head.round + 1);
  }

  /** While the job that is followed runs there is nothing to decide, and its end is news: the store need not be read. */
  async #net(): Promise<void> {
    if ((await this.#followed())?.state !== "running") await this.#ticks.ask({ kind: "net" }, 0);
  }

  /** The job whose log is followed, if it is alive. */
  async #followed(): Promise<Job | undefined> {
    if (this.#tail === undefined) return undefined;
    return (await this.#pipeline.jobs.describe([this.#tail.job])).find(isAlive);
  }

  async #tidy(): Promise<void> {
    const { store, config } = this.#pipeline;
    await janitor(store, { history: config.keep.history });
    await tidyJobs(this.#pipeline);
  }

  async #runningJobs(round: number): Promise<readonly Job[]> {
    const { attempts } = await inspectAttempts(this.#pipeline, round);
    return attempts.flatMap(({ job }) => (job !== undefined && isAlive(job) ? [job] : []));
  }

  /** Follows the log of the open round's job, also of one that another process has started. */
  async #followJob(round: number): Promise<void> {
    const { progress } = this.#options;
    if (this.#tail?.round === round && (await this.#followed()) !== undefined) return;
    const job = (await this.#runningJobs(round)).at(-1);
    if (this.#tail !== undefined && this.#tail.job !== job?.id) {
      await this.#tail.tail.close();
      this.#tail = undefined;
      progress.jobEnded();
    }
    if (job?.log === undefined || this.#tail !== undefined) return;
    const onLine = (text: string): void => progress.job(this.#pipeline.config.name, round, text);
    this.#tail = {
      round,
      job: job.id,
      tail: followLog(job.log, { everyMs: isTerminal() ? TAIL_MS.terminal : TAIL_MS.log, onLine }),
    };
  }

  async #takeIn(paths: readonly string[]): Promise<void> {
    const { items } = this.#pipeline;
    // a folder that was moved in may bring more files than can be open at once
    const found = await inParallel(paths, async (path) => ({ path, item: await items.itemAt(path) }));
    const unsettled = found.flatMap(({ path, item }) => (item === "unsettled" ? [path] : []));
    // not waited for by stop(): the next start's sweep finds them
    if (unsettled.length > 0) setTimeout(() => this.arrived(unsettled), items.settleMs).unref();
    const arrivals = found.flatMap(({ item }) => (typeof item === "object" ? [item] : []));
    if (arrivals.length > 0) this.#sayTakenIn((await intake(this.#opened(), arrivals)).accepted);
  }

  async #sweep(): Promise<number> {
    const { accepted, seen } = await sweep(this.#opened(), this.#pipeline.items);
    if (process.env["ACCRETE_DEBUG"] !== undefined)
      this.#options.progress.say(this.#pipeline.config.name, "swept", count(seen, "file"));
    this.#sayTakenIn(accepted);
    return accepted;
  }

  #sayTakenIn(accepted: number): void {
    if (accepted > 0) this.#options.progress.say(this.#pipeline.config.name, "arrived", count(accepted, "item"));
  }
}

async function newestSegment(store: Store): Promise<string | undefined> {
  let newest: { key: string; modifiedMs: number } | undefined;
  for await (const page of inboxPages(store))
    for (const segment of page) if (newest === undefined || segment.modifiedMs >= newest.modifiedMs) newest = segment;
  return newest?.key;
}

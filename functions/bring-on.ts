/** One batch of messages brings the pipeline on: as few ticks as they come to, the sweep and the janitor when they are due. */
import { dollarsOf } from "../protocol/budget.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Items, Notice, Tick } from "../protocol/ports.ts";
import { sweepPages } from "../protocol/sweep.ts";
import { janitor } from "../ledger/janitor.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { listInbox, readEntry, readHead } from "../ledger/read.ts";
import { sweep } from "../ledger/sweep.ts";
import { tick } from "../ledger/tick.ts";
import { dueTicks, type Wish } from "./due.ts";
import type { Log } from "./log.ts";
import { messagesOf, responseOf, type BatchResponse, type Message } from "./sqs.ts";
import type { Telling } from "./telling.ts";
import { attemptOfJob, parseWaking, type EndedJob } from "./wakings.ts";

export interface LedgerPorts {
  /** its `notify` is made anew for each tick, by `telling` */
  readonly ledger: Omit<Ledger, "notify">;
  readonly items: Items;
  readonly telling: Telling;
  readonly log: Log;
}

interface Sweeping {
  readonly whole: boolean;
  readonly askedMs: number;
  readonly messages: readonly string[];
}

interface Work {
  readonly wishes: Wish[];
  sweeping: Sweeping | undefined;
  readonly failed: Set<string>;
}

/**
 * @param event an SQS batch
 * @returns the messages that are to come again: those of what was thrown, and those that can't be understood, which end among the dead
 * letters
 */
export async function bringOn(ports: LedgerPorts, event: unknown): Promise<BatchResponse> {
  const { ledger, log } = ports;
  const nowMs = ledger.clock.nowMs();
  const work = sort(messagesOf(event), { nowMs, log });
  const { now, later } = dueTicks(work.wishes, nowMs);
  const guarded = async (what: string, messages: readonly string[], each: () => Promise<void>): Promise<void> => {
    try {
      await each();
    } catch (error) {
      for (const message of messages) work.failed.add(message);
      log.error(what, error);
      if (isOfAttempt(error)) log.metrics({ failedAttempts: 1 });
    }
  };
  for (const { tick, dueMs, messages } of later)
    await guarded("not-asked-again", messages, () => ledger.ticks.ask(tick, dueMs - nowMs));
  for (const { tick, messages } of now) await guarded("tick-failed", messages, () => runTick(ports, tick));
  const { sweeping } = work;
  if (sweeping !== undefined) await guarded("sweep-failed", sweeping.messages, () => runSweep(ports, sweeping));
  if (now.length > 0) await beside(log, "inbox-not-read", () => measureInbox(ports));
  return responseOf(work.failed);
}

/** What each message asks for. */
function sort(messages: readonly Message[], { nowMs, log }: { nowMs: number; log: Log }): Work {
  const work: Work = { wishes: [], sweeping: undefined, failed: new Set() };
  for (const { id, body, sentMs } of messages) {
    const waking = parseWaking(body);
    const wish = (tick: Tick, dueMs = 0): void => void work.wishes.push({ tick, dueMs, messages: [id] });
    switch (waking.is) {
      case "tick":
        wish(waking.tick, waking.dueMs);
        break;
      case "job-ended":
        sayEnded(waking.job, log);
        wish({ kind: "plain" });
        break;
      case "sweep":
        wish({ kind: "net" });
        work.sweeping = {
          whole: waking.whole || work.sweeping?.whole === true,
          askedMs: Math.min(work.sweeping?.askedMs ?? Infinity, sentMs ?? nowMs),
          messages: [...(work.sweeping?.messages ?? []), id],
        };
        break;
      case "nothing":
        log.info("nothing-to-do", { because: waking.because });
        break;
      case "unreadable":
        work.failed.add(id);
        log.warn("message-unreadable", { message: id, because: waking.because });
    }
  }
  return work;
}

function sayEnded({ id, name, hasFailed, reason }: EndedJob, log: Log): void {
  log.info("job-ended", { job: id, ...attemptOfJob(name), failed: hasFailed, reason });
  if (hasFailed) log.metrics({ failedAttempts: 1 });
}

async function runTick({ ledger, telling, log }: LedgerPorts, why: Tick): Promise<void> {
  const seen: Notice[] = [];
  try {
    const stopped = await tick({ ...ledger, notify: telling.of(why, seen) }, why);
    log.info("tick", { why: why.kind, stopped });
  } finally {
    await follow(ledger, log, seen);
  }
}

/** What a tick has told is true, also of one that was cut off. */
async function follow(ledger: LedgerPorts["ledger"], log: Log, seen: readonly Notice[]): Promise<void> {
  if (seen.some(({ kind }) => kind === "blocked" || kind === "damaged")) log.metrics({ blocked: 1 });
  for (const notice of seen)
    if (notice.kind === "committed" || notice.kind === "held")
      await beside(log, "round-not-measured", () => measureRound(ledger, log, notice.seq));
  // a new head may have given checkpoints up; what is missed now, the next commit's janitor finds
  if (seen.some(({ kind }) => kind === "committed" || kind === "held" || kind === "rolled-back"))
    await beside(log, "janitor-failed", () => tidy(ledger, log));
}

async function runSweep(ports: LedgerPorts, { whole, askedMs }: Sweeping): Promise<void> {
  const { ledger, items, log } = ports;
  const { head } = await readHead(ledger.store);
  const pagesMax = sweepPages({ askedMs, whole, seq: head.seq });
  if (pagesMax === 0) return;
  const { pages, seen, accepted, tooMany, dropped } = await sweep(ledger, items, { pagesMax });
  log.info("swept", { pages, seen, accepted, tooMany, dropped });
  if (pagesMax === Infinity) await beside(log, "janitor-failed", () => tidy(ledger, log));
}

async function tidy({ store, config }: LedgerPorts["ledger"], log: Log): Promise<void> {
  const gone = await janitor(store, { history: config.keep.history });
  if (gone.length > 0) log.info("tidied", { checkpoints: gone.length });
}

/** The tick has done its work by then: what fails here is only said. */
async function beside(log: Log, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error(what, error);
  }
}

async function measureRound({ store, config }: LedgerPorts["ledger"], log: Log, seq: number): Promise<void> {
  const { document: entry } = await readEntry(store, seq);
  if (entry.kind !== "round") return;
  const examplesPerSecond = entry.metrics["run.examplesPerSecond"];
  log.metrics({
    rounds: 1,
    seconds: entry.jobMs / 1_000,
    rejected: entry.rejected,
    ...(examplesPerSecond === undefined ? {} : { examplesPerSecond }),
    ...(config.budget === null ? {} : { cost: dollarsOf(entry.jobMs, config.budget) }),
  });
}

/** A metric is paid for by the hour in which it is told: of an empty inbox nothing is. */
async function measureInbox({ ledger, log }: LedgerPorts): Promise<void> {
  const { segments, nowMs } = await listInbox(ledger.store);
  if (segments.length === 0) return;
  const oldestMs = Math.min(...segments.map(({ modifiedMs }) => modifiedMs));
  log.metrics({
    pendingItems: segments.reduce((sum, { count }) => sum + count, 0),
    oldestPendingSeconds: Math.max(0, nowMs - oldestMs) / 1_000,
  });
}

function isOfAttempt(error: unknown): boolean {
  return error instanceof AccreteError && (error.code === "JOB_REFUSED" || error.code === "JOB_NOT_SUBMITTED");
}

/**
 * Two years of a schedule on a clock of our own: the real timer, ticks and intake, a memory store, and jobs that take their time. Each
 * message of a due time comes twice, late and out of order; `up` ends at any moment, and what it held is lost with it.
 */
import assert from "node:assert/strict";
import { describe, expect, it } from "vitest";
import { openMemoryStore, type MemoryStore } from "../adapters/memory-store.ts";
import { openScheduleTimer, type ScheduleTimer } from "../adapters/schedule-timer.ts";
import { checkSchedules } from "../adapters/schedule-times.ts";
import { hasMemory } from "../ledger/checkpoints.ts";
import { intake } from "../ledger/intake.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { readDocument, readHead } from "../ledger/read.ts";
import { scheduledUntil } from "../ledger/schedule.ts";
import { tick } from "../ledger/tick.ts";
import { verify } from "../ledger/verify.ts";
import { parseConfig } from "../protocol/config.ts";
import type { RetrainingConfig } from "../protocol/config-parts.ts";
import { INBOX, logKey, planKey } from "../protocol/keys.ts";
import type { Job, JobRequest, Tick } from "../protocol/ports.ts";
import { fakeItem, fakePipeline, fakeTrain } from "./fake-trainer.ts";
import { Random } from "./simulation/random.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BEGIN = Date.UTC(2026, 0, 1);

/** A run has about 10,000. */
const EVENTS_MAX = 30_000;

type Schedule = Extract<Tick, { kind: "schedule" }>;

interface Event {
  readonly atMs: number;
  /** lost when `up` ends */
  readonly message?: Schedule;
  readonly run: () => Promise<void>;
}

class Years {
  readonly random: Random;
  readonly memory: MemoryStore;
  readonly ledger: Ledger;
  readonly retraining: RetrainingConfig;
  readonly dues: readonly number[];
  readonly memoryOfRounds: boolean;
  nowMs = BEGIN;
  /** times that were acted on, in the order of the acts */
  readonly acted: number[] = [];
  readonly said = new Set<number>();
  /** a message of it has met a state in which it could be acted on, or had been */
  readonly concluded = new Set<number>();
  /** when the last message of a time was lost, or nobody was there to say it */
  readonly lostAt = new Map<number, number>();
  readonly starts: { atMs: number; afterMs: number; endedMs?: number }[] = [];
  readonly #events: Event[] = [];
  readonly #plansSeen = new Set<number>();
  readonly #jobs = new Map<string, Job>();
  #timer: ScheduleTimer | undefined;
  #items = 0;
  #nonces = 0;

  constructor(seed: number, run: { retraining: RetrainingConfig; dues: readonly number[]; memory: boolean }) {
    this.random = new Random(seed);
    this.retraining = run.retraining;
    this.dues = run.dues;
    this.memoryOfRounds = run.memory;
    this.memory = openMemoryStore({ nowMs: () => this.nowMs });
    // so many items never come: nothing but the schedule starts a round
    const { ledger } = fakePipeline(this.memory, {
      trigger: { minItems: 50_000, maxItems: 50_000 },
      keep: { rounds: 2, history: 0, best: true },
    });
    this.ledger = {
      ...ledger,
      clock: { nowMs: () => this.nowMs, nonce: () => String(++this.#nonces).padStart(32, "0") },
      ticks: { ask: async (why, delayMs) => void (why.kind === "schedule" && this.#send(why, delayMs)) },
      jobs: {
        ...ledger.jobs,
        submit: (request) => this.#submit(request),
        describe: async (ids) => ids.flatMap((id) => this.#jobs.get(id) ?? []),
      },
    };
  }

  #later(delayMs: number, run: () => Promise<void>, message?: Schedule): void {
    this.#events.push({ atMs: this.nowMs + delayMs, run, ...(message === undefined ? {} : { message }) });
  }

  async #submit({ name, planKey: key, attempt }: JobRequest): Promise<{ outcome: "submitted"; id: string }> {
    const id = `job-${this.#jobs.size}`;
    const job = { id, name, createdMs: this.nowMs, startedMs: this.nowMs };
    this.#jobs.set(id, { ...job, state: "running" });
    this.#later(this.random.below(3 * MINUTE), async () => {
      await fakeTrain(this.memory, key, attempt, { withMemory: this.memoryOfRounds });
      this.#jobs.set(id, { ...job, state: "succeeded", exitCode: 0, stoppedMs: this.nowMs });
      await tick(this.ledger, { kind: "plain" });
    });
    return { outcome: "submitted", id };
  }

  // ------------------------------------------------------------------------------------------ the schedule

  async #up(): Promise<void> {
    const afterMs = await scheduledUntil(this.memory);
    this.starts.push({ atMs: this.nowMs, afterMs });
    this.#timer = openScheduleTimer({
      schedule: this.retraining,
      afterMs,
      nowMs: () => this.nowMs,
      setTimer: (callback) => this.#setTimer(callback),
      onDue: (timeMs) => this.#say(timeMs),
    });
    this.#later(DAY + this.random.below(20 * DAY), () => this.#down());
  }

  /** Comes around the next due time, early or late: a timer that looks each minute would come a million times. */
  #setTimer(callback: () => void): { cancel(): void } {
    const next = this.dues.find((due) => due > this.nowMs) ?? this.nowMs + 400 * DAY;
    const wrong = this.random.pick([0, 0, 1, 5 * MINUTE, -1, -30_000]);
    let live = true;
    this.#later(Math.max(1, next + wrong - this.nowMs), async () => void (live && callback()));
    return { cancel: () => void (live = false) };
  }

  #say(timeMs: number): void {
    assert(this.dues.includes(timeMs), `${timeMs} is said and is not due`);
    this.said.add(timeMs);
    this.lostAt.delete(timeMs);
    for (let copies = 0; copies < 2; copies++)
      this.#send(
        { kind: "schedule", timeMs, retrain: this.retraining.retrain },
        this.random.below(this.random.chance(0.3) ? 6 * HOUR : MINUTE),
      );
  }

  #send(message: Schedule, delayMs: number): void {
    this.#later(delayMs, () => this.#deliver(message), message);
  }

  async #down(): Promise<void> {
    this.#timer?.close();
    this.#timer = undefined;
    this.starts.at(-1)!.endedMs = this.nowMs;
    if (this.random.chance(0.7)) {
      for (let i = this.#events.length - 1; i >= 0; i--) {
        const { message } = this.#events[i]!;
        if (message === undefined) continue;
        this.#events.splice(i, 1);
        this.lostAt.set(message.timeMs, this.nowMs);
      }
    }
    this.#later(this.random.below(this.random.chance(0.5) ? 10 * MINUTE : 5 * DAY), () => this.#up());
  }

  /** The tick itself, and what has to be true after it. */
  async #deliver(message: Schedule): Promise<void> {
    const { timeMs } = message;
    const before = (await readHead(this.memory)).head;
    await tick(this.ledger, message);
    const { head } = await readHead(this.memory);
    for (let seq = before.seq + 1; seq <= head.seq; seq++) {
      const entry = (await readDocument(this.memory, "logEntry", logKey(seq)))!.document;
      assert(entry.scheduled >= before.scheduled, `entry ${seq} goes back`);
      if (entry.kind === "rollback") this.acted.push(entry.scheduled);
    }
    for (let round = before.round + 1; round <= head.round + 1; round++) {
      const plan = await readDocument(this.memory, "plan", planKey(round));
      if (plan === undefined || plan.document.scheduled === 0 || this.#plansSeen.has(round)) continue;
      this.#plansSeen.add(round);
      this.acted.push(plan.document.scheduled);
    }
    const open = (await readDocument(this.memory, "plan", planKey(head.round + 1)))?.document;
    if (head.scheduled >= timeMs || open?.scheduled === timeMs) return void this.concluded.add(timeMs);
    if (open !== undefined) {
      assert(
        this.#events.some((event) => event.message?.timeMs === timeMs),
        `${timeMs} does not ask again while a round is open`,
      );
      return;
    }
    this.concluded.add(timeMs);
    // it was not acted on: there was nothing to do
    const inbox = (await this.memory.list(INBOX, { limit: 1 })).objects.length > 0;
    if (message.retrain === "full") assert(head.checkpoint === null, `${timeMs} did not train all again`);
    else assert(!inbox, `${timeMs} did not train what waits`);
    if (message.retrain === "rehearse")
      assert(!(await hasMemory(this.memory, head.checkpoint)), `${timeMs} did not rehearse`);
  }

  // ------------------------------------------------------------------------------------------ the data

  async #arrive(untilMs: number, everyMs: number, itemsMax: number): Promise<void> {
    const items = Array.from({ length: 1 + this.random.below(3) }, () => fakeItem(`${this.#items++}.csv`));
    await intake(this.ledger, items);
    // what is to be trained again has to have been trained
    if (this.retraining.retrain === "full")
      await tick(this.ledger, { kind: "train", seq: (await readHead(this.memory)).head.seq });
    const delayMs = this.random.below(2 * everyMs);
    if (this.nowMs + delayMs < untilMs && this.#items < itemsMax)
      this.#later(delayMs, () => this.#arrive(untilMs, everyMs, itemsMax));
  }

  async run(untilMs: number, data: { everyMs: number; itemsMax: number }): Promise<void> {
    await this.#up();
    this.#later(this.random.below(DAY), () => this.#arrive(untilMs, data.everyMs, data.itemsMax));
    for (let events = 0; ; events++) {
      if (events > EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events: something asks again for ever`);
      const next = Math.min(...this.#events.map(({ atMs }) => atMs));
      if (next > untilMs) return;
      const [event] = this.#events.splice(
        this.#events.findIndex(({ atMs }) => atMs === next),
        1,
      );
      this.nowMs = Math.max(this.nowMs, next);
      await event!.run();
    }
  }

  /** Its own message came to an end, or it was lost and the start after that had nothing to make up or made up a later one. */
  isCovered(due: number): boolean {
    if (this.concluded.has(due)) return true;
    const lostAt = this.lostAt.get(due) ?? (this.said.has(due) ? undefined : this.#unsaidAt(due));
    const start = lostAt === undefined ? undefined : this.starts.find(({ atMs }) => atMs >= lostAt);
    if (start === undefined) return false;
    if (due <= start.afterMs) return true;
    const newest = this.dues.findLast((other) => other <= start.atMs)!;
    return newest > due && this.isCovered(newest);
  }

  /** When it became clear that nobody says it: `up` was not running, or ended before a timer came that was late. */
  #unsaidAt(due: number): number | undefined {
    const running = this.starts.findLast(({ atMs }) => atMs <= due);
    const endedMs = running?.endedMs ?? Infinity;
    return endedMs <= due + 5 * MINUTE ? Math.max(due, endedMs) : undefined;
  }
}

/** Each day of two years, by the rules of the EU: local 02:30 is 03:00 when it does not exist, and the first one of two. */
function dailyBerlin(untilMs: number): number[] {
  const lastSunday = (year: number, month: number): number => {
    const last = new Date(Date.UTC(year, month + 1, 0));
    return last.getTime() - last.getUTCDay() * DAY;
  };
  const dues: number[] = [];
  for (let day = BEGIN; day < untilMs; day += DAY) {
    const year = new Date(day).getUTCFullYear();
    const [spring, autumn] = [lastSunday(year, 2), lastSunday(year, 9)];
    dues.push(day + (day === spring ? HOUR : day > spring && day <= autumn ? HOUR / 2 : 1.5 * HOUR));
  }
  return dues;
}

const daysOf = (untilMs: number, wanted: (date: Date) => boolean, hour: number): number[] =>
  Array.from({ length: Math.ceil((untilMs - BEGIN) / DAY) }, (_, i) => BEGIN + i * DAY)
    .filter((day) => wanted(new Date(day)))
    .map((day) => day + hour * HOUR);

const YEARS_2 = BEGIN + 2 * 365 * DAY;
const MONTHS_3 = BEGIN + 90 * DAY;

describe.each<[string, object, number[], number, { everyMs: number; itemsMax: number; memory: boolean }]>([
  [
    "every day",
    { every: "1 day", retrain: "rehearse" },
    daysOf(YEARS_2, () => true, 0),
    YEARS_2,
    { everyMs: 8 * DAY, itemsMax: 200, memory: false },
  ],
  [
    "02:30 in Berlin",
    { cron: "30 2 * * *", timeZone: "Europe/Berlin" },
    dailyBerlin(YEARS_2),
    YEARS_2,
    { everyMs: 4 * DAY, itemsMax: 1_000, memory: false },
  ],
  [
    "weekly, with a memory",
    { cron: "0 3 * * 1", retrain: "rehearse" },
    daysOf(YEARS_2, (date) => date.getUTCDay() === 1, 3),
    YEARS_2,
    { everyMs: 20 * DAY, itemsMax: 100, memory: true },
  ],
  [
    "weekly, all anew",
    { cron: "0 3 * * 1", retrain: "full" },
    daysOf(YEARS_2, (date) => date.getUTCDay() === 1, 3),
    YEARS_2,
    { everyMs: 2 * DAY, itemsMax: 8, memory: false },
  ],
  [
    "on the 31st",
    { cron: "0 12 31 * *", retrain: "pending" },
    daysOf(YEARS_2, (date) => date.getUTCDate() === 31, 12),
    YEARS_2,
    { everyMs: 20 * DAY, itemsMax: 100, memory: false },
  ],
  [
    "each hour of three months",
    { cron: "0 * * * *" },
    Array.from({ length: 90 * 24 }, (_, i) => BEGIN + i * HOUR),
    MONTHS_3,
    { everyMs: 10 * HOUR, itemsMax: 500, memory: false },
  ],
])("%s", (_name, schedule, dues, untilMs, data) => {
  it("no due time is missed and none is acted on twice", async () => {
    const config = parseConfig({
      pipelines: [{ name: "fake", data: { format: "csv" }, trainer: { model: "./model.ts" }, schedule }],
    });
    checkSchedules(config);
    const years = new Years(1, { retraining: config.pipelines[0]!.schedule!, dues, memory: data.memory });
    await years.run(untilMs, data);

    // those of the last days may still be on their way
    const past = dues.filter((due) => due > BEGIN && due < untilMs - 8 * DAY);
    expect(past.filter((due) => !years.isCovered(due)).map((due) => new Date(due).toISOString())).toEqual([]);
    expect(years.acted.length).toBeGreaterThan(dues.length > 30 ? 20 : 3);
    expect(years.acted.filter((time, i) => !dues.includes(time) || time <= (years.acted[i - 1] ?? 0))).toEqual([]);
    const digestOf = async (key: string): Promise<string | undefined> => years.memory.objects.get(key)?.etag;
    expect((await verify(years.memory, { digestOf, onFinding: () => undefined })).damaged).toBe(0);
  });
});

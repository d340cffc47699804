/** One random history of a pipeline: deliveries, ticks, jobs, commands and every fault that the protocol is made for. */
import { openMemoryStore, type MemoryStore } from "../../adapters/memory-store.ts";
import type { Ledger } from "../../ledger/ledger.ts";
import { BUDGET_LEAST_MS } from "../../protocol/budget.ts";
import { parseConfig, type PipelineConfig } from "../../protocol/config.ts";
import { itemId, sha256, shardOf } from "../../protocol/digest.ts";
import { failureKey, INBOX, parseAttemptKey, planKey, resultKey } from "../../protocol/keys.ts";
import type { Items, Jobs, Notify, Store, Tick, Ticks } from "../../protocol/ports.ts";
import { parseDocument, type Item } from "../../protocol/types.ts";
import { Books, violate } from "./books.ts";
import { isOldEnough, jobsOf, storeOf, ticksOf, type SimulatedJob } from "./ports.ts";
import { Random } from "./random.ts";
import { InjectedError, Scheduler, type Process } from "./scheduler.ts";
import { train } from "./trainer.ts";

export type UnderTest = typeof import("./under-test.ts");

const COMMAND_KINDS = ["rollback", "rollback", "promote", "drop", "train", "retry"] as const;
type CommandKind = (typeof COMMAND_KINDS)[number];

/** Items of two shards of consumed/ only, so that their writers meet. */
const ITEMS: readonly Item[] = (() => {
  const all = Array.from({ length: 4_000 }, (_, i): Item => ({
    bucket: "data",
    key: `f${i}`,
    etag: `e${i}`,
    size: 10,
  }));
  const shards = new Set(all.slice(0, 2).map((item) => shardOf(itemId(item))));
  return all.filter((item) => shards.has(shardOf(itemId(item))));
})();

/** What may happen in a history, drawn from its seed. */
export interface Profile {
  readonly items: number;
  readonly steps: number;
  readonly faults: number;
  readonly sleeps: number;
  readonly deliveries: number;
  readonly commands: number;
  readonly sweeps: number;
  /** objects that come without any news */
  readonly silent: number;
  readonly schedules: number;
  readonly janitors: number;
  readonly jobFaults: number;
  readonly failureRate: number;
  readonly bad: number;
  readonly poison: number;
  readonly refuse: number;
  readonly onFail: "hold" | "pause" | "rollback";
  readonly attempts: number;
  readonly keepRounds: number;
  readonly maxItems: number;
  readonly minItems: number;
  readonly minInterval: number;
  readonly savesHalf: boolean;
  /** checkpoints have a replay memory */
  readonly memory: boolean;
  /** what jobs may run in each, beyond the minute below which nothing is left; 0: no budget */
  readonly budget: { readonly per: "day" | "month"; readonly ms: number } | null;
  readonly commandKinds: readonly CommandKind[];
  /** ticks that nobody asked for come from time to time (the sweep's) */
  readonly plainTicks: boolean;
}

/** Of a seed of its own, so that the histories of before stay the same. */
function laterProfileOf(random: Random): Pick<Profile, "memory" | "budget"> {
  return {
    memory: random.chance(0.7),
    budget: random.chance(0.25) ? { per: random.pick(["day", "day", "month"]), ms: random.below(4_000) } : null,
  };
}

function profileOf(random: Random): Omit<Profile, "memory" | "budget"> {
  const often = (p: number, value: number): number => (random.chance(p) ? value * random.next() : 0);
  const maxItems = random.chance(0.3) ? 2 : 100;
  return {
    items: 2 + random.below(4),
    steps: 150 + random.below(450),
    faults: often(0.8, 0.12),
    sleeps: often(0.5, 0.03),
    deliveries: 0.03 + 0.05 * random.next(),
    commands: often(0.6, 0.04),
    sweeps: often(0.3, 0.02),
    silent: often(0.3, 0.02),
    schedules: often(0.35, 0.03),
    janitors: often(0.4, 0.03),
    jobFaults: often(0.6, 0.06),
    failureRate: often(0.35, 0.5),
    bad: often(0.4, 0.6),
    poison: often(0.4, 0.6),
    refuse: often(0.4, 0.5),
    onFail: random.pick(["hold", "pause", "rollback"]),
    attempts: 1 + random.below(3),
    keepRounds: 1 + random.below(3),
    maxItems,
    minItems: random.chance(0.1) ? 2 : 1,
    minInterval: random.chance(0.2) ? 4_000 : 0,
    savesHalf: random.chance(0.5),
    commandKinds: COMMAND_KINDS,
    plainTicks: true,
  };
}

const isoOf = (ms: number): string => new Date(ms).toISOString();

const CODE = new TextEncoder().encode("export {}");
type Seen = Pick<Process, "name" | "seen">;
const FOREVER = 20_000;

/** By what a process's calls go on their way; the simulation is at their other end. `process` is its name. */
export interface Through {
  store(process: string, memory: MemoryStore): Store;
  items(process: string, items: Items): Items;
  jobs(process: string, jobs: Jobs): Jobs;
  ticks(process: string, ticks: Ticks): Ticks;
  notify(process: string): Notify;
}

const DIRECTLY: Through = {
  store: (_process, memory) => memory,
  items: (_process, items) => items,
  jobs: (_process, jobs) => jobs,
  ticks: (_process, ticks) => ticks,
  notify: () => ({ notify: async () => {} }),
};

export class World {
  readonly random: Random;
  readonly profile: Profile;
  readonly memory: MemoryStore;
  readonly books: Books;
  readonly scheduler = new Scheduler();
  readonly config: PipelineConfig;
  readonly jobs: SimulatedJob[] = [];
  readonly trace: string[] = [];
  readonly #api: UnderTest;
  readonly #through: Through;
  readonly #items: Item[];
  readonly #bad: Set<string>;
  readonly #poison: Set<string>;
  readonly #arrived = new Set<string>();
  /** in the data bucket, with or without news of it */
  readonly #present = new Set<Item>();
  readonly #ticks: { tick: Tick; dueMs: number; daily?: boolean }[] = [];
  readonly #late: (() => Promise<unknown>)[] = [];
  readonly #retriesAsked: Extract<Tick, { kind: "retry" }>[] = [];
  readonly #scheduleStarts = new Map<number, string>();
  #nowMs = 1_000_000;
  #schedules = 0;
  #runs = 0;
  #nonces = 0;
  #calm = false;
  #steps = 0;
  #writes = 0;
  #checked = 0;

  constructor(seed: number, api: UnderTest, override: Partial<Profile> = {}, through: Through = DIRECTLY) {
    this.#through = through;
    this.random = new Random(seed);
    this.profile = { ...profileOf(this.random), ...laterProfileOf(new Random(~seed)), ...override };
    this.#api = api;
    this.memory = openMemoryStore({ nowMs: () => this.#nowMs });
    this.books = new Books(this.memory);
    this.#items = ITEMS.slice(0, this.profile.items);
    const ids = this.#items.map(itemId);
    this.#bad = new Set(this.random.some(ids, this.profile.bad));
    this.#poison = new Set(this.random.some(ids, this.profile.poison));
    const { onFail, attempts, keepRounds, maxItems, minItems, minInterval, budget } = this.profile;
    this.config = parseConfig({
      pipelines: [
        {
          name: "sim",
          data: { format: "csv" },
          trainer: { model: "./model.ts" },
          trigger: { quietPeriod: 1_000, longestWait: 10_000, maxItems, minItems, minInterval },
          gate: { onFail },
          keep: { rounds: keepRounds },
          jobs: { attempts, maxWait: 100_000_000 },
          // a dollar a second
          budget: budget && {
            [budget.per === "day" ? "perDay" : "perMonth"]: (BUDGET_LEAST_MS + budget.ms) / 1_000,
            pricePerHour: 3_600,
          },
        },
      ],
    }).pipelines[0]!;
  }

  // ---------------------------------------------------------------------------------------------- processes

  #ledgerOf(process: Process): Ledger {
    return {
      config: this.config,
      store: storeOf(
        process,
        this.scheduler,
        this.memory,
        {
          before: (...write) => this.#beforeWrite(...write),
          attemptsListed: (...look) => this.#attemptsListed(...look),
        },
        this.#through.store(process.name, this.memory),
      ),
      jobs: this.#through.jobs(
        process.name,
        jobsOf(
          process,
          this.scheduler,
          this.jobs,
          () => this.#nowMs,
          (job) => this.#endJob(job),
        ),
      ),
      ticks: this.#through.ticks(
        process.name,
        ticksOf((tick, delayMs) => {
          if (!Number.isFinite(delayMs)) violate("L1 a tick is asked for at no time");
          this.#ticks.push({ tick, dueMs: this.#nowMs + delayMs });
        }),
      ),
      clock: { nowMs: () => this.#nowMs, nonce: () => (this.#nonces++).toString(16).padStart(32, "0") },
      notify: this.#through.notify(process.name),
      code: { sha256: sha256(CODE), body: CODE },
      start: null,
      image: null,
      jobDefinition: null,
    };
  }

  #run(name: string, body: (ledger: Ledger) => Promise<unknown>, scheduleMs?: number): void {
    this.scheduler.start(name, async (process) => {
      if (scheduleMs !== undefined) process.seen.scheduleMs = scheduleMs;
      try {
        await body(this.#ledgerOf(process));
      } catch (error) {
        // what an operator is told is no fault
        if (
          !(error instanceof Error) ||
          !["COMMAND_LOST", "NOT_KEPT", "NOT_FOUND"].includes((error as { code?: string }).code ?? "")
        )
          throw error;
      }
    });
  }

  #tick(tick: Tick): void {
    this.#run(
      `tick ${tick.kind}`,
      (ledger) => this.#api.tick(ledger, tick),
      tick.kind === "schedule" ? tick.timeMs : undefined,
    );
  }

  #deliver(items: readonly Item[]): void {
    for (const item of items) this.#present.add(item);
    this.#run("intake", async (ledger) => {
      await this.#api.intake(ledger, items);
      for (const item of items) this.#arrived.add(itemId(item));
      this.#writes++; // intake has answered: from now on these are to be found
    });
  }

  /** Finds what the news missed. */
  #sweep(): void {
    const seen = [...this.#present];
    this.#run("sweep", async (ledger) => {
      const list = async (): Promise<{ items: readonly Item[] }> => ({ items: seen });
      const items = { list, fetch: () => Promise.reject(new Error("nothing is fetched here")) };
      await this.#api.sweep(ledger, this.#through.items("sweep", items));
      for (const item of seen) this.#arrived.add(itemId(item));
      this.#writes++;
    });
  }

  #command(): void {
    const { random } = this;
    const head = this.books.head.entry;
    const kept = (head?.keep ?? []).map(({ checkpoint }) => checkpoint.round);
    const said = { by: "operator", reason: "simulated" };
    switch (random.pick(this.profile.commandKinds)) {
      case "rollback": {
        const request = {
          to: random.pick<number | "head">(["head", 0, ...kept, ...kept]),
          replay: random.chance(0.5),
          without: random.some(this.#items, 0.15),
          with: random.chance(0.4)
            ? random.some(
                this.#items.filter((item) => this.books.head.consumed.has(itemId(item)) || random.chance(0.1)),
                0.5,
              )
            : [],
          ...said,
        };
        return this.#run("rollback", (ledger) => this.#api.rollback(ledger, request));
      }
      case "promote":
        return this.#run("promote", (ledger) =>
          this.#api.promote(ledger, { round: random.pick([0, ...kept]), ...said }),
        );
      case "drop":
        return this.#run("drop", (ledger) => this.#api.drop(ledger, { items: [random.pick(this.#items)], ...said }));
      case "train":
        return void this.#ticks.push({
          tick: { kind: random.pick(["train", "rehearse"]), seq: Math.max(0, (head?.seq ?? 0) - random.below(2)) },
          dueMs: this.#nowMs,
        });
      case "retry":
        return this.#askRetry();
    }
  }

  #askRetry(): void {
    const head = this.books.head.entry;
    const round = (head?.round ?? 0) + 1;
    const attempts = this.#attempts(round);
    if (attempts.length === 0) return;
    const tick: Extract<Tick, { kind: "retry" }> = {
      kind: "retry",
      seq: head?.seq ?? 0,
      round,
      attempt: Math.max(...attempts),
    };
    this.#retriesAsked.push(tick);
    for (let copies = 1 + this.random.below(2); copies > 0; copies--)
      this.#ticks.push({ tick, dueMs: this.#nowMs + this.random.below(FOREVER) });
  }

  #schedule(): void {
    const tick: Tick = {
      kind: "schedule",
      timeMs: ++this.#schedules,
      retrain: this.random.pick(["pending", "rehearse", "full"]),
    };
    for (let copies = 1 + this.random.below(2); copies > 0; copies--)
      this.#ticks.push({ tick, dueMs: this.#nowMs + this.random.below(FOREVER) });
  }

  // ---------------------------------------------------------------------------------------------- jobs

  #startJob(job: SimulatedJob): void {
    job.started = true;
    job.startedMs ??= this.#nowMs;
    job.state = "running";
    const { random, profile } = this;
    const run = `r${this.#runs++}`;
    const fails = random.chance(this.#calm ? 0 : profile.failureRate);
    const passes = !random.chance(profile.refuse);
    job.container = this.scheduler.start(`trainer ${job.name}`, async (process) => {
      const ledger = this.#ledgerOf(process);
      await train(ledger.store, job.planKey, `${job.attempt}.${job.retries}`, {
        bad: this.#bad,
        poison: this.#poison,
        fails: () => fails,
        passes: () => passes,
        savesHalf: profile.savesHalf,
        memory: profile.memory,
        run,
      });
    });
  }

  #endJob(job: SimulatedJob): void {
    if (job.container !== undefined) this.scheduler.kill(job.container);
    this.#jobEnded(job);
  }

  #jobEnded(job: SimulatedJob): void {
    if (job.state === "succeeded" || job.state === "failed") return;
    job.state = "failed";
    job.stoppedMs = this.#nowMs;
    this.#ticks.push({ tick: { kind: "plain" }, dueMs: this.#nowMs });
  }

  #jobFault(job: SimulatedJob): void {
    const { random } = this;
    this.trace.push(`fault of ${job.id}`);
    if (random.chance(0.25) && job.started) return this.#jobEnded(job); // called dead, its container goes on
    if (random.chance(0.25) && job.container !== undefined) {
      this.scheduler.kill(job.container); // the host is lost, Batch tries again
      job.retries++;
      job.started = false;
      return;
    }
    this.#endJob(job);
  }

  // ---------------------------------------------------------------------------------------------- checks at a write

  #attempts(round: number): number[] {
    const prefix = planKey(round).replace("plan.json", "attempts/");
    return [...this.memory.objects.keys()].flatMap((key) => {
      const parsed = key.startsWith(prefix) ? parseAttemptKey(key) : undefined;
      return parsed?.what === "intent" ? [parsed.attempt] : [];
    });
  }

  #beforeWrite(process: Seen, call: "create" | "replace" | "delete", key: string, body: Uint8Array | undefined): void {
    this.#writes++;
    if (body === undefined) return;
    if (call === "create" && key.endsWith("plan.json")) this.#beforePlan(process, key, body);
    if (call === "create" && parseAttemptKey(key)?.what === "intent") this.#beforeIntent(process, key, body);
    if (key.startsWith("log/")) this.#beforeEntry(process, key, body);
  }

  #beforePlan(process: Seen, key: string, body: Uint8Array): void {
    this.books.update();
    const plan = parseDocument("plan", key, body);
    const head = this.books.head.entry;
    if (plan.round !== (head?.round ?? 0) + 1) return; // of a closed round: nobody will ever read it
    if (this.memory.objects.has(key)) return;
    const refused = head?.kind === "round" && !head.gate.passed;
    if (refused && this.profile.onFail !== "hold") violate("G1 a plan follows a round that the gate refused");
    const { scheduleMs = 0 } = process.seen;
    if (scheduleMs > (head?.scheduled ?? 0) && plan.scheduled !== scheduleMs)
      violate("S1 the plan of a schedule's tick does not carry its time");
    if (plan.scheduled > 0) this.#once(plan.scheduled, key);
    const parent = plan.parent && this.books.read("manifest", plan.parent.manifest);
    if (plan.kind === "rehearse" && parent?.files.some(({ name }) => name.startsWith("memory.")) !== true)
      violate("R1 a rehearsal is planned without a memory");
  }

  #beforeEntry(process: Seen, key: string, body: Uint8Array): void {
    if (this.memory.objects.has(key)) return;
    const entry = parseDocument("logEntry", key, body);
    const { paid } = process.seen;
    if (entry.kind !== "promote" && paid?.round === entry.round && entry.jobMs < paid.jobMs)
      violate(`B4 jobs of round ${entry.round} ran ${paid.jobMs} ms, its entry says ${entry.jobMs}`);
    if (entry.kind === "rollback" && process.seen.noPlan === planKey(entry.round)) {
      // a schedule's round that was planned between the rollback's look and its entry is ended unseen: its time starts once more
      const unseen = this.books.read("plan", planKey(entry.round))?.scheduled ?? 0;
      if (unseen > entry.scheduled) this.#scheduleStarts.delete(unseen);
    }
    if (entry.kind === "rollback" && entry.cause === "schedule") this.#once(entry.scheduled, key);
  }

  #once(scheduled: number, key: string): void {
    const before = this.#scheduleStarts.get(scheduled);
    if (before !== undefined && before !== key)
      violate(`S1 schedule ${scheduled} was acted on by ${before} and has started ${key}`);
    this.#scheduleStarts.set(scheduled, key);
  }

  /** The books' own sums, of what can be known by then: of jobs that have a record and are old enough to be listed. */
  #attemptsListed(process: Process, prefix: string): void {
    const nowMs = this.#nowMs;
    const ids = [...this.memory.objects.keys()].flatMap((key) =>
      key.startsWith(prefix) && key.endsWith(".job.json") ? [this.books.read("jobRecord", key)!.jobId] : [],
    );
    const jobs = this.jobs.filter((job) => ids.includes(job.id) && isOldEnough(job, nowMs));
    const since = (fromMs: number): number =>
      jobs.reduce(
        (sum, { startedMs, stoppedMs }) =>
          startedMs === undefined ? sum : sum + Math.max(0, (stoppedMs ?? nowMs) - Math.max(startedMs, fromMs)),
        0,
      );
    const month = Date.parse(`${isoOf(nowMs).slice(0, 7)}-01`);
    const day = Date.parse(isoOf(nowMs).slice(0, 10));
    process.seen.paid = {
      round: Number(prefix.split("/")[1]),
      nowMs,
      jobMs: since(0),
      dayMs: since(day),
      monthMs: since(month),
    };
  }

  #checkBudget(process: Seen, round: number): void {
    const { budget } = this.profile;
    const { paid, headSeq } = process.seen;
    if (budget === null || paid === undefined || paid.round !== round) return;
    const length = budget.per === "day" ? 10 : 7;
    const now = isoOf(this.#nowMs).slice(0, length);
    if (isoOf(paid.nowMs).slice(0, length) !== now) return; // it was decided before midnight
    const before = this.books.accounts[headSeq]?.entry?.spent;
    const closed = before?.day.slice(0, length) === now ? before[budget.per === "day" ? "dayMs" : "monthMs"] : 0;
    const spent = closed + (budget.per === "day" ? paid.dayMs : paid.monthMs);
    if (spent > budget.ms) violate(`B3 an attempt although ${spent} ms of ${budget.ms} a ${budget.per} are spent`);
  }

  #beforeIntent(process: Seen, key: string, body: Uint8Array): void {
    const { round, attempt, retry } = parseDocument("intent", key, body);
    this.#checkBudget(process, round);
    if (retry) {
      const meant = this.#retriesAsked.some(
        (asked) => asked.seq === process.seen.headSeq && asked.round === round && asked.attempt === attempt - 1,
      );
      if (!meant) violate("B2 a retry made another attempt than the one asked for");
      return;
    }
    if (process.seen.failures.has(failureKey(round, attempt - 1)))
      violate("B1 a round with a failure record was tried again by itself");
    // of a closed round: the janitor may have deleted the progress that this tick has seen, and nobody will ever read what is made
    if (round !== (this.books.head.entry?.round ?? 0) + 1) return;
    const progress = [...this.memory.objects.keys()].some(
      (name) => name.startsWith(planKey(round).replace("plan.json", "checkpoints/")) && name.endsWith("MANIFEST.json"),
    );
    if (!progress && this.#attempts(round).length >= this.profile.attempts)
      violate("B1 a round at its limit was tried again by itself");
  }

  // ---------------------------------------------------------------------------------------------- one step

  async #answerCall(): Promise<void> {
    const { random, profile } = this;
    const awake = this.scheduler.awake(this.#steps);
    if (awake.length === 0) return;
    const index = random.pick(awake);
    if (random.chance(profile.sleeps)) {
      this.scheduler.processOf(index).sleepsUntil = this.#steps + random.below(250);
      return;
    }
    const call = this.scheduler.take(index);
    const fault = !this.#calm && random.chance(profile.faults);
    const kind = fault ? random.below(call.write ? 5 : 2) : -1;
    this.trace.push(`${call.process.name}: ${call.label}${fault ? ` (fault ${kind})` : ""}`);
    if (kind === 0) return this.scheduler.kill(call.process); // dies before the call
    if (kind === 1 && !call.write) return call.fail(new InjectedError("a read failed"));
    if (kind === 3) return call.answer(unknownOf(call.label)); // the answer is lost, and the call was
    if (kind === 4) {
      this.#late.push(call.effect); // the answer is lost, the call takes effect later
      return call.answer(unknownOf(call.label));
    }
    const value = await call.effect();
    if (kind === 1) return this.scheduler.kill(call.process); // dies after the call
    return call.answer(kind === 2 ? unknownOf(call.label) : value); // or its answer is lost
  }

  async step(): Promise<void> {
    const { random, profile } = this;
    this.#steps++;
    this.#nowMs += random.below(40);
    const waiting = this.jobs.filter((job) => job.state === "waiting" || (job.state === "running" && !job.started));
    const running = this.jobs.filter((job) => job.state === "running");
    for (const job of running) if (job.started && job.container?.alive === false) this.#jobEnded(job);
    const due = this.#ticks.filter(({ dueMs }) => dueMs <= this.#nowMs);

    if (random.chance(profile.sweeps)) this.#sweep();
    else if (random.chance(profile.silent)) this.#present.add(random.pick(this.#items));
    else if (random.chance(profile.deliveries))
      this.#deliver(random.some(this.#items, 0.5).concat(random.pick(this.#items)));
    else if (random.chance(profile.commands)) this.#command();
    else if (random.chance(profile.schedules)) this.#schedule();
    else if (random.chance(profile.janitors))
      this.#run("janitor", (ledger) => this.#api.janitor(ledger.store, { history: 0 }));
    else if (running.length > 0 && random.chance(profile.jobFaults)) this.#jobFault(random.pick(running));
    else if (this.#late.length > 0 && random.chance(0.05))
      await this.#late.splice(random.below(this.#late.length), 1)[0]!();
    else if (waiting.length > 0 && random.chance(0.2)) this.#startJob(random.pick(waiting));
    else if (due.length > 0 && this.scheduler.running < 6 && random.chance(0.2))
      this.#takeTick(random.pick(due), random.chance(0.1));
    else if (this.scheduler.waiting > 0) await this.#answerCall();
    else this.#idle();
    await this.#after();
  }

  async #after(): Promise<void> {
    await this.scheduler.settle();
    const crash = this.scheduler.crashes[0];
    if (crash !== undefined) {
      if (crash.error instanceof Error && crash.error.constructor.name === "Violation") throw crash.error;
      violate(
        `a process must not fail by itself: ${crash.name}: ${crash.error instanceof Error ? crash.error.stack : String(crash.error)}`,
      );
    }
    if (this.#writes === this.#checked) return;
    this.#checked = this.#writes;
    this.books.check(this.#arrived);
  }

  #takeTick(asked: { tick: Tick; dueMs: number }, again: boolean): void {
    if (!again) this.#ticks.splice(this.#ticks.indexOf(asked), 1);
    this.#tick(asked.tick);
  }

  /** Nothing moves: time passes until the next tick is due, or a net's tick comes. */
  #idle(): void {
    const next = Math.min(...this.#ticks.map(({ dueMs }) => dueMs));
    if (Number.isFinite(next)) this.#nowMs = Math.max(this.#nowMs, next);
    else if (!this.#calm || this.random.chance(0.5)) this.#nowMs += 1_000;
    if (this.profile.plainTicks && this.random.chance(0.3)) this.#tick({ kind: "net" });
  }

  // ---------------------------------------------------------------------------------------------- the end

  /**
   * No more faults: everything that was asked for comes, jobs run to their end, and from time to time a plain tick comes (the sweep's).
   * L1: then all is trained, or the pipeline says why not.
   */
  async calmDown(): Promise<void> {
    this.#calm = true;
    if (this.profile.plainTicks) this.#sweep();
    this.#steps += 1_000; // whoever slept wakes up
    const limit = 6_000;
    for (let quiet = 0, steps = 0; quiet < 3; steps++) {
      if (steps > limit)
        violate(`L1 nothing settles in ${limit} steps without a fault: ${this.trace.slice(-12).join(" | ")}`);
      this.#nowMs += 20;
      this.#steps++;
      const options = this.#calmOptions();
      if (options.length > 0) await this.random.pick(options)();
      // while a round is blocked a schedule's tick is asked for again and again
      else if (this.#ticks.some(({ tick }) => tick.kind !== "schedule") || (this.#ticks.length > 0 && !this.#isGood()))
        this.#nowMs = this.#nextDueMs();
      else if (!this.profile.plainTicks) {
        if (!this.#isGood()) violate("L1 nobody will look again, and something is left to do");
        return;
      } else {
        // whoever was to ask for the end of a budget's day or month may have died: the net's tick finds it then
        this.#nowMs += this.profile.budget === null ? 30_000 : 6 * 3_600_000;
        this.#tick({ kind: "net" });
        quiet = this.#isGood() ? quiet + 1 : 0;
      }
      await this.#after();
    }
  }

  /** Of a round that is blocked only what may change something: its schedule's ticks come each minute, a budget's in a month. */
  #nextDueMs(): number {
    const wanted = this.#isGood() ? this.#ticks.filter(({ tick }) => tick.kind !== "schedule") : this.#ticks;
    return Math.max(this.#nowMs, Math.min(...wanted.map(({ dueMs }) => dueMs)));
  }

  #calmOptions(): (() => unknown)[] {
    const waiting = this.jobs.find((job) => (job.state === "waiting" || job.state === "running") && !job.started);
    const ended = this.jobs.find((job) => job.state === "running" && job.started && job.container?.alive === false);
    const due = this.#ticks.find(({ dueMs }) => dueMs <= this.#nowMs);
    return [
      ...(ended === undefined ? [] : [() => this.#jobEnded(ended)]),
      ...(this.scheduler.awake(this.#steps).length === 0
        ? []
        : Array.from({ length: 6 }, () => () => this.#answerCall())),
      ...(waiting === undefined ? [] : [() => this.#startJob(waiting)]),
      ...(due === undefined || this.scheduler.running > 3 ? [] : [() => this.#takeTick(due, false)]),
    ];
  }

  #isGood(): boolean {
    const { head } = this.books;
    const round = (head.entry?.round ?? 0) + 1;
    const open = this.memory.objects.has(planKey(round));
    const refused = head.entry?.kind === "round" && !head.entry.gate.passed;
    const finished = this.books.liveSeq === (head.entry?.seq ?? 0);
    if (
      refused &&
      finished &&
      (this.profile.onFail === "pause" ||
        (this.profile.onFail === "rollback" && head.entry?.kind === "round" && head.entry.wasRedo))
    )
      return true;
    if (open) return this.#isBlocked(round);
    const inbox = [...this.memory.objects.keys()].some((key) => key.startsWith(INBOX));
    const left = [...this.books.inboxItems()].filter((id) => !head.consumed.has(id)).length;
    return finished && head.redo.size === 0 && (!inbox || (left > 0 && left < this.profile.minItems));
  }

  #isBlocked(round: number): boolean {
    if (this.memory.objects.has(resultKey(round))) return false;
    if (this.jobs.some((job) => job.planKey === planKey(round) && (job.state === "running" || job.state === "waiting")))
      return false;
    const attempts = this.#attempts(round);
    const newest = Math.max(0, ...attempts);
    return attempts.length >= this.profile.attempts || this.memory.objects.has(failureKey(round, newest));
  }
}

/** A write whose answer is lost. */
function unknownOf(label: string): unknown {
  return label.startsWith("submit ") ? { outcome: "unknown" } : "unknown";
}

export interface History {
  readonly seed: number;
  readonly steps: number;
  readonly entries: number;
  /** what was broken; undefined: nothing */
  readonly violation: string | undefined;
  readonly trace: readonly string[];
}

/** Runs one history. The same seed gives the same history. */
export async function runHistory(
  seed: number,
  api: UnderTest,
  override: Partial<Profile> = {},
  through?: Through,
): Promise<History> {
  const world = new World(seed, api, override, through);
  let violation: string | undefined;
  let steps = 0;
  try {
    for (; steps < world.profile.steps; steps++) await world.step();
    await world.calmDown();
  } catch (error) {
    violation =
      error instanceof Error
        ? error.constructor.name === "Violation"
          ? error.message
          : (error.stack ?? error.message)
        : String(error);
  }
  return { seed, steps, entries: world.books.accounts.length - 1, violation, trace: world.trace };
}

/** The ports as a simulated process sees them: every call waits for the scheduler. */
import type { Job, Jobs, Store, Ticks } from "../../protocol/ports.ts";
import type { MemoryStore } from "../../adapters/memory-store.ts";
import type { Process, Scheduler } from "./scheduler.ts";

export interface WriteWatcher {
  /** called as a write takes effect, before it does */
  before(
    /** what the process had seen when it made the call: one that takes effect late was decided by that */
    by: Pick<Process, "name" | "seen">,
    call: "create" | "replace" | "delete",
    key: string,
    body: Uint8Array | undefined,
  ): void;
  /** called as a round's attempts are listed */
  attemptsListed(process: Process, prefix: string): void;
}

/** @param through what a call takes effect by: the memory itself, or an adapter whose other end it is */
export function storeOf(
  process: Process,
  scheduler: Scheduler,
  memory: MemoryStore,
  watcher: WriteWatcher,
  through: Store = memory,
): Store {
  const read = <T>(label: string, effect: () => Promise<T>): Promise<T> =>
    scheduler.call(process, label, false, effect);
  const write = <T>(label: string, effect: () => Promise<T>): Promise<T> =>
    scheduler.call(process, label, true, effect);
  return {
    create: (key, body) => {
      const by = asNow(process);
      return write(`create ${key}`, () => {
        if (!memory.objects.has(key)) watcher.before(by, "create", key, body);
        return through.create(key, body);
      });
    },
    replace: (key, body, expected) => {
      const by = asNow(process);
      return write(`replace ${key}`, () => {
        if ((memory.objects.get(key)?.etag ?? null) === expected) watcher.before(by, "replace", key, body);
        return through.replace(key, body, expected);
      });
    },
    delete: (key) =>
      read(`delete ${key}`, () => {
        watcher.before(process, "delete", key, undefined);
        return through.delete(key);
      }),
    get: (key) =>
      read(`get ${key}`, () => {
        if (key.endsWith("/plan.json") && !memory.objects.has(key)) process.seen.noPlan = key;
        if (key.startsWith("log/")) process.seen.headSeq = 9_999_999_999 - Number(key.slice(4, 14));
        return through.get(key);
      }),
    head: (key) => read(`head ${key}`, () => through.head(key)),
    list: (prefix, options) =>
      read(`list ${prefix}`, () => {
        if (/^rounds\/\d+\/attempts\/$/.test(prefix)) {
          process.seen.failures = failuresUnder(memory, prefix);
          watcher.attemptsListed(process, prefix);
        }
        if (prefix === "log/" && ![...memory.objects.keys()].some((key) => key.startsWith("log/")))
          process.seen.headSeq = 0;
        return through.list(prefix, options);
      }),
    createFromFile: () => Promise.reject(new Error("no files here")),
    readToFile: () => Promise.reject(new Error("no files here")),
    copy: (from, to) => write(`copy ${to}`, () => through.copy(from, to)),
  };
}

const asNow = ({ name, seen }: Process): Pick<Process, "name" | "seen"> => ({ name, seen: { ...seen } });

function failuresUnder(memory: MemoryStore, prefix: string): Set<string> {
  return new Set([...memory.objects.keys()].filter((key) => key.startsWith(prefix) && key.endsWith(".failure.json")));
}

/** A job as Batch sees it, and its container: they may disagree. */
export interface SimulatedJob {
  readonly id: string;
  readonly name: string;
  readonly planKey: string;
  readonly attempt: number;
  readonly createdMs: number;
  startedMs?: number;
  stoppedMs?: number;
  state: Job["state"];
  container: Process | undefined;
  started: boolean;
  retries: number;
}

export const LOOKUP_LAG_MS = 2_000;

/** A young job may not be listed yet; it depends on nothing but its age, so a history is repeatable. */
export function isOldEnough(job: Pick<SimulatedJob, "createdMs">, nowMs: number): boolean {
  return nowMs - job.createdMs > LOOKUP_LAG_MS / 2;
}

export function jobsOf(
  process: Process,
  scheduler: Scheduler,
  jobs: SimulatedJob[],
  nowMs: () => number,
  end: (job: SimulatedJob) => void,
): Jobs {
  const view = ({ id, name, state, createdMs, startedMs, stoppedMs }: SimulatedJob): Job => ({
    id,
    name,
    state,
    createdMs,
    ...(startedMs === undefined ? {} : { startedMs }),
    ...(stoppedMs === undefined ? {} : { stoppedMs }),
  });
  const isListed = (job: SimulatedJob): boolean => isOldEnough(job, nowMs());
  return {
    lookupLagMs: LOOKUP_LAG_MS,
    submit: ({ name, planKey, attempt }) =>
      scheduler.call(process, `submit ${name}`, true, async () => {
        const id = `job-${jobs.length}`;
        jobs.push({
          id,
          name,
          planKey,
          attempt,
          createdMs: nowMs(),
          state: "waiting",
          container: undefined,
          started: false,
          retries: 0,
        });
        return { outcome: "submitted" as const, id };
      }),
    describe: (ids) =>
      scheduler.call(process, "describe", false, async () =>
        jobs.filter((job) => ids.includes(job.id) && isListed(job)).map(view),
      ),
    findByName: (name) =>
      scheduler.call(process, "findByName", false, async () =>
        jobs.filter((job) => job.name === name && isListed(job)).map(view),
      ),
    terminate: (id) =>
      scheduler.call(process, "terminate", false, async () => {
        const job = jobs.find((one) => one.id === id);
        if (job !== undefined) end(job);
      }),
  };
}

export function ticksOf(ask: (tick: Parameters<Ticks["ask"]>[0], delayMs: number) => void): Ticks {
  return { ask: async (tick, delayMs) => ask(tick, delayMs) };
}

/** The programs on the adapters that AWS gets, with AWS in memory behind them: what each of them really asks for. */
import { openBatchJobs } from "../../adapters/batch-jobs.ts";
import { openMemoryStore, type MemoryStore } from "../../adapters/memory-store.ts";
import { openS3Items } from "../../adapters/s3-items.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { openSnsNotices } from "../../adapters/sns-notices.ts";
import { openSqsTicks } from "../../adapters/sqs-ticks.ts";
import type { Role } from "../../infra/policies.ts";
import type { Items, Jobs, Notify, Store, Ticks } from "../../protocol/ports.ts";
import * as api from "../simulation/under-test.ts";
import { runHistory, type History, type Through } from "../simulation/world.ts";
import { batchClient, s3Client, snsClient, sqsClient, type Recorded } from "./memory-aws.ts";
import { ACCOUNT, DATA, JOB_QUEUES, NAMES, PIPELINE, STATE, TICKS_URL } from "./place.ts";

/** Ports for each role, whose calls are recorded. */
export class Recorder {
  readonly calls: Recorded[] = [];
  readonly #beside: Promise<unknown>[] = [];

  /** @param memory what the pipeline's part of the state bucket has */
  store(role: Role, memory: MemoryStore): Store {
    const client = s3Client(role, this.calls, { [STATE]: { store: memory, prefix: `${PIPELINE}/` } });
    return openS3Store({ client, bucket: STATE, prefix: PIPELINE, owner: ACCOUNT });
  }

  /** @param data what the data bucket has @param forbidden keys that S3 refuses */
  items(role: Role, data: MemoryStore, forbidden: ReadonlySet<string> = new Set()): Items {
    const client = s3Client(role, this.calls, { [DATA]: { store: data, prefix: "", forbidden } });
    return openS3Items({ client, bucket: DATA, owner: ACCOUNT });
  }

  /** Answers as `jobs` does; the adapter's own calls are made beside that. */
  jobs(role: Role, jobs: Jobs): Jobs {
    const client = batchClient(role, this.calls, (command) =>
      command === "SubmitJob" ? { jobId: "1", jobName: "" } : { jobs: [], jobSummaryList: [] },
    );
    const [queue, onDemandQueue] = JOB_QUEUES;
    const adapter = openBatchJobs({ client, queue, onDemandQueue });
    return {
      lookupLagMs: jobs.lookupLagMs,
      submit: (request) => {
        // where the plan comes from nothing is known of Batch
        const defined = { ...request, jobDefinition: `${NAMES.jobDefinition}:1` };
        this.#aside(adapter.submit(defined));
        this.#aside(adapter.submit({ ...defined, onDemand: true }));
        return jobs.submit(request);
      },
      describe: (ids) => {
        this.#aside(adapter.describe(ids));
        return jobs.describe(ids);
      },
      findByName: (name) => {
        this.#aside(adapter.findByName(name));
        return jobs.findByName(name);
      },
      terminate: (id, reason) => {
        this.#aside(adapter.terminate(id, reason));
        return jobs.terminate(id, reason);
      },
    };
  }

  ticks(role: Role, ticks: Ticks): Ticks {
    const adapter = openSqsTicks({ client: sqsClient(role, this.calls), url: TICKS_URL, nowMs: () => 0 });
    return {
      ask: (tick, delayMs) => {
        this.#aside(adapter.ask(tick, delayMs));
        return ticks.ask(tick, delayMs);
      },
    };
  }

  notify(role: Role): Notify {
    const onRefused = (error: string): void => {
      throw new Error(error);
    };
    const client = snsClient(role, this.calls);
    const adapter = openSnsNotices({ client, topic: NAMES.topic!, nowMs: () => 0, onRefused });
    return { notify: async (notice) => this.#aside(adapter.notify(notice)) };
  }

  /** All of them, once what is under way has ended. */
  async settled(): Promise<readonly Recorded[]> {
    await Promise.all(this.#beside);
    return this.calls;
  }

  #aside(work: Promise<unknown>): void {
    this.#beside.push(work);
  }
}

/** Whose role a process of the simulation has. */
function roleOf(process: string): Role {
  const [what = ""] = process.split(" ");
  if (what === "intake" || what === "trainer") return what;
  if (what === "tick" || what === "sweep" || what === "janitor") return "ledger";
  if (["rollback", "promote", "drop"].includes(what)) return "operator";
  throw new Error(`${process}: whose role is that?`);
}

/** A history of the simulation, its store behind S3. */
export async function recordHistory(seed: number): Promise<{ history: History; calls: readonly Recorded[] }> {
  const recorder = new Recorder();
  const data = openMemoryStore({ nowMs: () => 0 });
  const through: Through = {
    store: (process, memory) => recorder.store(roleOf(process), memory),
    items: (process, items) => {
      const adapter = recorder.items(roleOf(process), data);
      return {
        ...items,
        list: async (prefix, next) => {
          await adapter.list(prefix, next);
          return items.list(prefix, next);
        },
      };
    },
    jobs: (process, jobs) => recorder.jobs(roleOf(process), jobs),
    ticks: (process, ticks) => recorder.ticks(roleOf(process), ticks),
    notify: (process) => recorder.notify(roleOf(process)),
  };
  const history = await runHistory(seed, api, {}, through);
  return { history, calls: await recorder.settled() };
}

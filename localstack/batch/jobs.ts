/** The life of jobs: from the queue to a machine, to their end, and to another attempt. What is decided is in decide.ts. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setLongTimeout, type LongTimeout } from "../../adapters/long-timeout.ts";
import { messageOf } from "../../protocol/errors.ts";
import { isRetried, placeFor, sum, type Resources as Needs } from "./decide.ts";
import type { Events } from "./events.ts";
import { isWaiting } from "./job-calls.ts";
import { hasEnded, type Attempt, type Ending, type JobRecord, type Task } from "./job-record.ts";
import { eventDetail } from "./job-view.ts";
import type { Tables } from "./journal.ts";
import type { Logs } from "./logs.ts";
import { clusterArn } from "./resources.ts";
import { LOG, TaskNotStarted, type RunningTask, type Runner, type TaskEnd, type TaskRequest } from "./runner.ts";
import type { Environment, Queue } from "./schemas.ts";
import { isFargate, resourcesOf } from "./validate.ts";

const ENDED = "Essential container in task exited";
const NOT_STARTED = "Task failed to start";
const TIME_IS_OVER = "Job attempt duration exceeded timeout";
const DEFAULT_GROUP = "/aws/batch/job";

export interface JobsOptions {
  readonly tables: Tables;
  readonly runner: Runner;
  /** none: nobody is told */
  readonly events: Events | undefined;
  /** none: what jobs write stays in the folder */
  readonly logs: Logs | undefined;
  /** of the attempts */
  readonly folder: string;
  /** of every job, besides what its definition says */
  readonly env: Readonly<Record<string, string>>;
  /** of the machine that they all run on in truth */
  readonly host: Needs;
  /** between SIGTERM and SIGKILL */
  readonly graceMs: number;
  /** how long a second of a time-out or of a queue's limit lasts */
  readonly secondMs: number;
}

export class Jobs {
  readonly #options: JobsOptions;
  readonly #running = new Map<string, RunningTask>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #timers = new Map<string, LongTimeout>();
  #isClosed = false;

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Takes a new job. */
  add(job: JobRecord): void {
    // the service makes no event of the submission itself
    this.#options.tables.jobs.set(job.jobId, job);
    setImmediate(() => this.#queued(job.jobId));
  }

  /** Goes on from what a server that has ended has left. */
  recover(): void {
    for (const job of this.#options.tables.jobs.all()) {
      const { jobId, task, status } = job;
      if (status === "SUBMITTED") setImmediate(() => this.#queued(jobId));
      else if (status === "STARTING" && task?.handle?.kind !== "container")
        // it never began: a process waits for a word that nobody can say any more
        this.#change(job, { status: "RUNNABLE", task: undefined });
      else if (task?.handle !== undefined && !hasEnded(job)) {
        const { handle } = task;
        const request = this.#request(job, task);
        if (status === "STARTING") this.#change(job, { status: "RUNNING", startedAt: Date.now() });
        this.#goOn(jobId, this.#options.runner.resume(request, handle), request);
      }
    }
    this.schedule();
  }

  #queued(jobId: string): void {
    const job = this.#options.tables.jobs.get(jobId);
    if (job?.status !== "SUBMITTED" || this.#isClosed) return;
    this.#change(job, { status: "RUNNABLE" });
    this.schedule();
  }

  /** Starts what can be started: queues by priority, and in each the oldest first; one that can't start blocks those behind it. */
  schedule(): void {
    if (this.#isClosed) return;
    const { queues, jobs } = this.#options.tables;
    for (const queue of queues.all().toSorted((a, b) => b.priority - a.priority)) {
      const waiting = jobs.all().filter((job) => job.jobQueue === queue.arn && job.status === "RUNNABLE");
      let reason: string | undefined;
      const blocked = waiting.find((job) => {
        const placement = this.#place(job, queue);
        if (placement.at === undefined) {
          reason = placement.reason;
          return true;
        }
        this.#start(job, queue, placement.at);
        return false;
      });
      this.#block(queue, blocked, reason);
    }
  }

  #place(job: JobRecord, queue: Queue): ReturnType<typeof placeFor> {
    const { environments, jobs } = this.#options.tables;
    const started = jobs.all().filter((one) => one.task !== undefined && !hasEnded(one));
    const used = (some: readonly JobRecord[]): Needs => sum(some.map(({ container }) => resourcesOf(container)));
    const places = queue.computeEnvironmentOrder
      .flatMap(({ computeEnvironment }) => environments.get(computeEnvironment) ?? [])
      .filter(({ state }) => state === "ENABLED")
      .map(({ arn, computeResources, exhausted }) => ({
        arn,
        maxVcpus: computeResources.maxvCpus,
        usedVcpus: used(started.filter(({ task }) => task?.environment === arn)).vcpus,
        exhausted,
      }));
    return placeFor(resourcesOf(job.container), places, { has: this.#options.host, used: used(started) });
  }

  /** Why the head of a queue can't start is said of it; a limit of the queue may end it for that. */
  #block(queue: Queue, job: JobRecord | undefined, reason: string | undefined): void {
    this.#timers.get(queue.arn)?.cancel();
    this.#timers.delete(queue.arn);
    if (job === undefined) return;
    const blocked =
      reason === undefined ? undefined : job.blocked?.reason === reason ? job.blocked : { reason, sinceMs: Date.now() };
    if (job.blocked?.reason !== reason) this.#change(job, { blocked, statusReason: reason });
    const limit = queue.jobStateTimeLimitActions.find((one) => reason?.startsWith(one.reason));
    if (blocked === undefined || limit === undefined) return;
    const leftMs = blocked.sinceMs + limit.maxTimeSeconds * this.#options.secondMs - Date.now();
    const cancel = (): void => {
      const now = this.#options.tables.jobs.get(job.jobId);
      if (now?.status === "RUNNABLE")
        this.#end(now, { isCancelled: true }, `Canceled by JobStateTimeLimit action due to reason: ${limit.reason}`);
    };
    this.#timers.set(queue.arn, setLongTimeout(cancel, Math.max(0, leftMs)));
  }

  #start(job: JobRecord, queue: Queue, arn: string): void {
    const environment = this.#options.tables.environments.get(arn)!;
    const task = newTask(environment, job);
    const starting = this.#change(job, { status: "STARTING", task, blocked: undefined, statusReason: undefined });
    const request = this.#request(starting, task, queue);
    this.#goOn(job.jobId, this.#begin(job.jobId, request), request);
  }

  async #begin(jobId: string, request: TaskRequest): Promise<RunningTask | undefined> {
    mkdirSync(request.folder, { recursive: true });
    const prepared = await this.#options.runner.prepare(request);
    const job = this.#options.tables.jobs.get(jobId)!;
    const { task } = job;
    if (task?.id !== request.id || task.ending !== undefined || this.#isClosed) {
      await prepared.discard();
      return undefined;
    }
    this.#change(job, { status: "RUNNING", startedAt: Date.now(), task: { ...task, handle: prepared.handle } });
    return prepared.begin();
  }

  /** Follows a task to its end. */
  #goOn(jobId: string, began: Promise<RunningTask | undefined>, request: TaskRequest): void {
    const follow = async (): Promise<void> => {
      let end: TaskEnd;
      try {
        const running = await began;
        end = running === undefined ? {} : await this.#toItsEnd(jobId, running, request);
      } catch (error) {
        // a full disk, say: the server goes on
        end = {
          reason: error instanceof TaskNotStarted ? error.message : `CannotStartContainerError: ${messageOf(error)}`,
        };
      }
      if (!this.#isClosed) this.#ended(jobId, end);
    };
    const following = follow().finally(() => this.#underWay.delete(following));
    this.#underWay.add(following);
  }

  async #toItsEnd(jobId: string, running: RunningTask, request: TaskRequest): Promise<TaskEnd> {
    const job = this.#options.tables.jobs.get(jobId)!;
    this.#running.set(jobId, running);
    const stream = streamOf(job);
    const log = stream && this.#options.logs?.follow(join(request.folder, LOG), stream);
    try {
      if (this.#isClosed) await running.signal("SIGKILL");
      else if (job.task?.ending !== undefined) await this.#stop(jobId, job.task.ending);
      else this.#limit(job);
      return await running.ended;
    } finally {
      this.#running.delete(jobId);
      this.#timers.get(jobId)?.cancel();
      this.#timers.delete(jobId);
      await log?.finish();
    }
  }

  #limit({ jobId, timeout, startedAt = 0 }: JobRecord): void {
    const seconds = timeout?.attemptDurationSeconds;
    if (seconds === undefined) return;
    const leftMs = startedAt + seconds * this.#options.secondMs - Date.now();
    const end = (): void => this.#stopAs(jobId, { by: "timeout", reason: TIME_IS_OVER, atMs: Date.now() });
    this.#timers.set(jobId, setLongTimeout(end, Math.max(0, leftMs)));
  }

  #stopAs(jobId: string, ending: Ending): void {
    const job = this.#options.tables.jobs.get(jobId);
    if (job?.task === undefined || hasEnded(job)) return;
    const before = job.task.ending;
    // who calls a job off has the last word, and the first who does
    if (before !== undefined && (ending.by !== "terminate" || before.by === "terminate")) return;
    const kept = before === undefined ? ending : { ...ending, atMs: before.atMs };
    this.#change(job, {
      task: { ...job.task, ending: kept },
      isTerminated: job.isTerminated || ending.by === "terminate",
    });
    if (before === undefined && this.#running.has(jobId)) void this.#stop(jobId, kept);
  }

  async #stop(jobId: string, { atMs }: Ending): Promise<void> {
    const running = this.#running.get(jobId);
    this.#timers.get(jobId)?.cancel();
    const kill = (): void => void running?.signal("SIGKILL");
    this.#timers.set(jobId, setLongTimeout(kill, Math.max(0, atMs + this.#options.graceMs - Date.now())));
    await running?.signal("SIGTERM");
  }

  #ended(jobId: string, { exitCode, reason, lost }: TaskEnd): void {
    const job = this.#options.tables.jobs.get(jobId)!;
    const { task, status } = job;
    if (task === undefined) return;
    const host = lost === true || task.ending?.by === "host";
    const hasRun = status === "RUNNING" && reason?.startsWith("Cannot") !== true;
    const statusReason = host
      ? task.hostLost
      : task.ending?.by === "timeout"
        ? TIME_IS_OVER
        : hasRun
          ? ENDED
          : NOT_STARTED;
    const attempt: Attempt = {
      task,
      ...(hasRun ? { startedAt: job.startedAt } : {}),
      stoppedAt: Date.now(),
      // the machine that knew it is gone
      ...(host ? {} : { exitCode, reason }),
      statusReason,
    };
    const attempts = [...job.attempts, attempt];
    const ended = {
      attempts,
      task: undefined,
      statusReason: task.ending?.by === "terminate" ? task.ending.reason : statusReason,
    };
    const mayRetry = task.ending === undefined || task.ending.by === "host";
    if (task.ending === undefined && exitCode === 0 && !host)
      this.#change(job, { ...ended, status: "SUCCEEDED", stoppedAt: attempt.stoppedAt });
    else if (mayRetry && isRetried(job.retryStrategy, attempts.length, attempt))
      this.#change(job, { ...ended, status: "RUNNABLE" });
    else this.#change(job, { ...ended, status: "FAILED", stoppedAt: attempt.stoppedAt });
    this.schedule();
  }

  /** Ends a job, wherever it is; nothing if it has ended. */
  terminate(job: JobRecord, reason: string): void {
    if (isWaiting(job)) this.#end(job, { isTerminated: true }, reason);
    else this.#stopAs(job.jobId, { by: "terminate", reason, atMs: Date.now() });
  }

  /** Ends a job that hasn't started; nothing if it has. */
  cancel(job: JobRecord, reason: string): void {
    if (isWaiting(job)) this.#end(job, { isCancelled: true }, reason);
  }

  /** Takes away the machine that a job runs on, as spot does; false if there is none. */
  reclaim({ jobId, task, status }: JobRecord): boolean {
    if (task === undefined || status !== "RUNNING" || task.ending !== undefined) return false;
    this.#stopAs(jobId, { by: "host", reason: task.hostLost, atMs: Date.now() });
    return true;
  }

  #end(job: JobRecord, how: Partial<JobRecord>, statusReason: string): void {
    this.#change(job, { ...how, status: "FAILED", statusReason, stoppedAt: Date.now(), blocked: undefined });
    this.schedule();
  }

  /** Ends what runs, at once, and writes nothing of it down: another server finds that its machines are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    await Promise.all([...this.#running.values()].map((task) => task.signal("SIGKILL")));
    await Promise.all(this.#underWay);
  }

  #change(job: JobRecord, changes: Partial<JobRecord>): JobRecord {
    const changed = { ...job, ...changes };
    this.#options.tables.jobs.set(job.jobId, changed);
    if (changes.status !== undefined)
      this.#options.events?.tell({ jobArn: job.jobArn, timeMs: Date.now(), detail: eventDetail(changed) });
    return changed;
  }

  #request(job: JobRecord, task: Task, queue?: Queue): TaskRequest {
    const named = (arn: string): string => arn.slice(arn.lastIndexOf("/") + 1);
    const own = (job.container.environment ?? []).map(({ name = "", value = "" }) => [name, value]);
    return {
      id: task.id,
      folder: join(this.#options.folder, task.id),
      container: job.container,
      environment: {
        ...this.#options.env,
        ...Object.fromEntries(own),
        AWS_BATCH_JOB_ID: job.jobId,
        AWS_BATCH_JOB_ATTEMPT: String(job.attempts.length + 1),
        AWS_BATCH_CE_NAME: named(task.environment),
        AWS_BATCH_JQ_NAME: queue?.name ?? named(job.jobQueue),
      },
    };
  }
}

function newTask({ arn, name, uuid, computeResources }: Environment, job: JobRecord): Task {
  const id = randomBytes(16).toString("hex");
  const cluster = clusterArn(uuid, name, arn);
  const at = (kind: string, id: string): string => `${cluster.replace(":cluster/", `:${kind}/`)}/${id}`;
  const fargate = isFargate(computeResources.type);
  const definition = job.jobDefinition.slice(job.jobDefinition.indexOf("/") + 1).replace(/:\d+$/, "");
  const prefix = job.container.logConfiguration?.options?.["awslogs-stream-prefix"] ?? definition;
  const instance = randomBytes(9).toString("hex").slice(1);
  return {
    id,
    environment: arn,
    taskArn: at("task", id),
    ...(fargate ? {} : { containerInstanceArn: at("container-instance", randomBytes(16).toString("hex")) }),
    hostLost: fargate ? "Your Spot Task was interrupted." : `Host EC2 (instance i-${instance}) terminated.`,
    logStreamName: `${prefix}/default/${id}`,
  };
}

/** undefined: not to CloudWatch Logs */
function streamOf({ container, task }: JobRecord): Parameters<Logs["follow"]>[1] | undefined {
  const { logDriver = "awslogs", options = {} } = container.logConfiguration ?? {};
  if (logDriver !== "awslogs" || task === undefined) return undefined;
  const group = options["awslogs-group"] ?? DEFAULT_GROUP;
  const createGroup = group === DEFAULT_GROUP || options["awslogs-create-group"] === "true";
  return { group, stream: task.logStreamName, createGroup };
}

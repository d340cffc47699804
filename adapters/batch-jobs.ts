/** Jobs of AWS Batch. */
import {
  DescribeJobsCommand,
  ListJobsCommand,
  SubmitJobCommand,
  TerminateJobCommand,
  type BatchClient,
  type JobDetail,
} from "@aws-sdk/client-batch";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Job, JobRequest, Jobs, JobState } from "../protocol/ports.ts";
import { awsFault, isRefusedForGood, isSurelyNotSent, once } from "./aws-client.ts";

/** Jobs that one DescribeJobs takes. */
const DESCRIBED_MAX = 100;
const REASON_MAX = 1_024;
/** Batch ends no job sooner. */
const TIME_LIMIT_SECONDS_MIN = 60;
/** What Batch says where a spot machine was taken back, or any machine broke. */
const HOST_LOST = /^(Host EC2|Your Spot Task was interrupted)/;
/** ... and where its container never began. */
const NEVER_RAN = /^(Cannot|ResourceInitializationError|Task failed to start)/;
/** ... and where it has ended, whatever made it: not of a job that was terminated, or whose time was over. */
const ENDED_BY_ITSELF = /^Essential container in task exited/;
/** How a job ends on SIGTERM: in the first moments of the container's init, and by the trainer. A hang ends with 75, too: it can't be told from that. */
const SIGTERM_EXITS: ReadonlySet<number | undefined> = new Set([143, 75]);
/** What ends a job ends its container within this; a job that ends later has waited for another machine. */
const SAME_END_MS = 300_000;
const JOB_ID = /^[A-Za-z0-9:#_-]{1,256}$/;

const STATES: Readonly<Record<string, JobState>> = {
  SUBMITTED: "waiting",
  PENDING: "waiting",
  RUNNABLE: "waiting",
  STARTING: "waiting",
  RUNNING: "running",
  SUCCEEDED: "succeeded",
  FAILED: "failed",
};

export interface BatchJobsOptions {
  readonly client: BatchClient;
  /** name or ARN */
  readonly queue: string;
  /** of machines that nobody takes back; "": there is no other queue */
  readonly onDemandQueue: string;
}

export function openBatchJobs({ client, queue, onDemandQueue }: BatchJobsOptions): Jobs {
  const queues = onDemandQueue === "" ? [queue] : [queue, onDemandQueue];

  async function describe(ids: readonly string[]): Promise<Job[]> {
    const asked = [...new Set(ids)].filter((id) => JOB_ID.test(id));
    const found: Job[] = [];
    for (let from = 0; from < asked.length; from += DESCRIBED_MAX) {
      const some = asked.slice(from, from + DESCRIBED_MAX);
      const { jobs = [] } = await client.send(new DescribeJobsCommand({ jobs: some }));
      found.push(...jobs.map(jobOf));
    }
    return found;
  }

  async function listByName(jobQueue: string, name: string): Promise<string[]> {
    const ids: string[] = [];
    for (let nextToken: string | undefined; ;) {
      const filters = [{ name: "JOB_NAME", values: [name] }];
      const page = await client.send(new ListJobsCommand({ jobQueue, filters, nextToken }));
      // Batch compares without case
      for (const { jobId, jobName } of page.jobSummaryList ?? [])
        if (jobId !== undefined && jobName === name) ids.push(jobId);
      nextToken = page.nextToken;
      if (nextToken === undefined) return ids;
    }
  }

  return {
    submit: (request) => submit(client, request.onDemand && onDemandQueue !== "" ? onDemandQueue : queue, request),
    describe,
    async findByName(name) {
      const ids: string[] = [];
      for (const each of queues) ids.push(...(await listByName(each, name)));
      return describe(ids);
    },
    async terminate(id, reason) {
      if (!JOB_ID.test(id)) return;
      try {
        await client.send(new TerminateJobCommand({ jobId: id, reason: reason.slice(0, REASON_MAX) }));
      } catch (error) {
        // of a job that Batch does not know, or has forgotten
        if (awsFault(error)?.name !== "ClientException" || (await describe([id])).length > 0) throw error;
      }
    },
    lookupLagMs: 600_000,
  };
}

/** @throws {AccreteError} JOB_REFUSED, JOB_NOT_SUBMITTED: in both cases no job was started */
async function submit(
  client: BatchClient,
  jobQueue: string,
  { name, planKey, attempt, timeLimitMs, mayRestart, jobDefinition }: JobRequest,
): Promise<Awaited<ReturnType<Jobs["submit"]>>> {
  if (jobDefinition === null)
    throw new AccreteError("JOB_REFUSED", `job ${name}: its plan was made where there is no AWS Batch`);
  const command = new SubmitJobCommand({
    jobName: name,
    jobQueue,
    jobDefinition,
    containerOverrides: {
      environment: [
        { name: "ACCRETE_PLAN", value: planKey },
        { name: "ACCRETE_ATTEMPT", value: String(attempt) },
      ],
    },
    timeout: { attemptDurationSeconds: Math.max(TIME_LIMIT_SECONDS_MIN, Math.ceil(timeLimitMs / 1_000)) },
    // else as the job definition says; the time-out is each start's own
    ...(mayRestart ? {} : { retryStrategy: { attempts: 1 } }),
  });
  try {
    const { jobId } = await client.send(once(command, { isRefused: isSurelyNotSent }));
    return jobId === undefined ? { outcome: "unknown" } : { outcome: "submitted", id: jobId };
  } catch (cause) {
    const said = `AWS Batch does not take job ${name}: ${awsFault(cause)?.name ?? "error"}: ${messageOf(cause)}`;
    if (isSurelyNotSent(cause)) throw new AccreteError("JOB_NOT_SUBMITTED", said, { cause });
    if (isRefusedForGood(cause)) throw new AccreteError("JOB_REFUSED", said, { cause });
    if (awsFault(cause) === undefined) throw cause;
    return { outcome: "unknown" };
  }
}

function jobOf(job: JobDetail): Job {
  const state = STATES[job.status ?? ""] ?? "waiting";
  const attempts = job.attempts ?? [];
  const last = attempts.at(-1);
  const hasStopped = state === "succeeded" || state === "failed";
  const statusReason = job.statusReason ?? last?.statusReason;
  const container = { ...last?.container, ...job.container };
  // of Batch's own attempts the first: all of them are paid for
  const startedMs = Math.min(
    ...[job, ...attempts].filter(hasRun).map(({ startedAt }) => timeOf(startedAt) ?? Infinity),
  );
  const stoppedMs = timeOf(job.stoppedAt) ?? timeOf(last?.stoppedAt);
  const { exitCode, logStreamName, reason } = container;
  const said = [...new Set([statusReason, reason])].filter((text) => text !== undefined && text !== "").join(": ");
  return {
    id: job.jobId ?? "",
    name: job.jobName ?? "",
    state,
    createdMs: waitsSinceMs(job, state),
    ...(startedMs === Infinity ? {} : { startedMs }),
    ...(hasStopped && stoppedMs !== undefined ? { stoppedMs } : {}),
    ...(hasStopped && exitCode !== undefined ? { exitCode } : {}),
    ...(hasStopped && said !== "" ? { reason: said } : {}),
    ...(state === "failed" && hasLostHost(job) ? { hostLost: true } : {}),
    ...(logStreamName === undefined ? {} : { log: logStreamName }),
  };
}

/** A job that Batch has put back into its queue, its machine being lost, waits since then: its patience begins anew. */
function waitsSinceMs(job: JobDetail, state: JobState): number {
  const createdMs = timeOf(job.createdAt) ?? 0;
  const lastMs = timeOf(job.attempts?.at(-1)?.stoppedAt);
  return state === "waiting" && lastMs !== undefined ? Math.max(createdMs, lastMs) : createdMs;
}

/**
 * In any of the starts that Batch itself has made. On a spot notice the machine sends its container SIGTERM, and the trainer may have
 * ended before Batch sees that the machine is gone: then that end is all there is to see.
 */
function hasLostHost(job: JobDetail): boolean {
  const attempts = job.attempts ?? [];
  const last = attempts.at(-1);
  // why a job was terminated is said of the job, and not surely of its last start
  const final = { container: { ...last?.container, ...job.container }, statusReason: job.statusReason };
  const hasWaitedAgain = (timeOf(job.stoppedAt) ?? 0) - (timeOf(last?.stoppedAt) ?? Infinity) > SAME_END_MS;
  const before = hasWaitedAgain ? attempts : attempts.slice(0, -1);
  return (
    [job, ...attempts].some(({ statusReason = "" }) => HOST_LOST.test(statusReason)) ||
    [final, ...before].some(
      ({ container, statusReason = "" }) =>
        SIGTERM_EXITS.has(container?.exitCode) && ENDED_BY_ITSELF.test(statusReason),
    )
  );
}

/** Of a job whose image could not be pulled Batch may say when it was about to start. */
function hasRun({ container, statusReason }: Pick<JobDetail, "container" | "statusReason">): boolean {
  if (container?.exitCode !== undefined) return true;
  return !NEVER_RAN.test(container?.reason ?? "") && !NEVER_RAN.test(statusReason ?? "");
}

/** Batch has 0 where it has no time. */
function timeOf(ms: number | undefined): number | undefined {
  return ms === undefined || ms <= 0 ? undefined : ms;
}

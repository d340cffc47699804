/** A job as the service shows it: in DescribeJobs, in ListJobs, and in the events of its changes. */
import { hasEnded, type JobRecord, type Task } from "./job-record.ts";
import type { ContainerProperties } from "./schemas.ts";

interface Details {
  readonly task: Task | undefined;
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
}

/** JobDetail. There is no time where it hasn't begun: the service has 0 there. */
export function jobDetail(job: JobRecord): object {
  return { ...eventDetail(job), startedAt: job.startedAt ?? 0, tags: job.tags };
}

/** As the service's document has it in its example: tags hold the ARN, too. */
export function eventDetail(job: JobRecord): object {
  const { jobArn, jobName, jobId, jobQueue, jobDefinition, status, statusReason, createdAt, startedAt, stoppedAt } =
    job;
  const { parameters, retryStrategy, timeout, propagateTags, platformCapabilities, isCancelled, isTerminated } = job;
  return defined({
    jobArn,
    jobName,
    jobId,
    jobQueue,
    status,
    attempts: job.attempts.map(({ startedAt, stoppedAt, statusReason, ...details }) =>
      defined({ container: attemptContainer(details), startedAt, stoppedAt, statusReason }),
    ),
    statusReason,
    createdAt,
    retryStrategy: { attempts: 1, ...retryStrategy, evaluateOnExit: retryStrategy.evaluateOnExit ?? [] },
    startedAt,
    stoppedAt,
    dependsOn: [],
    jobDefinition,
    parameters,
    container: container(job),
    timeout,
    tags: { resourceArn: jobArn, ...job.tags },
    propagateTags,
    platformCapabilities,
    isCancelled,
    isTerminated,
  });
}

/** JobSummary. */
export function jobSummary(job: JobRecord): object {
  const { jobArn, jobId, jobName, createdAt, status, statusReason, startedAt, stoppedAt, jobDefinition } = job;
  const { exitCode, reason } = latest(job);
  return defined({
    jobArn,
    jobId,
    jobName,
    createdAt,
    status,
    statusReason,
    startedAt,
    stoppedAt,
    container: defined({ exitCode, reason }),
    jobDefinition,
    isCancelled: job.isCancelled || undefined,
    isTerminated: job.isTerminated || undefined,
  });
}

function container(job: JobRecord): object {
  const { container, platformCapabilities } = job;
  return { ...shownContainer(container, platformCapabilities), ...attemptContainer(latest(job)) };
}

/** The service says of each of these that there are none, and which platform is meant where none was named. */
export function shownContainer(container: ContainerProperties, platformCapabilities: readonly string[] = []): object {
  return {
    command: [],
    volumes: [],
    environment: [],
    mountPoints: [],
    ulimits: [],
    resourceRequirements: [],
    secrets: [],
    ...(platformCapabilities[0] === "FARGATE" ? { fargatePlatformConfiguration: { platformVersion: "LATEST" } } : {}),
    ...container,
  };
}

/** Of the attempt that is under way, or of the last one. */
function latest(job: JobRecord): Details {
  if (!hasEnded(job) && job.task !== undefined) return { task: job.task };
  return job.attempts.at(-1) ?? { task: undefined };
}

function attemptContainer({ task, exitCode, reason }: Details): object {
  const { containerInstanceArn, taskArn, logStreamName } = task ?? {};
  return defined({ containerInstanceArn, taskArn, exitCode, reason, logStreamName, networkInterfaces: [] });
}

/** Without what isn't known: the service leaves it out. */
function defined(members: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** SubmitJob, DescribeJobs and ListJobs. */
import { randomUUID } from "node:crypto";
import type * as z from "zod/mini";
import { hasEnded, type JobRecord } from "./job-record.ts";
import { jobDetail, jobSummary } from "./job-view.ts";
import type { Tables } from "./journal.ts";
import { pageOf } from "./pages.ts";
import type { ArnOf, Resources } from "./resources.ts";
import type * as schemas from "./schemas.ts";
import type { ContainerOverrides, ContainerProperties, ListJobs } from "./schemas.ts";
import {
  check,
  checkContainer,
  checkEnvironment,
  checkName,
  checkRetryStrategy,
  checkTags,
  checkTimeout,
} from "./validate.ts";

const DESCRIBED_MAX = 100;
const LISTED_MAX = 1_000;
const FILTERED_MAX = 100;

interface Known {
  readonly tables: Tables;
  readonly resources: Resources;
  readonly arnOf: ArnOf;
}

/** The job as it is kept at first. */
export function newJob({ tables, resources, arnOf }: Known, request: schemas.SubmitJob): JobRecord {
  checkName("jobName", request.jobName);
  checkTags(request.tags);
  checkRetryStrategy(request.retryStrategy);
  checkTimeout(request.timeout);
  checkEnvironment(request.containerOverrides?.environment);
  const definition = resources.activeDefinition(request.jobDefinition);
  const queue = resources.queue(request.jobQueue);
  check(queue.state === "ENABLED", `JobQueue ${queue.name} is not ENABLED`);
  const parameters = { ...definition.parameters, ...request.parameters };
  const container = overridden(definition.containerProperties ?? {}, request.containerOverrides ?? {}, parameters);
  const platformCapabilities = definition.platformCapabilities ?? [];
  checkContainer(container, platformCapabilities[0] === "FARGATE");
  const jobId = randomUUID();
  return {
    seq: (tables.jobs.all().at(-1)?.seq ?? 0) + 1,
    jobId,
    jobName: request.jobName,
    jobArn: arnOf("job", jobId),
    jobQueue: queue.arn,
    jobDefinition: definition.arn,
    status: "SUBMITTED",
    createdAt: Date.now(),
    isCancelled: false,
    isTerminated: false,
    parameters,
    retryStrategy: request.retryStrategy ?? definition.retryStrategy ?? { attempts: 1 },
    timeout: request.timeout ?? definition.timeout,
    propagateTags: request.propagateTags ?? definition.propagateTags ?? false,
    platformCapabilities,
    tags: request.tags ?? {},
    container,
    attempts: [],
  };
}

/** What a call says counts more, name by name; a word `Ref::name` is a parameter. */
function overridden(
  container: ContainerProperties,
  overrides: ContainerOverrides,
  parameters: Readonly<Record<string, string>>,
): ContainerProperties {
  const environment = new Map(
    [...(container.environment ?? []), ...(overrides.environment ?? [])].map((one) => [one.name, one]),
  );
  const requirements = new Map(
    [...(container.resourceRequirements ?? []), ...(overrides.resourceRequirements ?? [])].map((one) => [
      one.type,
      one,
    ]),
  );
  const { command = container.command, vcpus = container.vcpus, memory = container.memory } = overrides;
  return {
    ...container,
    vcpus,
    memory,
    command: (command ?? []).map((word) => (word.startsWith("Ref::") ? (parameters[word.slice(5)] ?? word) : word)),
    environment: [...environment.values()],
    resourceRequirements: [...requirements.values()],
  };
}

/** Those that are known. */
export function describeJobs({ tables }: Known, { jobs: ids }: z.output<typeof schemas.DescribeJobs>): object {
  check(ids.length <= DESCRIBED_MAX, `jobs: at most ${DESCRIBED_MAX}`);
  return { jobs: ids.flatMap((id) => tables.jobs.get(id) ?? []).map(jobDetail) };
}

/** The newest first. */
export function listJobs({ tables, resources }: Known, request: ListJobs): object {
  const { jobQueue, filters = [], jobStatus = "RUNNING" } = request;
  check(jobQueue !== undefined, "jobQueue is required");
  check(filters.length <= 1, "filters: one at a time");
  const { arn } = resources.queue(jobQueue);
  const [filter] = filters;
  const isMeant = filter === undefined ? (job: JobRecord) => job.status === jobStatus : matcher(filter);
  const found = tables.jobs
    .all()
    .filter((job) => job.jobQueue === arn && isMeant(job))
    .toReversed();
  const most = filter === undefined ? LISTED_MAX : FILTERED_MAX;
  const { rows, ...next } = pageOf(found, ({ seq }) => String(seq), request, most);
  return { jobSummaryList: rows.map(jobSummary), ...next };
}

function matcher({ name, values = [] }: NonNullable<ListJobs["filters"]>[number]): (job: JobRecord) => boolean {
  check(values.length === 1, `filters: ${name}: one value`);
  const value = values[0] ?? "";
  // the service compares without case
  const like = (text: string): boolean => {
    const [wanted, found] = [value.toLowerCase(), text.toLowerCase()];
    return wanted.endsWith("*") ? found.startsWith(wanted.slice(0, -1)) : found === wanted;
  };
  const time = (): number => {
    check(/^\d+$/.test(value), `filters: ${name}: milliseconds since 1970`);
    return Number(value);
  };
  if (name === "JOB_NAME") return ({ jobName }) => like(jobName);
  if (name === "JOB_DEFINITION")
    return ({ jobDefinition }) => {
      const withRevision = jobDefinition.slice(jobDefinition.indexOf("/") + 1);
      return [jobDefinition, withRevision, withRevision.replace(/:\d+$/, "")].some(like);
    };
  if (name === "BEFORE_CREATED_AT")
    return (
      (before) =>
      ({ createdAt }) =>
        createdAt < before
    )(time());
  check(name === "AFTER_CREATED_AT", `filters: this server has no ${name}`);
  return (
    (after) =>
    ({ createdAt }) =>
      createdAt > after
  )(time());
}

export const isWaiting = (job: JobRecord): boolean =>
  !hasEnded(job) && (job.status === "SUBMITTED" || job.status === "RUNNABLE");

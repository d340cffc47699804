/** The calls: where each is asked for, what it may hold, and who answers. */
import * as z from "zod/mini";
import { describeJobs, listJobs, newJob } from "./job-calls.ts";
import { hasEnded, type JobRecord } from "./job-record.ts";
import type { Jobs } from "./jobs.ts";
import type { Tables } from "./journal.ts";
import type { ArnOf, Resources } from "./resources.ts";
import * as schemas from "./schemas.ts";
import { check, ClientException, parse } from "./validate.ts";

export interface Service {
  readonly tables: Tables;
  readonly resources: Resources;
  readonly jobs: Jobs;
  readonly arnOf: ArnOf;
}

export interface Call {
  readonly method: string;
  readonly url: URL;
  readonly body: unknown;
}

type Operation = (service: Service, body: unknown) => object;

function operation<T extends z.ZodMiniType>(
  schema: T,
  answer: (service: Service, request: z.output<T>) => object,
): { schema: T; answer: Operation } {
  return { schema, answer: (service, body) => answer(service, parse(schema, body)) };
}

/** By the service's names; a path is the same in lower case. Exported for the check against its model. */
export const OPERATIONS = {
  RegisterJobDefinition: operation(schemas.RegisterJobDefinition, ({ resources }, request) =>
    resources.registerJobDefinition(request),
  ),
  DescribeJobDefinitions: operation(schemas.DescribeJobDefinitions, ({ resources }, request) =>
    resources.describeJobDefinitions(request),
  ),
  DeregisterJobDefinition: operation(schemas.DeregisterJobDefinition, ({ resources }, request) =>
    resources.deregisterJobDefinition(request),
  ),
  CreateJobQueue: operation(schemas.CreateJobQueue, ({ resources }, request) => resources.createJobQueue(request)),
  UpdateJobQueue: operation(schemas.UpdateJobQueue, ({ resources, jobs }, request) => {
    const answer = resources.updateJobQueue(request);
    jobs.schedule();
    return answer;
  }),
  DescribeJobQueues: operation(schemas.DescribeJobQueues, ({ resources }, request) =>
    resources.describeJobQueues(request),
  ),
  DeleteJobQueue: operation(schemas.DeleteJobQueue, ({ resources, tables, jobs }, request) => {
    const { arn, name, state } = resources.queue(request.jobQueue);
    check(state === "DISABLED", `Cannot delete, JobQueue ${name} is not DISABLED`);
    for (const job of tables.jobs.all())
      if (job.jobQueue === arn && !hasEnded(job)) jobs.terminate(job, "Terminated because its JobQueue was deleted");
    return resources.deleteJobQueue(request);
  }),
  CreateComputeEnvironment: operation(schemas.CreateComputeEnvironment, ({ resources }, request) =>
    resources.createComputeEnvironment(request),
  ),
  UpdateComputeEnvironment: operation(schemas.UpdateComputeEnvironment, ({ resources, jobs }, request) => {
    const answer = resources.updateComputeEnvironment(request);
    jobs.schedule();
    return answer;
  }),
  DescribeComputeEnvironments: operation(schemas.DescribeComputeEnvironments, ({ resources }, request) =>
    resources.describeComputeEnvironments(request),
  ),
  DeleteComputeEnvironment: operation(schemas.DeleteComputeEnvironment, ({ resources }, request) =>
    resources.deleteComputeEnvironment(request),
  ),
  SubmitJob: operation(schemas.SubmitJob, (service, request) => {
    const job = newJob(service, request);
    service.jobs.add(job);
    const { jobArn, jobName, jobId } = job;
    return { jobArn, jobName, jobId };
  }),
  DescribeJobs: operation(schemas.DescribeJobs, describeJobs),
  ListJobs: operation(schemas.ListJobs, listJobs),
  TerminateJob: operation(schemas.EndJob, ({ tables, jobs }, { jobId, reason }) => {
    jobs.terminate(jobNamed(tables, jobId), reason);
    return {};
  }),
  CancelJob: operation(schemas.EndJob, ({ tables, jobs }, { jobId, reason }) => {
    jobs.cancel(jobNamed(tables, jobId), reason);
    return {};
  }),
} as const;

const BY_PATH: ReadonlyMap<string, Operation> = new Map(
  Object.entries(OPERATIONS).map(([name, { answer }]) => [`/v1/${name.toLowerCase()}`, answer]),
);
const TagKeys = z.array(z.string().check(z.minLength(1), z.maxLength(128))).check(z.minLength(1), z.maxLength(50));
const TagResource = z.strictObject({ tags: schemas.Tags });
const Nothing = z.strictObject({});

/** @returns undefined if there is no such call */
export function answer(service: Service, { method, url, body }: Call): object | undefined {
  const { pathname } = url;
  if (method === "POST") {
    const found = BY_PATH.get(pathname);
    if (found !== undefined) return found(service, body);
  }
  const arn = /^\/v1\/tags\/(.+)$/.exec(pathname)?.[1];
  if (arn !== undefined) return tags(service, decodeURIComponent(arn), { method, url, body });
  return method === "POST" ? ours(service, pathname, body) : undefined;
}

function tags({ resources }: Service, arn: string, { method, url, body }: Call): object | undefined {
  if (method === "GET") return { tags: resources.tagsOf(arn) };
  if (method === "POST") return resources.tag(arn, parse(TagResource, body).tags, []);
  if (method === "DELETE") return resources.tag(arn, {}, parse(TagKeys, url.searchParams.getAll("tagKeys")));
  return undefined;
}

/** Calls that AWS doesn't have: what happens to it there by itself. */
function ours({ tables, resources, jobs }: Service, path: string, body: unknown): object | undefined {
  const [, kind, name = "", what] = /^\/_accrete\/([\w-]+)\/([^/]+)\/(\w+)$/.exec(path) ?? [];
  if (kind === "jobs" && what === "reclaim") {
    parse(Nothing, body);
    check(jobs.reclaim(jobNamed(tables, name)), `Job ${name} does not run`);
    return {};
  }
  if (kind === "compute-environments" && (what === "exhaust" || what === "restore")) {
    parse(Nothing, body);
    const environment = resources.environment(decodeURIComponent(name));
    tables.environments.set(environment.arn, { ...environment, exhausted: what === "exhaust" });
    jobs.schedule();
    return {};
  }
  return undefined;
}

function jobNamed(tables: Tables, id: string): JobRecord {
  const job = tables.jobs.get(id);
  if (job === undefined) throw new ClientException(`Job ${id} does not exist.`);
  return job;
}

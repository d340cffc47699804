/** Job definitions, queues, compute environments and tags: made, changed, described and removed, at once. */
import { randomUUID } from "node:crypto";
import type * as z from "zod/mini";
import type { Tables } from "./journal.ts";
import { hasEnded } from "./job-record.ts";
import { shownContainer } from "./job-view.ts";
import { pageOf } from "./pages.ts";
import * as schemas from "./schemas.ts";
import type { Definition, Environment, Queue } from "./schemas.ts";
import {
  check,
  checkComputeResources,
  checkDefinition,
  checkName,
  checkTags,
  ClientException,
  isFargate,
} from "./validate.ts";

type In<T extends z.ZodMiniType> = z.output<T>;

const DESCRIBED_MAX = 100;
const QUEUE_ENVIRONMENTS_MAX = 3;

export type ArnOf = (kind: "job-definition" | "job-queue" | "compute-environment" | "job", name: string) => string;

export class Resources {
  readonly #tables: Tables;
  readonly #arnOf: ArnOf;

  constructor(tables: Tables, arnOf: ArnOf) {
    this.#tables = tables;
    this.#arnOf = arnOf;
  }

  registerJobDefinition(request: In<typeof schemas.RegisterJobDefinition>) {
    checkDefinition(request);
    const { jobDefinitionName } = request;
    const revision =
      1 + this.#tables.definitions.all().filter((one) => one.jobDefinitionName === jobDefinitionName).length;
    const arn = this.#arnOf("job-definition", `${jobDefinitionName}:${revision}`);
    this.#tables.definitions.set(arn, { ...request, arn, revision, status: "ACTIVE" });
    return { jobDefinitionName, jobDefinitionArn: arn, revision };
  }

  /** @param id name, name:revision, or an ARN with or without revision; without, the newest active one */
  activeDefinition(id: string): Definition {
    const arn = id.startsWith("arn:") ? id : this.#arnOf("job-definition", id);
    const found = this.#tables.definitions
      .all()
      .findLast((one) => one.status === "ACTIVE" && (one.arn === arn || one.arn === `${arn}:${one.revision}`));
    check(found !== undefined, `JobDefinition ${id} does not exist.`);
    return found;
  }

  deregisterJobDefinition({ jobDefinition: id }: In<typeof schemas.DeregisterJobDefinition>) {
    check(/:\d+$/.test(id), `JobDefinition ${id}: with its revision`);
    const arn = id.startsWith("arn:") ? id : this.#arnOf("job-definition", id);
    const found = this.#tables.definitions.get(arn);
    check(found !== undefined, `JobDefinition ${id} does not exist.`);
    this.#tables.definitions.set(arn, { ...found, status: "INACTIVE" });
    return {};
  }

  describeJobDefinitions(request: In<typeof schemas.DescribeJobDefinitions>) {
    const { jobDefinitions: ids, jobDefinitionName, status } = request;
    check(ids === undefined || ids.length <= DESCRIBED_MAX, `jobDefinitions: at most ${DESCRIBED_MAX}`);
    check(
      ids === undefined || (jobDefinitionName === undefined && status === undefined),
      "jobDefinitions: not together with others",
    );
    const arns = ids?.map((id) => (id.startsWith("arn:") ? id : this.#arnOf("job-definition", id)));
    const found = this.#tables.definitions
      .all()
      .filter(
        (one) =>
          (arns === undefined || arns.includes(one.arn)) &&
          (jobDefinitionName === undefined || one.jobDefinitionName === jobDefinitionName) &&
          (status === undefined || one.status === status),
      );
    const { rows, ...next } = pageOf(found, ({ arn }) => arn, request, DESCRIBED_MAX);
    const jobDefinitions = rows.map(({ arn, ...one }) => ({
      ...one,
      containerProperties: shownContainer(one.containerProperties ?? {}, one.platformCapabilities),
      jobDefinitionArn: arn,
      containerOrchestrationType: "ECS",
    }));
    return { jobDefinitions, ...next };
  }

  createJobQueue({ jobQueueName: name, tags = {}, ...request }: In<typeof schemas.CreateJobQueue>) {
    checkName("jobQueueName", name);
    checkTags(tags);
    const arn = this.#arnOf("job-queue", name);
    check(this.#tables.queues.get(arn) === undefined, `Object already exists: ${name}`);
    const { state = "ENABLED", priority, jobQueueType, jobStateTimeLimitActions = [] } = request;
    const computeEnvironmentOrder = this.#environments(request.computeEnvironmentOrder ?? []);
    const queue = { name, arn, state, priority, jobQueueType, computeEnvironmentOrder, jobStateTimeLimitActions, tags };
    this.#tables.queues.set(arn, queue);
    return { jobQueueName: name, jobQueueArn: arn };
  }

  updateJobQueue({ jobQueue, ...changes }: In<typeof schemas.UpdateJobQueue>) {
    const queue = this.queue(jobQueue);
    const { state = queue.state, priority = queue.priority } = changes;
    const { jobStateTimeLimitActions = queue.jobStateTimeLimitActions } = changes;
    const computeEnvironmentOrder =
      changes.computeEnvironmentOrder === undefined
        ? queue.computeEnvironmentOrder
        : this.#environments(changes.computeEnvironmentOrder);
    this.#tables.queues.set(queue.arn, {
      ...queue,
      state,
      priority,
      jobStateTimeLimitActions,
      computeEnvironmentOrder,
    });
    return { jobQueueName: queue.name, jobQueueArn: queue.arn };
  }

  /** By ARN, one to three, all of machines or all of Fargate. */
  #environments(order: Queue["computeEnvironmentOrder"]): Queue["computeEnvironmentOrder"] {
    check(
      order.length >= 1 && order.length <= QUEUE_ENVIRONMENTS_MAX,
      `computeEnvironmentOrder: 1 to ${QUEUE_ENVIRONMENTS_MAX}`,
    );
    check(new Set(order.map((one) => one.order)).size === order.length, "computeEnvironmentOrder: an order twice");
    const found = order.map(({ computeEnvironment }) => this.environment(computeEnvironment));
    check(
      new Set(found.map(({ computeResources }) => isFargate(computeResources.type))).size === 1,
      "computeEnvironmentOrder: EC2 and Fargate can't be mixed",
    );
    return order
      .map(({ order }, index) => ({ order, computeEnvironment: found[index]!.arn }))
      .sort((a, b) => a.order - b.order);
  }

  /** @param id name or ARN */
  queue(id: string): Queue {
    const found = this.#tables.queues.get(id) ?? this.#tables.queues.get(this.#arnOf("job-queue", id));
    check(found !== undefined, `JobQueue ${id} not found`);
    return found;
  }

  describeJobQueues({ jobQueues: ids, ...request }: In<typeof schemas.DescribeJobQueues>) {
    const found = this.#tables.queues
      .all()
      .filter((one) => ids === undefined || ids.includes(one.name) || ids.includes(one.arn));
    const { rows, ...next } = pageOf(found, ({ arn }) => arn, request, DESCRIBED_MAX);
    const jobQueues = rows.map(({ name, arn, ...queue }) => ({
      ...queue,
      jobQueueName: name,
      jobQueueArn: arn,
      status: "VALID",
      statusReason: "JobQueue Healthy",
    }));
    return { jobQueues, ...next };
  }

  /** Jobs in it are the caller's business, before. */
  deleteJobQueue({ jobQueue }: In<typeof schemas.DeleteJobQueue>) {
    const { arn } = this.queue(jobQueue);
    this.#tables.queues.delete(arn);
    return {};
  }

  createComputeEnvironment(request: In<typeof schemas.CreateComputeEnvironment>) {
    const { computeEnvironmentName: name, computeResources, tags = {}, state = "ENABLED", type: _, ...rest } = request;
    checkName("computeEnvironmentName", name);
    checkTags(tags);
    check(computeResources !== undefined, "computeResources is required");
    checkComputeResources(computeResources);
    const arn = this.#arnOf("compute-environment", name);
    check(this.#tables.environments.get(arn) === undefined, `Object already exists: ${name}`);
    const { serviceRole, context, ecsSettings } = rest;
    this.#tables.environments.set(arn, {
      name,
      arn,
      uuid: randomUUID(),
      state,
      computeResources,
      serviceRole,
      context,
      ecsSettings,
      tags,
      exhausted: false,
    });
    return { computeEnvironmentName: name, computeEnvironmentArn: arn };
  }

  updateComputeEnvironment({ computeEnvironment, ...changes }: In<typeof schemas.UpdateComputeEnvironment>) {
    const found = this.environment(computeEnvironment);
    const { updateToLatestImageVersion: _, ...resources } = changes.computeResources ?? {};
    const computeResources = { ...found.computeResources, ...resources };
    check(
      isFargate(computeResources.type) === isFargate(found.computeResources.type),
      "type: machines can't become Fargate, nor Fargate machines",
    );
    checkComputeResources(computeResources);
    const { state = found.state, serviceRole = found.serviceRole, updatePolicy = found.updatePolicy } = changes;
    const { context = found.context, ecsSettings = found.ecsSettings } = changes;
    const environment = { ...found, state, serviceRole, updatePolicy, context, ecsSettings, computeResources };
    this.#tables.environments.set(found.arn, environment);
    return { computeEnvironmentName: found.name, computeEnvironmentArn: found.arn };
  }

  /** @param id name or ARN */
  environment(id: string): Environment {
    const { environments } = this.#tables;
    const found = environments.get(id) ?? environments.get(this.#arnOf("compute-environment", id));
    check(found !== undefined, `ComputeEnvironment ${id} does not exist`);
    return found;
  }

  describeComputeEnvironments({
    computeEnvironments: ids,
    ...request
  }: In<typeof schemas.DescribeComputeEnvironments>) {
    const found = this.#tables.environments
      .all()
      .filter((one) => ids === undefined || ids.includes(one.name) || ids.includes(one.arn));
    const { rows, ...next } = pageOf(found, ({ arn }) => arn, request, DESCRIBED_MAX);
    const computeEnvironments = rows.map(({ name, arn, exhausted: _exhausted, ...one }) => ({
      ...one,
      computeEnvironmentName: name,
      computeEnvironmentArn: arn,
      type: "MANAGED",
      ecsClusterArn: clusterArn(one.uuid, name, arn),
      status: "VALID",
      statusReason: "ComputeEnvironment Healthy",
      containerOrchestrationType: "ECS",
    }));
    return { computeEnvironments, ...next };
  }

  deleteComputeEnvironment({ computeEnvironment }: In<typeof schemas.DeleteComputeEnvironment>) {
    const { arn, state, name } = this.environment(computeEnvironment);
    check(state === "DISABLED", `Cannot delete, ComputeEnvironment ${name} is not DISABLED`);
    const user = this.#tables.queues
      .all()
      .find((queue) => queue.computeEnvironmentOrder.some((one) => one.computeEnvironment === arn));
    check(user === undefined, `Cannot delete, found existing JobQueue relationship: ${user?.name}`);
    const busy = this.#tables.jobs.all().some((job) => !hasEnded(job) && job.task?.environment === arn);
    check(!busy, `Cannot delete, ComputeEnvironment ${name} has running jobs`);
    this.#tables.environments.delete(arn);
    return {};
  }

  tagsOf(arn: string): Readonly<Record<string, string>> {
    return this.#tagged(arn).tags ?? {};
  }

  tag(arn: string, tags: Readonly<Record<string, string>>, removed: readonly string[]): object {
    const kept = Object.entries({ ...this.tagsOf(arn), ...tags }).filter(([key]) => !removed.includes(key));
    const all = Object.fromEntries(kept);
    checkTags(all);
    this.#tagged(arn).retag(all);
    return {};
  }

  #tagged(arn: string): {
    tags: Readonly<Record<string, string>> | undefined;
    retag(tags: Record<string, string>): void;
  } {
    const { definitions, queues, environments, jobs } = this.#tables;
    const definition = definitions.get(arn);
    if (definition !== undefined)
      return { tags: definition.tags, retag: (tags) => definitions.set(arn, { ...definition, tags }) };
    const queue = queues.get(arn);
    if (queue !== undefined) return { tags: queue.tags, retag: (tags) => queues.set(arn, { ...queue, tags }) };
    const environment = environments.get(arn);
    if (environment !== undefined)
      return { tags: environment.tags, retag: (tags) => environments.set(arn, { ...environment, tags }) };
    const job = jobs.get(arn.slice(arn.lastIndexOf("/") + 1));
    if (job?.jobArn !== arn) throw new ClientException(`${arn}: no such resource`);
    return { tags: job.tags, retag: (tags) => jobs.set(job.jobId, { ...job, tags }) };
  }
}

/** Batch makes an ECS cluster for each environment and names it so. */
export function clusterArn(uuid: string, name: string, arn: string): string {
  const [, , , region, account] = arn.split(":");
  return `arn:aws:ecs:${region}:${account}:cluster/AWSBatch-${name}-${uuid}`;
}

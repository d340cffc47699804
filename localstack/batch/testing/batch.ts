/** A Batch server of a test, with a queue, and the SDK's client of it. */
import {
  BatchClient,
  CreateComputeEnvironmentCommand,
  CreateJobQueueCommand,
  DescribeJobsCommand,
  RegisterJobDefinitionCommand,
  SubmitJobCommand,
  type ComputeResource,
  type ContainerProperties,
  type JobDetail,
  type RegisterJobDefinitionCommandInput,
  type SubmitJobCommandInput,
} from "@aws-sdk/client-batch";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openProcessRunner } from "../process-runner.ts";
import { openBatch, type BatchOptions, type BatchServer } from "../server.ts";

const REGION = "eu-central-1";
export const QUEUE = "jobs";
export const DEFINITION = "a-job";
const ENVIRONMENT = "machines";
/** A job of the suite runs a script that it says itself. */
const NODE = [process.execPath, "-e"];

export interface TestBatch {
  readonly server: BatchServer;
  readonly client: BatchClient;
  readonly folder: string;
  readonly faults: string[];
  /** the same folder by a server that is opened anew */
  readonly options: BatchOptions;
  submit(script: string, more?: Partial<SubmitJobCommandInput>): Promise<string>;
  /** as soon as it is as wished */
  job(id: string, wished?: (job: JobDetail) => boolean): Promise<JobDetail>;
  ended(id: string): Promise<JobDetail>;
  close(): Promise<void>;
}

export function clientOf(url: string): BatchClient {
  return new BatchClient({
    region: REGION,
    endpoint: url,
    maxAttempts: 1,
    credentials: { accessKeyId: "AKIATEST", secretAccessKey: "test" },
  });
}

export const MACHINES: ComputeResource = {
  type: "SPOT",
  allocationStrategy: "SPOT_PRICE_CAPACITY_OPTIMIZED",
  minvCpus: 0,
  maxvCpus: 4,
  instanceTypes: ["c7i.xlarge"],
  instanceRole: "arn:aws:iam::000000000000:instance-profile/jobs",
  subnets: ["subnet-1"],
  securityGroupIds: ["sg-1"],
};

/** @param container what the definition's container has besides */
export async function define(
  client: BatchClient,
  container: ContainerProperties = {},
  more: Partial<RegisterJobDefinitionCommandInput> = {},
): Promise<string> {
  const { jobDefinitionArn = "" } = await client.send(
    new RegisterJobDefinitionCommand({
      jobDefinitionName: DEFINITION,
      type: "container",
      containerProperties: {
        image: "a:1",
        resourceRequirements: [
          { type: "VCPU", value: "1" },
          { type: "MEMORY", value: "128" },
        ],
        ...container,
      },
      ...more,
    }),
  );
  return jobDefinitionArn;
}

export async function makeQueue(client: BatchClient, name = QUEUE, environment = ENVIRONMENT): Promise<void> {
  await client.send(
    new CreateComputeEnvironmentCommand({
      computeEnvironmentName: environment,
      type: "MANAGED",
      computeResources: MACHINES,
    }),
  );
  await client.send(
    new CreateJobQueueCommand({
      jobQueueName: name,
      priority: 1,
      computeEnvironmentOrder: [{ order: 1, computeEnvironment: environment }],
      jobStateTimeLimitActions: [
        {
          reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
          state: "RUNNABLE",
          maxTimeSeconds: 600,
          action: "CANCEL",
        },
      ],
    }),
  );
}

/** Whoever opens one closes it. */
export async function openTestBatch(changes: Partial<BatchOptions> = {}): Promise<TestBatch> {
  const folder = mkdtempSync(join(tmpdir(), "accrete-batch-"));
  const faults: string[] = [];
  const options: BatchOptions = {
    runner: openProcessRunner({ entrypointOf: () => NODE, env: process.env }),
    folder: join(folder, "state"),
    region: REGION,
    graceMs: 300,
    onFault: (message) => void faults.push(message),
    ...changes,
  };
  const server = await openBatch(options);
  const client = clientOf(server.url);
  await makeQueue(client);
  await define(client);
  return { ...around(client), server, client, folder, faults, options, close: () => end(server, folder) };

  async function end(server: BatchServer, folder: string): Promise<void> {
    await server.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

export function around(client: BatchClient): Pick<TestBatch, "submit" | "job" | "ended"> {
  const job = async (id: string, wished: (job: JobDetail) => boolean = () => true): Promise<JobDetail> => {
    for (const untilMs = performance.now() + 45_000; ; await sleep(10)) {
      const { jobs = [] } = await client.send(new DescribeJobsCommand({ jobs: [id] }));
      if (jobs[0] !== undefined && wished(jobs[0])) return jobs[0];
      if (performance.now() > untilMs) throw new Error(`job ${id} is still ${JSON.stringify(jobs[0])}`);
    }
  };
  return {
    async submit(script, more = {}) {
      const { jobId = "" } = await client.send(
        new SubmitJobCommand({
          jobName: "a-job",
          jobQueue: QUEUE,
          jobDefinition: DEFINITION,
          ...more,
          containerOverrides: { command: [script || ";"], ...more.containerOverrides },
        }),
      );
      return jobId;
    },
    job,
    ended: (id) => job(id, ({ status }) => status === "SUCCEEDED" || status === "FAILED"),
  };
}

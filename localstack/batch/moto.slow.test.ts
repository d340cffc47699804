/**
 * The same calls to moto, another's Batch of Python, and to this server: what both answer has to agree, and each difference is named here,
 * with who is right after AWS' documents. moto runs no job here; lifecycles it doesn't have, and its server knows no tags at the SDK's addresses.
 */
import {
  BatchClient,
  CancelJobCommand,
  CreateComputeEnvironmentCommand,
  CreateJobQueueCommand,
  DeleteComputeEnvironmentCommand,
  DeleteJobQueueCommand,
  DeregisterJobDefinitionCommand,
  DescribeComputeEnvironmentsCommand,
  DescribeJobDefinitionsCommand,
  DescribeJobQueuesCommand,
  DescribeJobsCommand,
  ListJobsCommand,
  RegisterJobDefinitionCommand,
  SubmitJobCommand,
  UpdateJobQueueCommand,
} from "@aws-sdk/client-batch";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { installPackages, packagesFolder, PYTHON } from "../../scripts/pip-packages.ts";
import { openTestBatch, type TestBatch } from "./testing/batch.ts";

const REQUIREMENTS = fileURLToPath(new URL("testing/moto-requirements.txt", import.meta.url));
/** It ends with whoever started it: its standard input is at its end then. */
const PROGRAM = `
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
`;

const fault = await installPackages(REQUIREMENTS);

describe.skipIf(fault !== undefined)(`moto${fault === undefined ? "" : ` (${fault})`}`, () => {
  let moto: ChildProcess;
  let ours: TestBatch;
  let clients: readonly [BatchClient, BatchClient];
  beforeAll(async () => {
    const child = spawn(PYTHON, ["-S", "-c", PROGRAM], {
      env: { PATH: process.env["PATH"], PYTHONPATH: packagesFolder(REQUIREMENTS), PYTHONNOUSERSITE: "1" },
      stdio: ["pipe", "pipe", "ignore"],
    });
    moto = child;
    const [said] = await once(child.stdout.setEncoding("utf8"), "data");
    const url = String(said).trim();
    await fetch(`${url}/moto-api/config`, { method: "POST", body: JSON.stringify({ batch: { use_docker: false } }) });
    await form(url, "iam", {
      Action: "CreateRole",
      RoleName: "batch",
      AssumeRolePolicyDocument: "{}",
      Version: "2010-05-08",
    });
    const subnets = await form(url, "ec2", { Action: "DescribeSubnets", Version: "2016-11-15" });
    const groups = await form(url, "ec2", { Action: "DescribeSecurityGroups", Version: "2016-11-15" });
    ours = await openTestBatch();
    clients = [clientTo(url), ours.client];
    const computeResources = {
      type: "FARGATE" as const,
      maxvCpus: 4,
      subnets: [/<subnetId>([^<]+)/.exec(subnets)?.[1] ?? ""],
      securityGroupIds: [/<groupId>([^<]+)/.exec(groups)?.[1] ?? ""],
    };
    for (const client of clients) {
      const environment = { type: "MANAGED" as const, state: "ENABLED" as const, serviceRole: ROLE, computeResources };
      await client.send(new CreateComputeEnvironmentCommand({ computeEnvironmentName: "fargate", ...environment }));
      const order = [{ order: 1, computeEnvironment: "fargate" }];
      const queue = { state: "ENABLED" as const, priority: 1, computeEnvironmentOrder: order, tags: { a: "b" } };
      await client.send(new CreateJobQueueCommand({ jobQueueName: "queue", ...queue }));
      await client.send(new RegisterJobDefinitionCommand(DEFINITION));
      await client.send(new SubmitJobCommand({ jobName: "a-job", jobQueue: "queue", jobDefinition: "definition" }));
    }
  });
  afterAll(async () => {
    moto?.stdin?.end();
    if (moto !== undefined && moto.exitCode === null) await once(moto, "exit");
    await ours?.close();
  });

  /** Of both what a call says, moto's first: where there are members, and of an error its name and status. */
  async function both(call: (client: BatchClient) => Promise<object>): Promise<readonly [string[], string[]]> {
    const shown = async (client: BatchClient): Promise<string[]> => {
      try {
        return membersOf(await call(client)).sort();
      } catch (error) {
        const status = error instanceof Error && "$metadata" in error ? Object(error.$metadata).httpStatusCode : "";
        return [`${error instanceof Error ? error.name : String(error)} ${status}`];
      }
    };
    return [await shown(clients[0]), await shown(clients[1])];
  }

  it.each<[string, (client: BatchClient) => Promise<object>]>([
    ["a queue that isn't there", (client) => client.send(new SubmitJobCommand({ ...JOB, jobQueue: "none" }))],
    ["a definition that isn't there", (client) => client.send(new SubmitJobCommand({ ...JOB, jobDefinition: "none" }))],
    [
      "a revision that isn't there",
      (client) => client.send(new SubmitJobCommand({ ...JOB, jobDefinition: "definition:9" })),
    ],
    [
      "a queue made twice",
      (client) =>
        client.send(
          new CreateJobQueueCommand({
            jobQueueName: "queue",
            state: "ENABLED",
            priority: 1,
            computeEnvironmentOrder: [{ order: 1, computeEnvironment: "fargate" }],
          }),
        ),
    ],
    [
      "a queue of no environment",
      (client) =>
        client.send(
          new CreateJobQueueCommand({
            jobQueueName: "other",
            state: "ENABLED",
            priority: 1,
            computeEnvironmentOrder: [],
          }),
        ),
    ],
    [
      "an environment that isn't there",
      (client) =>
        client.send(
          new CreateJobQueueCommand({
            jobQueueName: "other",
            state: "ENABLED",
            priority: 1,
            computeEnvironmentOrder: [{ order: 1, computeEnvironment: "none" }],
          }),
        ),
    ],
    ["a list of no queue", (client) => client.send(new ListJobsCommand({ jobQueue: "none" }))],
    [
      "a definition of no memory",
      (client) =>
        client.send(
          new RegisterJobDefinitionCommand({ ...DEFINITION, containerProperties: { image: "a:1", vcpus: 1 } }),
        ),
    ],
  ])("both refuse %s", async (_what, call) => {
    const [theirs, own] = await both(call);
    expect(own).toEqual(["ClientException 400"]);
    expect(theirs).toEqual(own);
  });

  it.each<[string, (client: BatchClient) => Promise<object>, string[]]>([
    ["SubmitJob", (client) => client.send(new SubmitJobCommand(JOB)), []],
    ["RegisterJobDefinition", (client) => client.send(new RegisterJobDefinitionCommand(DEFINITION)), []],
    ["UpdateJobQueue", (client) => client.send(new UpdateJobQueueCommand({ jobQueue: "queue", priority: 2 })), []],
    ["DescribeJobQueues", (client) => client.send(new DescribeJobQueuesCommand({ jobQueues: ["queue"] })), []],
    [
      "DescribeComputeEnvironments",
      (client) => client.send(new DescribeComputeEnvironmentsCommand({ computeEnvironments: ["fargate"] })),
      [],
    ],
    [
      "DescribeJobDefinitions",
      (client) => client.send(new DescribeJobDefinitionsCommand({ jobDefinitionName: "definition", status: "ACTIVE" })),
      [],
    ],
    [
      "ListJobs",
      async (client) => {
        await describeFirst(client);
        const filters = [{ name: "JOB_NAME", values: ["a-*"] }];
        return client.send(new ListJobsCommand({ jobQueue: "queue", filters }));
      },
      [],
    ],
    [
      "DescribeJobs",
      describeFirst,
      [
        // a task of Fargate has no instance, and what isn't asked for isn't there
        "jobs[].attempts[].container.containerInstanceArn",
        "jobs[].container.memory",
        "jobs[].container.privileged",
        "jobs[].container.readonlyRootFilesystem",
        "jobs[].container.vcpus",
      ],
    ],
    [
      "DeregisterJobDefinition",
      (client) => client.send(new DeregisterJobDefinitionCommand({ jobDefinition: "definition:1" })),
      [],
    ],
  ])("%s answers with every member that moto has, but for those that are named", async (_name, call, not) => {
    const [theirs, own] = await both(call);
    expect(theirs.join()).not.toMatch(/ \d{3}$/);
    expect(theirs.filter((member) => !own.includes(member))).toEqual(not);
  });

  it("differs in what a list without a filter holds", async () => {
    // AWS: those that run, where nothing else is said
    const ended = async (client: BatchClient): Promise<object> => {
      const { jobSummaryList = [] } = await client.send(new ListJobsCommand({ jobQueue: "queue" }));
      return { other: jobSummaryList.some(({ status }) => status !== "RUNNING") ? ["x"] : [] };
    };
    expect(await both(ended)).toEqual([["other", "other[]"], ["other"]]);
  });

  it.each<[string, (client: BatchClient) => Promise<object>]>([
    ["a name with a space", (client) => client.send(new SubmitJobCommand({ ...JOB, jobName: "a b" }))],
    ["a name that is too long", (client) => client.send(new SubmitJobCommand({ ...JOB, jobName: "a".repeat(129) }))],
    ["a job that isn't there", (client) => client.send(new CancelJobCommand({ jobId: "none", reason: "x" }))],
    ["a queue that takes jobs", (client) => client.send(new DeleteJobQueueCommand({ jobQueue: "queue" }))],
    [
      "an environment in use",
      (client) => client.send(new DeleteComputeEnvironmentCommand({ computeEnvironment: "fargate" })),
    ],
  ])("this one alone refuses %s", async (_what, call) => {
    const [theirs, own] = await both(call);
    expect(own).toEqual(["ClientException 400"]);
    expect(theirs).not.toEqual(own);
  });
});

const ROLE = "arn:aws:iam::123456789012:role/batch";
const JOB = { jobName: "a-job", jobQueue: "queue", jobDefinition: "definition" };
const DEFINITION = {
  jobDefinitionName: "definition",
  type: "container" as const,
  platformCapabilities: ["FARGATE" as const],
  parameters: { a: "b" },
  retryStrategy: { attempts: 2, evaluateOnExit: [{ onExitCode: "75", action: "RETRY" as const }] },
  timeout: { attemptDurationSeconds: 60 },
  tags: { a: "b" },
  containerProperties: {
    image: "a:1",
    command: [";"],
    executionRoleArn: ROLE,
    environment: [{ name: "A", value: "1" }],
    resourceRequirements: [
      { type: "VCPU" as const, value: "0.25" },
      { type: "MEMORY" as const, value: "512" },
    ],
  },
};

function clientTo(endpoint: string): BatchClient {
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  return new BatchClient({ endpoint, credentials, region: "eu-central-1", maxAttempts: 1 });
}

/** A call of a service for which the project has no client. */
async function form(url: string, service: string, members: Readonly<Record<string, string>>): Promise<string> {
  const credential = `Credential=test/20260101/eu-central-1/${service}/aws4_request`;
  const headers = { authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=x` };
  return (await fetch(url, { method: "POST", headers, body: new URLSearchParams(members) })).text();
}

/** Once it has ended. */
async function describeFirst(client: BatchClient): Promise<object> {
  const filters = [{ name: "JOB_NAME", values: ["a-job"] }];
  const { jobSummaryList = [] } = await client.send(new ListJobsCommand({ jobQueue: "queue", filters }));
  const ids = jobSummaryList.slice(-1).flatMap(({ jobId }) => jobId ?? []);
  return expect
    .poll(async () => (await client.send(new DescribeJobsCommand({ jobs: ids }))).jobs?.[0]?.status, {
      timeout: 30_000,
    })
    .toMatch(/SUCCEEDED|FAILED/)
    .then(() => client.send(new DescribeJobsCommand({ jobs: ids })));
}

/** Paths of an answer's members: `jobs[].container.image`. */
function membersOf(value: unknown, path = ""): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((one) => [`${path}[]`, ...membersOf(one, `${path}[]`)]))];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value)
    .filter(([key, one]) => key !== "$metadata" && one !== undefined)
    .flatMap(([key, one]) => {
      const own = path === "" ? key : `${path}.${key}`;
      return [own, ...membersOf(one, own)];
    });
}

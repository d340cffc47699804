/** What the product leans on of AWS Batch, by its SDK; jobs are processes. */
import {
  CancelJobCommand,
  CreateComputeEnvironmentCommand,
  CreateJobQueueCommand,
  DeleteComputeEnvironmentCommand,
  DeleteJobQueueCommand,
  DeregisterJobDefinitionCommand,
  DescribeJobDefinitionsCommand,
  DescribeJobsCommand,
  ListJobsCommand,
  RegisterJobDefinitionCommand,
  SubmitJobCommand,
  TerminateJobCommand,
  UpdateComputeEnvironmentCommand,
  UpdateJobQueueCommand,
  type JobDetail,
} from "@aws-sdk/client-batch";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { identityOf } from "../../adapters/process-alive.ts";
import { openProcessRunner } from "./process-runner.ts";
import type { BatchOptions } from "./server.ts";
import { openAwsEndpoint, type AwsEndpoint } from "./testing/aws-endpoint.ts";
import { define, DEFINITION, MACHINES, openTestBatch, QUEUE, type TestBatch } from "./testing/batch.ts";

/** A busy machine must not fail a test. */
const POLL = { timeout: 20_000 };

let batch: TestBatch | undefined;
let aws: AwsEndpoint | undefined;
afterEach(async () => {
  await batch?.close();
  await aws?.close();
  batch = aws = undefined;
});
const open = async (options?: Partial<BatchOptions>): Promise<TestBatch> => (batch = await openTestBatch(options));
const openTold = async (): Promise<TestBatch & { aws: AwsEndpoint }> => {
  aws = await openAwsEndpoint();
  return { ...(await open({ endpoint: aws.url })), aws };
};

const FOREVER = "console.log('there'); setInterval(() => {}, 1000);";
const SAVES = `process.on("SIGTERM", () => process.exit(75)); ${FOREVER}`;
const DEAF = `process.on("SIGTERM", () => {}); ${FOREVER}`;
const is =
  (status: string) =>
  (job: JobDetail): boolean =>
    job.status === status;
const logOf = (job: JobDetail): string =>
  join(batch!.options.folder, "attempts", job.container?.logStreamName?.split("/").at(-1) ?? "", "log.txt");
const said = (job: JobDetail): string => (existsSync(logOf(job)) ? readFileSync(logOf(job), "utf8") : "");
/** Once its program is there. */
async function there(id: string): Promise<JobDetail> {
  return batch!.job(id, (job) => job.status === "RUNNING" && said(job).includes("there"));
}
const ours = async (path: string): Promise<number> =>
  (await fetch(`${batch!.server.url}/_accrete/${path}`, { method: "POST" })).status;
const brief = ({ status, statusReason, attempts = [] }: JobDetail): unknown[] => [
  status,
  statusReason,
  ...attempts.map(({ container }) => container?.exitCode),
];
const ENDED = "Essential container in task exited";

describe("the environment of a job", () => {
  it("is the definition's, with what the call overrides and what the service says", async () => {
    const { client, submit, ended } = await open({ env: { AWS_ENDPOINT_URL: "http://127.0.0.1:1", A: "server" } });
    await define(client, {
      environment: [
        { name: "A", value: "1" },
        { name: "B", value: "2" },
      ],
    });
    const script = "console.log(JSON.stringify(process.env))";
    const environment = [
      { name: "B", value: "3" },
      { name: "C", value: "4" },
    ];
    const job = await ended(await submit(script, { containerOverrides: { environment } }));
    expect(JSON.parse(said(job))).toMatchObject({
      A: "1",
      B: "3",
      C: "4",
      AWS_ENDPOINT_URL: "http://127.0.0.1:1",
      AWS_BATCH_JOB_ID: job.jobId,
      AWS_BATCH_JOB_ATTEMPT: "1",
      AWS_BATCH_CE_NAME: "machines",
      AWS_BATCH_JQ_NAME: QUEUE,
    });
    expect(job.container?.environment).toEqual([
      { name: "A", value: "1" },
      { name: "B", value: "3" },
      { name: "C", value: "4" },
    ]);
  });

  it("has a scratch folder of the attempt, which goes with it", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "accrete-scratch-"));
    const { submit, ended } = await open({
      runner: openProcessRunner({ entrypointOf: () => [process.execPath, "-e"], env: {}, scratch }),
    });
    const script =
      'require("fs").writeFileSync(process.env.ACCRETE_SCRATCH + "/x", "x"); console.log(process.env.ACCRETE_SCRATCH)';
    const environment = [{ name: "ACCRETE_SCRATCH", value: "/scratch" }];
    const job = await ended(await submit(script, { containerOverrides: { environment } }));
    expect(brief(job)).toEqual(["SUCCEEDED", ENDED, 0]);
    expect(said(job).trim()).toMatch(new RegExp(`^${scratch}/[0-9a-f]{32}$`));
    expect(readdirSync(scratch)).toEqual([]);
    rmSync(scratch, { recursive: true });
  });

  it("has parameters in its command's words", async () => {
    const { client, submit, ended } = await open();
    await client.send(
      new RegisterJobDefinitionCommand({
        jobDefinitionName: DEFINITION,
        type: "container",
        parameters: { a: "1", b: "2" },
        containerProperties: {
          image: "a:1",
          command: ["console.log(process.argv.slice(1).join())", "Ref::a", "Ref::b", "Ref::none", "xRef::a"],
          vcpus: 1,
          memory: 64,
        },
      }),
    );
    const job = await ended(await submit("", { containerOverrides: { command: undefined! }, parameters: { b: "3" } }));
    expect(said(job).trim()).toBe("1,3,Ref::none,xRef::a");
  });
});

describe("attempts", () => {
  it("are as many as it takes, each with its end, within the strategy", async () => {
    const { submit, ended } = await open();
    const retryStrategy = {
      attempts: 3,
      evaluateOnExit: [
        { onExitCode: "75", action: "RETRY" as const },
        { onReason: "*", action: "EXIT" as const },
      ],
    };
    const script = "process.exit(process.env.AWS_BATCH_JOB_ATTEMPT === '3' ? 0 : 75)";
    const job = await ended(await submit(script, { retryStrategy }));
    expect(brief(job)).toEqual(["SUCCEEDED", ENDED, 75, 75, 0]);
    expect(new Set(job.attempts?.map(({ container }) => container?.logStreamName)).size).toBe(3);
    for (const { startedAt = 0, stoppedAt = 0, container } of job.attempts ?? []) {
      expect(stoppedAt).toBeGreaterThanOrEqual(startedAt);
      expect(container?.taskArn).toMatch(
        /^arn:aws:ecs:eu-central-1:000000000000:task\/AWSBatch-machines-[0-9a-f-]{36}\/[0-9a-f]{32}$/,
      );
    }
    expect(brief(await ended(await submit("process.exit(75)", { retryStrategy })))).toEqual([
      "FAILED",
      ENDED,
      75,
      75,
      75,
    ]);
    expect(brief(await ended(await submit("process.exit(1)", { retryStrategy })))).toEqual(["FAILED", ENDED, 1]);
  });

  it("are not made after the time is over", async () => {
    const { submit, ended } = await open({ secondMs: 10 });
    const more = { timeout: { attemptDurationSeconds: 60 }, retryStrategy: { attempts: 3 } };
    const job = await ended(await submit(DEAF, more));
    expect(brief(job)).toEqual(["FAILED", "Job attempt duration exceeded timeout", 137]);
    expect(job.stoppedAt! - job.startedAt!).toBeGreaterThanOrEqual(600);
  });

  it("are not made of what was terminated", async () => {
    const { client, submit, ended } = await open();
    const id = await submit(SAVES, { retryStrategy: { attempts: 3 } });
    await there(id);
    await client.send(new TerminateJobCommand({ jobId: id, reason: "enough" }));
    const job = await ended(id);
    expect(brief(job)).toEqual(["FAILED", "enough", 75]);
    expect(job).toMatchObject({ isTerminated: true, isCancelled: false });
  });

  it("are made where the host was taken away, which tells no exit code", async () => {
    const { submit, ended } = await open();
    const evaluateOnExit = [
      { onStatusReason: "Host EC2*", action: "RETRY" as const },
      { onReason: "*", action: "EXIT" as const },
    ];
    const id = await submit(`if (process.env.AWS_BATCH_JOB_ATTEMPT === "1") { ${SAVES} }`, {
      retryStrategy: { attempts: 2, evaluateOnExit },
    });
    await there(id);
    expect(await ours(`jobs/${id}/reclaim`)).toBe(200);
    const job = await ended(id);
    expect(brief(job)).toEqual(["SUCCEEDED", ENDED, undefined, 0]);
    expect(job.attempts?.[0]?.statusReason).toMatch(/^Host EC2 \(instance i-[0-9a-f]{17}\) terminated\.$/);
    // it doesn't run any more, and another never did
    expect(await ours(`jobs/${id}/reclaim`)).toBe(400);
    expect(await ours("jobs/none/reclaim")).toBe(400);
  });

  it("lose their place on Fargate in words of its own, and have no instance there", async () => {
    const { client, submit, ended } = await open();
    const resources = { type: "FARGATE_SPOT" as const, maxvCpus: 4, subnets: ["subnet-1"], securityGroupIds: ["sg-1"] };
    const environment = { computeEnvironmentName: "fargate", type: "MANAGED" as const, computeResources: resources };
    await client.send(new CreateComputeEnvironmentCommand(environment));
    const order = [{ order: 1, computeEnvironment: "fargate" }];
    const queue = { jobQueueName: "fargate", priority: 1, computeEnvironmentOrder: order };
    await client.send(new CreateJobQueueCommand(queue));
    const id = await submit(SAVES, { jobQueue: "fargate" });
    await there(id);
    expect(await ours(`jobs/${id}/reclaim`)).toBe(200);
    const job = await ended(id);
    expect(brief(job)).toEqual(["FAILED", "Your Spot Task was interrupted.", undefined]);
    expect(job.container?.containerInstanceArn).toBeUndefined();
  });

  it("end with all that they have started", async () => {
    const { client, submit, ended } = await open();
    const child = `const c = require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(DEAF)}], { stdio: "inherit" }); c.on("spawn", () => console.log("child", c.pid));`;
    const isAlive = async (pid: number): Promise<boolean> => (await identityOf(pid)) !== undefined;
    const pidIn = (job: JobDetail): number => Number(/child (\d+)/.exec(said(job))?.[1]);
    // by itself
    let job = await ended(await submit(`${child} setTimeout(() => process.exit(3), 300)`));
    expect(brief(job)).toEqual(["FAILED", ENDED, 3]);
    await expect.poll(() => isAlive(pidIn(job)), POLL).toBe(false);
    // and by SIGKILL
    const id = await submit(`${child} ${DEAF}`);
    job = await batch!.job(id, (job) => is("RUNNING")(job) && pidIn(job) > 0 && said(job).split("there").length === 3);
    expect(await isAlive(pidIn(job))).toBe(true);
    await client.send(new TerminateJobCommand({ jobId: id, reason: "enough" }));
    expect(brief(await ended(id))).toEqual(["FAILED", "enough", 137]);
    await expect.poll(() => isAlive(pidIn(job)), POLL).toBe(false);
  });

  it("fail where a machine can't even make their folder, and others go on", async () => {
    const { submit, ended, options } = await open();
    writeFileSync(join(options.folder, "attempts"), "no folder");
    const job = await ended(await submit(""));
    expect(brief(job)).toEqual(["FAILED", "Task failed to start", undefined]);
    expect(job.container?.reason).toMatch(/^CannotStartContainerError: (EEXIST|ENOTDIR)/);
    rmSync(join(options.folder, "attempts"));
    expect((await ended(await submit(""))).status).toBe("SUCCEEDED");
  });

  it.each([
    ["no image of that name", () => undefined, /^CannotPullContainerError: no image a:1$/],
    ["no such program", () => ["/none"], /^CannotStartContainerError: .*ENOENT/],
  ])("fail where there is %s", async (_what, entrypointOf, reason) => {
    const { submit, ended } = await open({ runner: openProcessRunner({ entrypointOf, env: {} }) });
    const job = await ended(await submit("x"));
    expect(brief(job)).toEqual(["FAILED", "Task failed to start", undefined]);
    expect(job.container).toMatchObject({ reason: expect.stringMatching(reason) });
    expect(job.attempts?.[0]?.startedAt).toBeUndefined();
  });
});

describe("waiting jobs", () => {
  const two = { containerOverrides: { resourceRequirements: [{ type: "VCPU" as const, value: "2" }] } };

  it("share the compute environment's vCPUs, the oldest first", async () => {
    const { client, submit, job, ended } = await open();
    const ids = [await submit(SAVES, two), await submit(SAVES, two), await submit("", two), await submit("", {})];
    for (const id of ids.slice(0, 2)) await there(id);
    const { jobs = [] } = await client.send(new DescribeJobsCommand({ jobs: ids.slice(2) }));
    expect(jobs.map(({ status, statusReason }) => [status, statusReason])).toEqual([
      ["RUNNABLE", undefined],
      ["RUNNABLE", undefined],
    ]);
    await client.send(new TerminateJobCommand({ jobId: ids[0]!, reason: "next" }));
    const [third, fourth] = [await ended(ids[2]!), await ended(ids[3]!)];
    expect(third.startedAt).toBeLessThanOrEqual(fourth.startedAt!);
    expect((await job(ids[1]!)).status).toBe("RUNNING");
  });

  it("share the machine's memory and GPUs", async () => {
    const { submit, job } = await open({ host: { memoryMiB: 200, gpus: 1 } });
    const running = await submit(SAVES);
    await there(running);
    const waiting = await submit("");
    await job(waiting, is("RUNNABLE"));
    const large = { containerOverrides: { resourceRequirements: [{ type: "GPU" as const, value: "2" }] } };
    const never = await submit("", large);
    await batch!.client.send(new CancelJobCommand({ jobId: waiting, reason: "not now" }));
    const { statusReason } = await job(never, (job) => job.statusReason !== undefined);
    expect(statusReason).toMatch(/^MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT/);
  });

  it("go to the queue of higher priority first", async () => {
    const { client, submit, ended } = await open();
    await client.send(
      new CreateJobQueueCommand({
        jobQueueName: "urgent",
        priority: 9,
        computeEnvironmentOrder: [{ order: 1, computeEnvironment: "machines" }],
      }),
    );
    const all = { containerOverrides: { resourceRequirements: [{ type: "VCPU" as const, value: "4" }] } };
    const first = await submit(SAVES, all);
    await there(first);
    const [later, sooner] = [await submit("", all), await submit("", { ...all, jobQueue: "urgent" })];
    await client.send(new TerminateJobCommand({ jobId: first, reason: "next" }));
    expect((await ended(sooner)).stoppedAt).toBeLessThanOrEqual((await ended(later)).startedAt!);
  });

  it("are ended by cancel and by terminate, and what runs by terminate alone", async () => {
    const { client, submit, job, ended } = await open({ host: { vcpus: 1 } });
    const [runs, one, other] = [await submit(SAVES), await submit(""), await submit("")];
    await there(runs);
    for (const jobId of [runs, one]) await client.send(new CancelJobCommand({ jobId, reason: "changed my mind" }));
    await client.send(new TerminateJobCommand({ jobId: other, reason: "enough" }));
    expect(await ended(one)).toMatchObject({
      status: "FAILED",
      statusReason: "changed my mind",
      isCancelled: true,
      attempts: [],
    });
    expect(await ended(other)).toMatchObject({
      status: "FAILED",
      statusReason: "enough",
      isTerminated: true,
      attempts: [],
    });
    expect((await job(runs)).status).toBe("RUNNING");
  });

  it("are ended by the queue's limit where no machine is to be had, and only those at its head", async () => {
    const { submit, job, ended } = await open({ secondMs: 1 });
    expect(await ours("compute-environments/machines/exhaust")).toBe(200);
    const [head, next] = [await submit(""), await submit("")];
    const { statusReason } = await job(head, (job) => job.statusReason !== undefined);
    expect(statusReason).toMatch(/^CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - /);
    expect((await job(next)).statusReason).toBeUndefined();
    expect(await ended(head)).toMatchObject({
      status: "FAILED",
      statusReason: "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
      isCancelled: true,
    });
    await job(next, (job) => job.statusReason !== undefined);
    expect(await ours("compute-environments/machines/restore")).toBe(200);
    expect((await ended(next)).status).toBe("SUCCEEDED");
  });
});

describe("lists of jobs", () => {
  it("hold what runs, or one state, or what a filter says, in pages, the newest first", async () => {
    const { client, submit, ended } = await open();
    const ids: string[] = [];
    for (const jobName of ["digits-1", "Digits-2", "other"]) ids.push(await submit("", { jobName }));
    for (const id of ids) await ended(id);
    const runs = await submit(SAVES, { jobName: "digits-3" });
    await there(runs);
    const list = async (more: object): Promise<(string | undefined)[]> => {
      const { jobSummaryList = [] } = await client.send(new ListJobsCommand({ jobQueue: QUEUE, ...more }));
      return jobSummaryList.map(({ jobName }) => jobName);
    };
    const by = (name: string, ...values: string[]): object => ({ filters: [{ name, values }] });
    expect(await list({})).toEqual(["digits-3"]);
    expect(await list({ jobStatus: "SUCCEEDED" })).toEqual(["other", "Digits-2", "digits-1"]);
    expect(await list(by("JOB_NAME", "digits-*"))).toEqual(["digits-3", "Digits-2", "digits-1"]);
    expect(await list(by("JOB_NAME", "DIGITS-1"))).toEqual(["digits-1"]);
    expect(await list(by("JOB_DEFINITION", DEFINITION))).toHaveLength(4);
    expect(await list(by("JOB_DEFINITION", `${DEFINITION}:2`))).toEqual([]);
    expect(await list(by("AFTER_CREATED_AT", "0"))).toHaveLength(4);
    expect(await list(by("BEFORE_CREATED_AT", "1000"))).toEqual([]);
    const names: unknown[] = [];
    let nextToken: string | undefined;
    do {
      const page = await client.send(
        new ListJobsCommand({
          jobQueue: QUEUE,
          ...by("JOB_NAME", "*"),
          maxResults: 1,
          ...(nextToken && { nextToken }),
        }),
      );
      names.push(...(page.jobSummaryList ?? []).map(({ jobName }) => jobName));
      nextToken = page.nextToken;
      // what comes meanwhile moves nothing
      if (names.length === 1) await submit("", { jobName: "late" });
    } while (nextToken !== undefined);
    expect(names).toEqual(["digits-3", "other", "Digits-2", "digits-1"]);
  });
});

describe("what is refused", () => {
  it.each<[string, object, string]>([
    ["no such queue", { jobQueue: "none" }, "JobQueue none not found"],
    ["no such definition", { jobDefinition: "none" }, "JobDefinition none does not exist."],
    ["no such revision", { jobDefinition: `${DEFINITION}:2` }, `JobDefinition ${DEFINITION}:2 does not exist.`],
    ["a name with a space", { jobName: "a b" }, "jobName"],
    ["a name that is too long", { jobName: "a".repeat(129) }, "jobName"],
    ["a name that begins with a hyphen", { jobName: "-a" }, "jobName"],
    ["a time-out of 59 s", { timeout: { attemptDurationSeconds: 59 } }, "at least 60"],
    ["11 attempts", { retryStrategy: { attempts: 11 } }, "1 to 10"],
    [
      "rules without attempts",
      { retryStrategy: { evaluateOnExit: [{ onExitCode: "1", action: "EXIT" }] } },
      "needs attempts",
    ],
    [
      "6 rules",
      {
        retryStrategy: {
          attempts: 2,
          evaluateOnExit: Array.from({ length: 6 }, () => ({ onExitCode: "1", action: "EXIT" })),
        },
      },
      "at most 5",
    ],
    [
      "a rule of no condition",
      { retryStrategy: { attempts: 2, evaluateOnExit: [{ action: "EXIT" }] } },
      "at least one condition",
    ],
    [
      "letters in an exit code",
      { retryStrategy: { attempts: 2, evaluateOnExit: [{ onExitCode: "1a", action: "EXIT" }] } },
      "digits",
    ],
    [
      "the service's own names",
      { containerOverrides: { environment: [{ name: "AWS_BATCH_X", value: "1" }] } },
      "AWS_BATCH_X",
    ],
    [
      "half a vCPU on machines",
      { containerOverrides: { resourceRequirements: [{ type: "VCPU", value: "0.5" }] } },
      "whole number",
    ],
    ["51 tags", { tags: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`t${i}`, ""])) }, "at most 50"],
    ["array jobs", { arrayProperties: { size: 2 } }, "this server has no array jobs"],
    ["dependencies", { dependsOn: [{ jobId: "x" }] }, "this server has no dependencies between jobs"],
    ["multi-node jobs", { nodeOverrides: { numNodes: 2 } }, "this server has no multi-node jobs"],
  ])("%s", async (_what, more, message) => {
    const { client } = await open();
    const request = { jobName: "a", jobQueue: QUEUE, jobDefinition: DEFINITION, ...more };
    await expect(client.send(new SubmitJobCommand(request))).rejects.toMatchObject({
      name: "ClientException",
      message: expect.stringContaining(message),
      $metadata: { httpStatusCode: 400 },
    });
    expect(
      (await client.send(new ListJobsCommand({ jobQueue: QUEUE, filters: [{ name: "JOB_NAME", values: ["*"] }] })))
        .jobSummaryList,
    ).toEqual([]);
  });

  it("what goes on with a queue that takes no jobs, or an environment that is used", async () => {
    const { client, submit, ended } = await open();
    const refused = { name: "ClientException" };
    await expect(client.send(new DeleteJobQueueCommand({ jobQueue: QUEUE }))).rejects.toMatchObject(refused);
    const running = await submit(SAVES);
    await there(running);
    await client.send(new UpdateJobQueueCommand({ jobQueue: QUEUE, state: "DISABLED" }));
    await expect(submit("")).rejects.toMatchObject({ message: "JobQueue jobs is not ENABLED" });
    const environment = { computeEnvironment: "machines" };
    await expect(client.send(new DeleteComputeEnvironmentCommand(environment))).rejects.toMatchObject(refused);
    await client.send(new UpdateComputeEnvironmentCommand({ ...environment, state: "DISABLED" }));
    await expect(client.send(new DeleteComputeEnvironmentCommand(environment))).rejects.toMatchObject(refused);
    await client.send(new DeleteJobQueueCommand({ jobQueue: QUEUE }));
    expect(await ended(running)).toMatchObject({ status: "FAILED", attempts: [{ container: { exitCode: 75 } }] });
    await client.send(new DeleteComputeEnvironmentCommand(environment));
  });

  it.each<[string, object, string]>([
    ["no memory", { resourceRequirements: [{ type: "VCPU", value: "1" }] }, "MEMORY is required"],
    ["a mount of no volume", { mountPoints: [{ sourceVolume: "x", containerPath: "/x" }] }, "no volume x"],
    ["no image", { image: undefined }, "image is required"],
    ["secrets", { secrets: [{ name: "a", valueFrom: "b" }] }, "this server has no secrets"],
  ])("a definition of %s", async (_what, container, message) => {
    const { client } = await open();
    await expect(define(client, container)).rejects.toMatchObject({ message: expect.stringContaining(message) });
  });

  it.each<[string, object, object, string]>([
    [
      "a size that there isn't",
      {
        resourceRequirements: [
          { type: "VCPU", value: "1" },
          { type: "MEMORY", value: "512" },
        ],
      },
      {},
      "no task of 1 vCPUs and 512 MiB",
    ],
    ["no execution role", {}, { executionRoleArn: undefined }, "executionRoleArn is required"],
    ["tmpfs", {}, { linuxParameters: { tmpfs: [] } }, "not on Fargate: tmpfs"],
  ])("on Fargate %s", async (_what, first, second, message) => {
    const { client } = await open();
    const container = {
      executionRoleArn: "arn:aws:iam::000000000000:role/a",
      resourceRequirements: [
        { type: "VCPU" as const, value: "0.25" },
        { type: "MEMORY" as const, value: "512" },
      ],
    };
    const fargate = { platformCapabilities: ["FARGATE" as const] };
    await define(client, container, fargate);
    await expect(define(client, { ...container, ...first, ...second }, fargate)).rejects.toMatchObject({
      message: expect.stringContaining(message),
    });
  });

  it("a page of a browser, an address that isn't loopback's, what is no JSON, and calls that there aren't", async () => {
    const { server } = await open();
    const post = async (path: string, init: RequestInit = {}): Promise<[number, string | null]> => {
      const response = await fetch(`${server.url}${path}`, { method: "POST", ...init });
      return [response.status, response.headers.get("x-amzn-errortype")];
    };
    expect(await post("/v1/describejobs", { headers: { origin: "https://example.com" } })).toEqual([
      403,
      "AccessDeniedException",
    ]);
    expect(await post("/v1/describejobs", { body: "{" })).toEqual([400, "ClientException"]);
    expect(await post("/v1/describejobs", { body: JSON.stringify({ jobs: ["x".repeat(1_100_000)] }) })).toEqual([
      400,
      "ClientException",
    ]);
    expect(await post("/v1/submitservicejob")).toEqual([404, "UnknownOperationException"]);
    expect(await post("/_accrete/jobs/x/none")).toEqual([404, "UnknownOperationException"]);
  });
});

describe("job definitions", () => {
  it("have revisions; without one the newest that is active is meant", async () => {
    const { client, submit, job } = await open();
    await define(client);
    await define(client, {}, { jobDefinitionName: "another" });
    const revisionOf = async (id: string): Promise<string | undefined> => (await job(id)).jobDefinition?.split("/")[1];
    expect(await revisionOf(await submit(""))).toBe(`${DEFINITION}:2`);
    await client.send(new DeregisterJobDefinitionCommand({ jobDefinition: `${DEFINITION}:2` }));
    expect(await revisionOf(await submit(""))).toBe(`${DEFINITION}:1`);
    await expect(submit("", { jobDefinition: `${DEFINITION}:2` })).rejects.toMatchObject({ name: "ClientException" });
    // its number isn't given again
    expect(await define(client)).toMatch(/:job-definition\/a-job:3$/);
    const list = async (more: object): Promise<[unknown, unknown][]> => {
      const { jobDefinitions = [] } = await client.send(new DescribeJobDefinitionsCommand(more));
      return jobDefinitions.map(({ jobDefinitionName, revision }) => [jobDefinitionName, revision]);
    };
    expect(await list({ status: "ACTIVE", jobDefinitionName: DEFINITION })).toEqual([
      ["a-job", 1],
      ["a-job", 3],
    ]);
    expect(await list({ jobDefinitions: ["another:1"] })).toEqual([["another", 1]]);
    const { nextToken } = await client.send(new DescribeJobDefinitionsCommand({ maxResults: 3 }));
    expect(await list({ nextToken })).toEqual([["a-job", 3]]);
    await expect(list({ nextToken: "x" })).rejects.toMatchObject({ name: "ClientException" });
  });

  it("and environments and queues are made once by a name", async () => {
    const { client } = await open();
    const environment = { computeEnvironmentName: "machines", type: "MANAGED" as const, computeResources: MACHINES };
    await expect(client.send(new CreateComputeEnvironmentCommand(environment))).rejects.toMatchObject({
      message: "Object already exists: machines",
    });
    const queue = {
      jobQueueName: QUEUE,
      priority: 1,
      computeEnvironmentOrder: [{ order: 1, computeEnvironment: "machines" }],
    };
    await expect(client.send(new CreateJobQueueCommand(queue))).rejects.toMatchObject({
      message: "Object already exists: jobs",
    });
  });
});

describe("what it tells others", () => {
  it("is every change of a job's state, in order", async () => {
    const { aws, submit, ended } = await openTold();
    const script = "process.exit(process.env.AWS_BATCH_JOB_ATTEMPT === '2' ? 0 : 1)";
    const id = await submit(script, { retryStrategy: { attempts: 2 } });
    await ended(id);
    const states = ["RUNNABLE", "STARTING", "RUNNING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"];
    await expect.poll(() => aws.events.map(({ detail }) => detail.status), POLL).toEqual(states);
    expect(aws.events.at(-1)?.detail).toMatchObject({
      jobId: id,
      attempts: [{ container: { exitCode: 1 } }, { container: { exitCode: 0 } }],
    });
  });

  it("goes on where EventBridge doesn't answer for a while", async () => {
    const { aws, faults, submit, ended } = await openTold();
    aws.failures.push(400, 500);
    await ended(await submit(""));
    await expect.poll(() => aws.events.at(-1)?.detail.status, POLL).toBe("SUCCEEDED");
    expect(faults.filter((fault) => fault.includes("events are lost"))).toHaveLength(1);
  });

  it("is what jobs write, line by line, to the group and stream of the definition", async () => {
    const { aws, client, submit, ended } = await openTold();
    const script = 'console.log("one"); console.error("two\\n\\nfour"); process.stdout.write("no end")';
    const job = await ended(await submit(script));
    expect(job.container?.logStreamName).toMatch(/^a-job\/default\/[0-9a-f]{32}$/);
    const linesOf = (group: string, { container }: JobDetail): unknown =>
      aws.lines.get(`${group} ${container?.logStreamName}`);
    expect(linesOf("/aws/batch/job", job)).toEqual(["one", "two", " ", "four", "no end"]);
    // a group of one's own has to be there, as on AWS
    const options = { "awslogs-group": "/mine", "awslogs-stream-prefix": "digits" };
    await define(client, { logConfiguration: { logDriver: "awslogs", options } });
    await ended(await submit("console.log(1)"));
    expect([...aws.groups]).toEqual(["/aws/batch/job"]);
    aws.groups.add("/mine");
    const mine = await ended(await submit("console.log(2)"));
    expect(mine.container?.logStreamName).toMatch(/^digits\/default\//);
    expect(linesOf("/mine", mine)).toEqual(["2"]);
  });

  it("comes while the job runs", async () => {
    const { aws, submit } = await openTold();
    const id = await submit(
      'console.log("there"); setTimeout(() => console.log("more"), 200); setInterval(() => {}, 1000)',
    );
    await there(id);
    await expect.poll(() => [...aws.lines.values()], POLL).toEqual([["there", "more"]]);
  });
});

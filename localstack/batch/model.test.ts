/** Nothing made up: what is asked and what is answered, against the model of AWS Batch that AWS' own SDK for Python has. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { OPERATIONS } from "./routes.ts";
import { openAwsEndpoint, type AwsEndpoint } from "./testing/aws-endpoint.ts";
import { DEFINITION, MACHINES, openTestBatch, QUEUE, type TestBatch } from "./testing/batch.ts";
import { modelFault, readModel, shapeFaults, type Model } from "./testing/model.ts";

type Name = keyof typeof OPERATIONS;
const Answer = z.record(z.string(), z.unknown());
const QueueArns = z.object({ jobQueues: z.array(z.looseObject({ jobQueueArn: z.string() })) });

/** A busy machine must not fail a test. */
const POLL = { timeout: 20_000 };

const fault = await modelFault();

describe.skipIf(fault !== undefined)(`the model of AWS Batch${fault === undefined ? "" : ` (${fault})`}`, () => {
  let model: Model;
  let batch: TestBatch;
  let aws: AwsEndpoint;
  beforeAll(async () => {
    model = readModel();
    aws = await openAwsEndpoint();
    batch = await openTestBatch({ endpoint: aws.url });
  });
  afterAll(async () => {
    await batch?.close();
    await aws?.close();
  });

  const raw = async (
    path: string,
    body?: object,
    method = "POST",
  ): Promise<{ status: number; type: string | null; answer: Record<string, unknown> }> => {
    const request = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const response = await fetch(`${batch.server.url}${path}`, request);
    return {
      status: response.status,
      type: response.headers.get("x-amzn-errortype"),
      answer: Answer.parse(await response.json()),
    };
  };
  const pathOf = (name: string): string => model.operations[name]!.http.requestUri;
  /** A call that is right: its answer has the model's shape. */
  const call = async (name: Name, body: object): Promise<Record<string, unknown>> => {
    expect(shapeFaults(model, model.operations[name]!.input.shape, body)).toEqual([]);
    const { status, answer } = await raw(pathOf(name), body);
    expect(shapeFaults(model, model.operations[name]!.output.shape, answer)).toEqual([]);
    expect({ status, answer: status === 200 ? {} : answer }).toEqual({ status: 200, answer: {} });
    return answer;
  };

  it.each(Object.keys(OPERATIONS) as Name[])("%s takes what the model has, and nothing else", (name) => {
    const { http, input, errors } = model.operations[name]!;
    expect(http).toEqual({ method: "POST", requestUri: `/v1/${name.toLowerCase()}` });
    expect(errors.map(({ shape }) => shape)).toContain("ClientException");
    expect(schemaFaults(model, input.shape, OPERATIONS[name].schema)).toEqual([]);
  });

  it.each(Object.keys(OPERATIONS) as Name[])(
    "%s refuses unknown members, wrong kinds and missing ones",
    async (name) => {
      const { required = [], members = {} } = model.shapes[model.operations[name]!.input.shape]!;
      const valueOf = (key: string): unknown => {
        const { type, enum: values } = model.shapes[members[key]!.shape]!;
        return { string: values?.[0] ?? "x", integer: 1, list: [], map: {}, structure: {} }[type];
      };
      const whole = Object.fromEntries(required.map((key) => [key, valueOf(key)]));
      const wrong: object[] = [
        { ...whole, madeUp: 1 },
        ...required.map((key) => ({ ...whole, [key]: undefined })),
        ...Object.keys(members).map((key) => ({
          ...whole,
          [key]: model.shapes[members[key]!.shape]!.type === "string" ? 1 : "x",
        })),
      ];
      for (const body of wrong) {
        const { status, type, answer } = await raw(pathOf(name), body);
        expect([body, status, type]).toEqual([body, 400, "ClientException"]);
        expect(shapeFaults(model, "ClientException", answer)).toEqual([]);
      }
    },
  );

  it(
    "answers in the model's shapes, whatever became of a job, and tells of it in them",
    { timeout: 90_000 },
    async () => {
      await call("CreateComputeEnvironment", {
        computeEnvironmentName: "fargate",
        type: "MANAGED",
        serviceRole: "arn:aws:iam::000000000000:role/batch",
        computeResources: { type: "FARGATE", maxvCpus: 4, subnets: ["subnet-1"], securityGroupIds: ["sg-1"] },
        tags: { a: "b" },
      });
      await call("UpdateComputeEnvironment", {
        computeEnvironment: "fargate",
        computeResources: { maxvCpus: 8 },
        updatePolicy: { terminateJobsOnUpdate: false, jobExecutionTimeoutMinutes: 30 },
      });
      await call("CreateJobQueue", {
        jobQueueName: "second",
        priority: 2,
        computeEnvironmentOrder: [{ order: 1, computeEnvironment: "fargate" }],
        tags: { a: "b" },
      });
      await call("UpdateJobQueue", { jobQueue: "second", priority: 3 });
      await call("RegisterJobDefinition", {
        jobDefinitionName: "whole",
        type: "container",
        parameters: { code: "3" },
        propagateTags: true,
        tags: { a: "b" },
        timeout: { attemptDurationSeconds: 60 },
        platformCapabilities: ["EC2"],
        retryStrategy: { attempts: 2, evaluateOnExit: [{ onExitCode: "3", action: "RETRY" }] },
        containerProperties: {
          image: "a:1",
          user: "1000:1000",
          command: ["process.exit(Number(process.argv[1]))", "Ref::code"],
          jobRoleArn: "arn:aws:iam::000000000000:role/a",
          executionRoleArn: "arn:aws:iam::000000000000:role/b",
          readonlyRootFilesystem: true,
          privileged: false,
          environment: [{ name: "A", value: "1" }],
          volumes: [{ name: "scratch", host: { sourcePath: "/scratch" } }],
          mountPoints: [{ sourceVolume: "scratch", containerPath: "/scratch", readOnly: false }],
          ulimits: [{ name: "nofile", softLimit: 10, hardLimit: 20 }],
          resourceRequirements: [
            { type: "VCPU", value: "1" },
            { type: "MEMORY", value: "64" },
            { type: "GPU", value: "1" },
          ],
          linuxParameters: {
            initProcessEnabled: true,
            sharedMemorySize: 64,
            tmpfs: [{ containerPath: "/tmp", size: 64, mountOptions: ["rw"] }],
            devices: [{ hostPath: "/dev/null", permissions: ["READ"] }],
          },
          logConfiguration: { logDriver: "awslogs", options: { "awslogs-stream-prefix": "p" } },
        },
      });
      const submit = async (body: object): Promise<string> => {
        const answer = await call("SubmitJob", {
          jobName: "a-job",
          jobQueue: QUEUE,
          jobDefinition: DEFINITION,
          ...body,
        });
        return String(answer["jobId"]);
      };
      const script = (command: string, more: object = {}): Promise<string> =>
        submit({ containerOverrides: { command: [command] }, tags: { run: "1" }, ...more });
      const ids = [
        await submit({ jobDefinition: "whole" }),
        await script("process.exit(0)"),
        await script("setInterval(() => {}, 1000)"),
        await script("setInterval(() => {}, 1000)"),
        // no machine for it
        await script("process.exit(0)", {
          containerOverrides: { resourceRequirements: [{ type: "VCPU", value: "64" }] },
        }),
        await script("process.exit(0)"),
      ];
      const [stopped = "", lost = "", large = "", cancelled = ""] = ids.slice(2);
      await batch.job(lost, ({ status }) => status === "RUNNING");
      await batch.job(large, ({ statusReason }) => statusReason !== undefined);
      await call("DescribeJobs", { jobs: ids });
      await call("ListJobs", { jobQueue: QUEUE });
      await call("CancelJob", { jobId: cancelled, reason: "no" });
      await call("TerminateJob", { jobId: large, reason: "no" });
      await call("TerminateJob", { jobId: stopped, reason: "no" });
      expect((await raw(`/_accrete/jobs/${lost}/reclaim`)).status).toBe(200);
      for (const id of ids) await batch.ended(id);
      const { jobs } = await call("DescribeJobs", { jobs: ids });
      expect(jobs).toMatchObject([
        { status: "FAILED", attempts: [{ container: { exitCode: 3 } }, { container: { exitCode: 3 } }] },
        { status: "SUCCEEDED" },
        { status: "FAILED", statusReason: "no" },
        {
          status: "FAILED",
          statusReason: expect.stringMatching(/^Host EC2 \(instance i-[0-9a-f]{17}\) terminated\.$/),
        },
        { status: "FAILED" },
        { status: "FAILED" },
      ]);
      for (const jobStatus of ["FAILED", "SUCCEEDED"])
        await call("ListJobs", { jobQueue: QUEUE, jobStatus, maxResults: 1 });
      await call("ListJobs", { jobQueue: QUEUE, filters: [{ name: "JOB_NAME", values: ["A*"] }] });
      for (const name of ["DescribeJobDefinitions", "DescribeJobQueues", "DescribeComputeEnvironments"] as const)
        await call(name, {});
      await call("DeregisterJobDefinition", { jobDefinition: "whole:1" });
      await call("UpdateJobQueue", { jobQueue: "second", state: "DISABLED" });
      await call("DeleteJobQueue", { jobQueue: "second" });
      await call("UpdateComputeEnvironment", { computeEnvironment: "fargate", state: "DISABLED" });
      await call("DeleteComputeEnvironment", { computeEnvironment: "fargate" });
      await eventsAreRight();
    },
  );

  async function eventsAreRight(): Promise<void> {
    await expect
      .poll(() => aws.events.filter(({ detail }) => /FAILED|SUCCEEDED/.test(detail.status)).length, POLL)
      .toBe(6);
    expect(aws.events.length).toBeGreaterThan(18);
    for (const { source, detailType, resources, detail } of aws.events) {
      expect([source, detailType, resources]).toEqual(["aws.batch", "Batch Job State Change", [detail["jobArn"]]]);
      // the service's example of an event has no time of a job that hasn't begun
      const { attempts } = detail;
      const hasBegun = detail.status === "RUNNING" || attempts.some(({ startedAt }) => startedAt !== undefined);
      const missing = hasBegun ? [] : ["JobDetail.startedAt: missing"];
      expect(shapeFaults(model, "JobDetail", detail)).toEqual(missing);
      expect(detail.status).not.toBe("SUBMITTED");
    }
  }

  it("tags what there is, at the model's addresses", async () => {
    const { answer } = await raw(pathOf("DescribeJobQueues"), {});
    const [queue] = QueueArns.parse(answer).jobQueues;
    const path = `/v1/tags/${encodeURIComponent(queue!.jobQueueArn)}`;
    const list = async (): Promise<unknown> => {
      const { answer } = await raw(path, undefined, "GET");
      expect(shapeFaults(model, "ListTagsForResourceResponse", answer)).toEqual([]);
      return answer["tags"];
    };
    for (const name of ["TagResource", "UntagResource", "ListTagsForResource"])
      expect(pathOf(name)).toBe("/v1/tags/{resourceArn}");
    expect(await raw(path, { tags: { a: "1", b: "2" } })).toMatchObject({ status: 200, answer: {} });
    expect(await list()).toEqual({ a: "1", b: "2" });
    expect(await raw(`${path}?tagKeys=a&tagKeys=c`, undefined, "DELETE")).toMatchObject({ status: 200, answer: {} });
    expect(await list()).toEqual({ b: "2" });
    for (const [wrong, body, method] of [
      [path, {}, "POST"],
      [path, { tags: { a: "1" }, more: 1 }, "POST"],
      [path, { tags: { "aws:a": "1" } }, "POST"],
      [path, undefined, "DELETE"],
      ["/v1/tags/arn%3Aaws%3Abatch%3Aeu-central-1%3A000000000000%3Ajob-queue%2Fnone", undefined, "GET"],
    ] as const)
      expect(await raw(wrong, body, method)).toMatchObject({ status: 400, type: "ClientException" });
  });

  it("takes the compute environment that the test suite has", () => {
    expect(shapeFaults(model, "ComputeResource", MACHINES)).toEqual([]);
  });
});

/** Where a schema of ours and a shape of the model differ in names, kinds, or what is required. */
function schemaFaults(model: Model, name: string, schema: z.core.$ZodType, path = name): string[] {
  const shape = model.shapes[name]!;
  const def = (schema as z.core.$ZodTypes)._zod.def;
  if (def.type === "optional") return schemaFaults(model, name, def.innerType, path);
  // refused by name
  if (def.type === "never") return [];
  if (def.type === "object" && shape.type === "structure") {
    const members = shape.members ?? {};
    const unlike = [...Object.keys(members), ...Object.keys(def.shape)].filter(
      (key) => !(key in members && key in def.shape),
    );
    return [
      ...unlike.map((key) => `${path}.${key}: ${key in members ? "not ours" : "made up"}`),
      ...Object.entries(def.shape).flatMap(([key, one]) => {
        if (members[key] === undefined) return [];
        const isRequired = (one as z.core.$ZodTypes)._zod.def.type !== "optional";
        const fault =
          isRequired === (shape.required ?? []).includes(key) ? [] : [`${path}.${key}: required: ${isRequired}`];
        return [...fault, ...schemaFaults(model, members[key].shape, one, `${path}.${key}`)];
      }),
    ];
  }
  if (def.type === "array" && shape.type === "list")
    return schemaFaults(model, shape.member!.shape, def.element, `${path}[]`);
  if (def.type === "record" && shape.type === "map")
    return schemaFaults(model, shape.value!.shape, def.valueType, `${path}.*`);
  if (def.type === "enum" && shape.type === "string")
    return Object.values(def.entries)
      .filter((value) => shape.enum !== undefined && !shape.enum.includes(String(value)))
      .map((value) => `${path}: ${value} is made up`);
  const kinds = { string: ["string"], number: ["integer", "long"], boolean: ["boolean"] }[def.type as string];
  return kinds?.includes(shape.type) === true ? [] : [`${path}: ${def.type}, not ${shape.type}`];
}

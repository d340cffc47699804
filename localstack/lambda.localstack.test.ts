/** What a handler may rely on, without Docker: as on AWS. */
import { readdirSync, readFileSync } from "node:fs";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import {
  CreateEventSourceMappingCommand,
  CreateFunctionCommand,
  DeleteFunctionCommand,
  InvokeCommand,
  LambdaClient,
  PutFunctionConcurrencyCommand,
  UpdateFunctionConfigurationCommand,
  waitUntilFunctionActiveV2,
  waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { beforeAll, describe, expect, it } from "vitest";
import { until } from "../scripts/workspace.ts";
import { ACCOUNT } from "./environment.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";
import { zipOf } from "./testing/zip.ts";

const cloud = cloudOfTests();
const client = new LambdaClient({ ...clientOptions(cloud), maxAttempts: 1 });
const sqs = new SQSClient(clientOptions(cloud));
const logs = new CloudWatchLogsClient(clientOptions(cloud));
const LOOK_MS = 200;

const CODE = `
export async function handler(event, context) {
  console.log("hello from", process.pid, context.awsRequestId);
  if (event.op === "env")
    return { greeting: process.env.GREETING, region: process.env.AWS_REGION, left: context.getRemainingTimeInMillis(), node: process.version,
      arn: context.invokedFunctionArn, memory: context.memoryLimitInMB, heap: (await import("node:v8")).getHeapStatistics().heap_size_limit,
      home: process.env.HOME, config: process.env.AWS_CONFIG_FILE, batch: process.env.AWS_ENDPOINT_URL_BATCH };
  if (event.op === "throw") throw new TypeError("no such thing: é");
  if (event.op === "exit") process.exit(3);
  if (event.op === "spin") for (;;);
  if (event.op === "sleep") await new Promise((done) => setTimeout(done, event.ms));
  if (event.op === "print") process.stdout.write("raw line\\n");
  if (event.op === "big") return "x".repeat(event.bytes);
  if (event.op === "reject") { Promise.reject(new RangeError("nobody waits")); await new Promise((done) => setTimeout(done, 500)); }
  return { pid: process.pid, size: JSON.stringify(event).length };
}`;

let serial = 0;
async function create(code: string, more: { Timeout?: number } = {}): Promise<string> {
  const FunctionName = `check-${process.pid}-${serial++}`;
  await client.send(
    new CreateFunctionCommand({
      FunctionName,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Role: `arn:aws:iam::${ACCOUNT}:role/check`,
      Timeout: 2,
      MemorySize: 256,
      Code: { ZipFile: zipOf("index.mjs", code) },
      Environment: { Variables: { GREETING: "grüß dich" } },
      ...more,
    }),
  );
  await waitUntilFunctionActiveV2({ client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { FunctionName });
  return FunctionName;
}

interface Invoked {
  readonly body: Record<string, unknown>;
  readonly text: string;
  readonly error: string | undefined;
  readonly log: string;
  readonly ms: number;
}

async function invoke(FunctionName: string, event: object = {}): Promise<Invoked> {
  const from = performance.now();
  const reply = await client.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event), LogType: "Tail" }));
  const text = reply.Payload?.transformToString() ?? "";
  const value: unknown = JSON.parse(text || "null");
  return {
    body: typeof value === "object" && value !== null ? { ...value } : {},
    text,
    error: reply.FunctionError,
    log: Buffer.from(reply.LogResult ?? "", "base64").toString(),
    ms: performance.now() - from,
  };
}

async function messagesOf(group: string): Promise<string[]> {
  const { events = [] } = await logs.send(new FilterLogEventsCommand({ logGroupName: group }));
  return events.map(({ message = "" }) => message);
}

describe("a function", () => {
  let name: string;
  beforeAll(async () => {
    name = await create(CODE);
  });

  it("keeps its process for the next call, and says so in its report", async () => {
    const [first, second] = [await invoke(name), await invoke(name)];
    expect(first.body["pid"]).toBe(second.body["pid"]);
    expect(first.log).toMatch(/^INIT_START [\s\S]*Init Duration: [\d.]+ ms$/m);
    expect(second.log).toMatch(
      /^START RequestId: (\S+) Version: \$LATEST\n.*Z\t\1\tINFO\thello from \d+ \1\nEND RequestId: \1\nREPORT RequestId: \1\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\n$/,
    );
  });

  it("gets its environment, what Lambda sets, and nothing of the user's own", async () => {
    const { body } = await invoke(name, { op: "env" });
    expect(body).toMatchObject({
      greeting: "grüß dich",
      region: "us-east-1",
      memory: "256",
      arn: `arn:aws:lambda:us-east-1:${ACCOUNT}:function:${name}`,
      node: process.version,
      config: "/dev/null",
      batch: cloud.batch,
    });
    expect(body["left"]).toBeGreaterThan(500);
    expect(body["left"]).toBeLessThanOrEqual(2_000);
    expect(body["heap"]).toBeLessThan(400 * 2 ** 20);
    expect(body["home"]).toContain(cloud.folder);
  });

  it("says what was thrown, and goes on in the same process", async () => {
    const { body: before } = await invoke(name);
    const { body, error, log } = await invoke(name, { op: "throw" });
    expect(error).toBe("Unhandled");
    expect(body).toMatchObject({ errorType: "TypeError", errorMessage: "no such thing: é" });
    expect(log).toContain('ERROR\tInvoke Error \t{"errorType":"TypeError"');
    expect((await invoke(name)).body["pid"]).toBe(before["pid"]);
  });

  it.each([
    ["exit", /exited with error: exit status 3$/, "Runtime.ExitError"],
    ["reject", /^nobody waits$/, "Runtime.UnhandledPromiseRejection"],
  ])("that ends its process (%s) is an error, and works afterwards", async (op, message, errorType) => {
    const { body, error } = await invoke(name, { op });
    expect(error).toBe("Unhandled");
    expect(body).toMatchObject({ errorType, errorMessage: expect.stringMatching(message) });
    expect((await invoke(name)).error).toBeUndefined();
  });

  it("is stopped at its time-out even in a busy loop, and works afterwards", async () => {
    const { body, error, log, ms } = await invoke(name, { op: "spin" });
    expect(error).toBe("Unhandled");
    expect(body).toMatchObject({ errorType: "Sandbox.Timedout" });
    expect(ms).toBeGreaterThan(1_900);
    expect(log).toMatch(/Task timed out after 2\.00 seconds\nEND [\s\S]*\tStatus: timeout$/m);
    expect((await invoke(name)).error).toBeUndefined();
  });

  it("may print: that is its log, not its answer", async () => {
    const { body, log } = await invoke(name, { op: "print" });
    expect(log).toContain("\nraw line\n");
    expect(body).toHaveProperty("pid");
  });

  it("takes and answers 5 MB, and answers no more than 6", async () => {
    expect((await invoke(name, { op: "big", bytes: 5_000_000 })).text).toHaveLength(5_000_002);
    expect((await invoke(name, { pad: "y".repeat(5_000_000) })).body["size"]).toBeGreaterThan(5_000_000);
    const { body } = await invoke(name, { op: "big", bytes: 7_000_000 });
    expect(body).toMatchObject({ errorType: "Function.ResponseSizeTooLarge" });
  });

  it("runs as many processes as there are calls at once, up to its reserved concurrency", async () => {
    const four = () => Promise.all([1, 2, 3, 4].map(() => invoke(name, { op: "sleep", ms: 1_000 })));
    expect(new Set((await four()).map(({ body }) => body["pid"])).size).toBe(4);
    await client.send(new PutFunctionConcurrencyCommand({ FunctionName: name, ReservedConcurrentExecutions: 2 }));
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => invoke(name, { op: "sleep", ms: 1_500 })));
    const refused = outcomes.filter((one) => one.status === "rejected").map(({ reason }) => String(reason));
    expect(refused).toHaveLength(2);
    expect(refused[0]).toContain("TooManyRequestsException");
  });

  it("whose configuration changes gets a new process; its log has all calls; deleted, it leaves none", async () => {
    const Environment = { Variables: { GREETING: "new" } };
    await client.send(new UpdateFunctionConfigurationCommand({ FunctionName: name, Environment }));
    await waitUntilFunctionUpdatedV2({ client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { FunctionName: name });
    expect((await invoke(name, { op: "env" })).body["greeting"]).toBe("new");
    await until("its log", 10_000, async () => {
      const lines = await messagesOf(`/aws/lambda/${name}`);
      return ["hello from", "raw line", "Task timed out"].every((text) => lines.some((line) => line.includes(text)))
        ? true
        : undefined;
    });
    expect(processesWith(name).length).toBeGreaterThan(0);
    await client.send(new DeleteFunctionCommand({ FunctionName: name }));
    await until("the end of its processes", 10_000, async () => (processesWith(name).length === 0 ? true : undefined));
  });
});

describe("a function that can't begin", () => {
  it.each([
    ["throws at import", "throw new RangeError('at import')", { errorType: "RangeError", errorMessage: "at import" }],
    ["has no handler", "export const other = 1", { errorType: "Runtime.HandlerNotFound" }],
    ["is no JavaScript", "export {", { errorType: "Runtime.UserCodeSyntaxError" }],
    ["ends at once", "process.exit(4)", { errorType: "Runtime.ExitError" }],
  ])("and %s says so with each call, and in its log", async (_what, code, expected) => {
    const name = await create(code);
    for (const call of [await invoke(name), await invoke(name)]) {
      expect(call.error).toBe("Unhandled");
      expect(call.body).toMatchObject(expected);
      expect(call.log).toMatch(/^INIT_REPORT .*Status: error\tError Type: /m);
    }
  });

  it("is not made where its Node is not the one that runs here", async () => {
    const FunctionName = `check-${process.pid}-old`;
    const Code = { ZipFile: zipOf("index.mjs", CODE) };
    const Role = `arn:aws:iam::${ACCOUNT}:role/check`;
    await client.send(
      new CreateFunctionCommand({ FunctionName, Runtime: "nodejs20.x", Handler: "index.handler", Role, Code }),
    );
    await expect(
      waitUntilFunctionActiveV2({ client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { FunctionName }),
    ).rejects.toThrow(/only nodejs24\.x can be run here/);
  });
});

it("takes batches from a queue: a window's messages at once, what failed again, and at last among the dead letters", async () => {
  const queue = async (
    QueueName: string,
    Attributes: Record<string, string>,
  ): Promise<{ url: string; arn: string }> => {
    const { QueueUrl: url = "" } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
    const found = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ["QueueArn"] }));
    return { url, arn: found.Attributes?.["QueueArn"] ?? "" };
  };
  const id = `check-${process.pid}`;
  const dead = await queue(`${id}-dead`, {});
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 2 });
  const source = await queue(id, { VisibilityTimeout: "4", RedrivePolicy });
  const name = await create(`export async function handler({ Records }) {
    process.stdout.write("BATCH " + Records.map((r) => r.body).join() + "\\n");
    if (Records.some((r) => r.body === "throw")) throw new Error("all of it");
    return { batchItemFailures: Records.filter((r) => r.body === "bad").map((r) => ({ itemIdentifier: r.messageId })) };
  }`);
  await client.send(
    new CreateEventSourceMappingCommand({
      FunctionName: name,
      EventSourceArn: source.arn,
      BatchSize: 1_000,
      MaximumBatchingWindowInSeconds: 2,
      FunctionResponseTypes: ["ReportBatchItemFailures"],
    }),
  );
  for (let from = 0; from < 50; from += 10) {
    const Entries = Array.from({ length: 10 }, (_, i) => ({
      Id: `${i}`,
      MessageBody: from + i === 7 ? "bad" : `m${from + i}`,
    }));
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: source.url, Entries }));
  }
  const letters: string[] = [];
  const untilDead = (count: number): Promise<true> =>
    until(
      "the dead letters",
      60_000,
      async () => {
        const { Messages = [] } = await sqs.send(
          new ReceiveMessageCommand({ QueueUrl: dead.url, MaxNumberOfMessages: 10 }),
        );
        letters.push(...Messages.map(({ Body = "" }) => Body));
        return letters.length >= count ? true : undefined;
      },
      LOOK_MS,
    );
  await untilDead(1);
  await sqs.send(new SendMessageCommand({ QueueUrl: source.url, MessageBody: "throw" }));
  await untilDead(2);
  expect(letters).toEqual(["bad", "throw"]);
  const batches = (await messagesOf(`/aws/lambda/${name}`))
    .filter((line) => line.startsWith("BATCH "))
    .map((line) => line.trim().slice(6).split(","));
  expect(Math.max(...batches.map((bodies) => bodies.length))).toBeGreaterThan(10);
  const timesOf = (body: string): number => batches.flat().filter((one) => one === body).length;
  expect([timesOf("m3"), timesOf("bad"), timesOf("throw")]).toEqual([1, 2, 2]);
}, 180_000);

function processesWith(name: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`AWS_LAMBDA_FUNCTION_NAME=${name}\0`);
    } catch {
      return false;
    }
  });
}

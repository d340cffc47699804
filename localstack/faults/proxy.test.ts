import { setTimeout as sleep } from "node:timers/promises";
import { BatchClient, SubmitJobCommand } from "@aws-sdk/client-batch";
import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openS3Client } from "../../adapters/s3-client.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { openFakeS3, type FakeS3 } from "../../test/fake-s3.ts";
import { openServer, type TestServer } from "../../test/http-server.ts";
import { openFaultProxy, type FaultProxy } from "./proxy.ts";

const BODY = new TextEncoder().encode("one");
let s3: FakeS3;
let proxy: FaultProxy;
let client: S3Client;
/** what the server behind was asked, by operation */
let asked: { target: string; body: string; host: string | undefined }[];
let server: TestServer;
let messages: string[];

const options = (endpoint: string) => ({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 2,
});

beforeEach(async () => {
  [asked, messages] = [[], []];
  s3 = await openFakeS3();
  server = await openServer((request, body, response) => {
    const target = String(request.headers["x-amz-target"] ?? request.url);
    asked.push({ target, body: body.toString(), host: request.headers.host });
    const Messages = messages.splice(0).map((Body) => ({ Body, MessageId: Body, ReceiptHandle: Body }));
    response.setHeader("content-type", "application/x-amz-json-1.0");
    response.end(JSON.stringify(target.endsWith("ReceiveMessage") ? { Messages } : { jobId: "j", jobName: "n" }));
  });
  proxy = await openFaultProxy({ endpoint: s3.url, batch: server.url });
  client = openS3Client({ attempts: 2, config: options(proxy.endpoint) });
});
afterEach(async () => {
  client.destroy();
  await proxy.close();
  await Promise.all([s3.close(), server.close()]);
});

const store = () => openS3Store({ client, bucket: "state", prefix: "p", owner: "123456789012" });

describe("a write", () => {
  it.each([
    ["is answered with an error", { is: "status", status: 503, code: "SlowDown" }, false],
    ["is answered with an error, and was made", { is: "status", status: 500, code: "InternalError", done: true }, true],
    ["breaks off", { is: "reset" }, false],
    ["breaks off after it was made", { is: "reset", done: true }, true],
  ] as const)("%s: its outcome is unknown", async (_, fault, isThere) => {
    const armed = proxy.arm({ service: "s3", operation: "PutObject", about: /\/a\?/ }, fault);
    expect(await store().create("b", BODY)).toBe("won");
    expect(armed.hit).toBeUndefined();
    expect(await store().create("a", BODY)).toBe("unknown");
    expect(armed.hit).toMatch(/^s3 PutObject \/state\/p\/a/);
    expect(s3.objects.has("state/p/a")).toBe(isThere);
    expect(await store().create("a", BODY)).toBe(isThere ? "lost" : "won");
  });

  it("goes through whole, as reads and lists do, with the host that was asked", async () => {
    const large = new Uint8Array(3_000_000).map((_, i) => i % 251);
    expect(await store().create("ü +", large)).toBe("won");
    expect(Buffer.from((await store().get("ü +"))!.body).equals(large)).toBe(true);
    expect((await store().list("")).objects.map(({ key }) => key)).toEqual(["ü +"]);
    expect(await store().head("none")).toBeUndefined();
    expect(s3.requests[0]!.headers.host).toBe(new URL(proxy.endpoint).host);
  });

  it("is met by one fault, the first that fits after so many others", async () => {
    const all = ["s3 PutObject /state/p/2", "s3 PutObject /state/p/1"];
    const seen: string[] = [];
    const at = { service: "s3", operation: "PutObject" };
    proxy.arm({ ...at, skip: 1 }, { is: "reset" }, (call) => seen.push(call.split("?")[0]!));
    proxy.arm(at, { is: "reset" }, (call) => seen.push(call.split("?")[0]!));
    const off = proxy.arm(at, { is: "reset" });
    off.disarm();
    for (const key of ["1", "2", "3"]) await store().create(key, BODY);
    expect(seen.sort()).toEqual(all.sort());
    expect([...s3.objects.keys()]).toEqual(["state/p/3"]);
  });
});

it("makes a moment of a call: before it is carried out, or after", async () => {
  const had: boolean[] = [];
  const at = { service: "s3", operation: "PutObject" };
  const act = async (): Promise<unknown> => had.push(s3.objects.has("state/p/a"));
  proxy.arm(at, { is: "moment", act });
  await store().create("a", BODY);
  s3.objects.clear();
  proxy.arm(at, { is: "moment", act, done: true });
  await store().create("a", BODY);
  expect(had).toEqual([false, true]);
});

it("has the store's hours go by", async () => {
  await store().create("a", BODY);
  proxy.storeAheadMs = 3_600_000;
  const { objects, nowMs } = await store().list("");
  expect(nowMs - objects[0]!.modifiedMs).toBeGreaterThan(3_590_000);
});

describe("with a queue, a bus and Batch", () => {
  let other: FaultProxy;
  beforeEach(async () => void (other = await openFaultProxy({ endpoint: server.url, batch: server.url })));
  afterEach(() => other.close());
  const operations = (): string[] => asked.map(({ target }) => target.replace(/^.*[./]/, ""));

  it("loses the answer of SubmitJob: the job is there, and who asked is not told", async () => {
    const batch = new BatchClient({ ...options(other.batch), maxAttempts: 1 });
    other.arm({ service: "batch", operation: "SubmitJob" }, { is: "reset", done: true });
    const submit = new SubmitJobCommand({ jobName: "n", jobQueue: "q", jobDefinition: "d" });
    await expect(batch.send(submit)).rejects.toThrow(/socket hang up|ECONNRESET/);
    expect(operations()).toEqual(["submitjob"]);
  });

  it("sends a message twice, and holds one back", async () => {
    const sqs = new SQSClient({ ...options(other.endpoint), md5: false });
    const message = (MessageBody: string) =>
      sqs.send(new SendMessageCommand({ QueueUrl: `${other.endpoint}/q`, MessageBody }));
    const at = { service: "sqs", operation: "SendMessage" };
    other.arm({ ...at, about: /twice/ }, { is: "twice" });
    const held = Promise.withResolvers<void>();
    other.arm({ ...at, about: /slow/ }, { is: "delay", until: () => held.promise });
    await message("twice");
    const slow = message("slow");
    await message("quick");
    held.resolve();
    await slow;
    expect(asked.map(({ body }) => /"(twice|slow|quick)"/.exec(body)?.[1])).toEqual([
      "twice",
      "twice",
      "quick",
      "slow",
    ]);
  });

  it("gives messages of a queue out again, and only those", async () => {
    const receive = async (side: string, queue: string): Promise<unknown> => {
      const headers = {
        authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request",
        "x-amz-target": "AmazonSQS.ReceiveMessage",
      };
      const body = JSON.stringify({ QueueUrl: `http://x/${queue}` });
      const answer: unknown = await (await fetch(side, { method: "POST", headers, body })).json();
      return answer;
    };
    const armed = other.arm({ side: "inside", service: "sqs", operation: "ReceiveMessage" }, { is: "again" });
    messages.push("m1");
    const first = await receive(other.inside, "a");
    await receive(other.endpoint, "a");
    await receive(other.inside, "b");
    expect(armed.hit).toBeUndefined();
    expect(await receive(other.inside, "a")).toEqual(first);
    expect(armed.hit).toBeDefined();
    expect(asked).toHaveLength(3);
  });

  it("answers for the bus, and brings the events later", async () => {
    const bus = new EventBridgeClient(options(other.endpoint));
    const later = Promise.withResolvers<void>();
    other.arm({ service: "events", operation: "PutEvents" }, { is: "late", until: () => later.promise });
    const Entries = ["1", "2"].map((Detail) => ({ Source: "s", DetailType: "d", Detail }));
    expect(await bus.send(new PutEventsCommand({ Entries }))).toMatchObject({
      FailedEntryCount: 0,
      Entries: [{ EventId: expect.any(String) }, { EventId: expect.any(String) }],
    });
    expect(asked).toEqual([]);
    later.resolve();
    while (asked.length === 0) await sleep(5);
    expect(operations()).toEqual(["PutEvents"]);
  });
});

it("is as if nobody were there, where nobody is", async () => {
  await server.close();
  const batch = new BatchClient({ ...options(proxy.batch), maxAttempts: 1 });
  await expect(batch.send(new SubmitJobCommand({ jobName: "n", jobQueue: "q", jobDefinition: "d" }))).rejects.toThrow(
    /socket hang up|ECONNRESET/,
  );
  server = await openServer((_request, _body, response) => void response.end());
});

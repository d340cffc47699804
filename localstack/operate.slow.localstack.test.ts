/** Three pipelines in one deployment, operated as on a directory, retrained by their schedules, changed, and taken down. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BatchClient, DescribeJobDefinitionsCommand, ListJobsCommand } from "@aws-sdk/client-batch";
import {
  CreateBucketCommand,
  HeadObjectCommand,
  PutBucketNotificationConfigurationCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import type { GetScheduleOutput } from "@aws-sdk/client-scheduler";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bucketOf, type Stack } from "../adapters/stack-outputs.ts";
import { sampleCsv } from "../cli/sample.ts";
import type { InspectPorts } from "../ledger/inspect.ts";
import { readEntry, readHead } from "../ledger/read.ts";
import { readStatus } from "../ledger/status.ts";
import { sha256 } from "../protocol/digest.ts";
import { runCli, type CliResult } from "../test/run-cli.ts";
import { deploy, destroy, templatesOf } from "./deploy.ts";
import { Phases } from "./phases.ts";
import { ROOT } from "./root.ts";
import { operate, withoutPlaces, type Place, type Said } from "./testing/cli-script.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";
import { isTrainer, listenersOfProcesses, processesToldOf, type Started } from "./testing/listeners.ts";
import { allTextOf, batchOf, keptBy, remainsOf, schedulesOf } from "./testing/remains.ts";
import { directoryPlace, hasSettled, portsOf, stackPlace, untilStatus } from "./testing/stack-place.ts";
import { SCHEDULES, SHARED_BUCKET, STAGE, stackOf, writeWorkspace, type Name } from "./testing/three-pipelines.ts";

const LONG = { timeout: 600_000 };
const cloud = cloudOfTests();
const phases = new Phases();
const s3 = new S3Client(clientOptions(cloud));
const batch = new BatchClient({ ...clientOptions(cloud), endpoint: cloud.batch });
const NAMES = ["flowers", "lilies", "tulips"] as const;

let folder: string;
let broken: string;
const outputs = new Map<string, Stack["outputs"]>();
const ports = new Map<string, InspectPorts>();
const on = (name: string): string => join(folder, name);
const outputsOf = (name: Name): Stack["outputs"] => outputs.get(name)!;
const portsTo = (name: Name): InspectPorts => ports.get(name)!;
const cli = (name: Name, ...args: string[]): Promise<CliResult> =>
  runCli(on("stack"), [...args, "--stack", stackOf(name)], cloud.env);
const put = (Key: string, seed: number): Promise<unknown> => {
  const Bucket = bucketOf(outputsOf(Key.startsWith("flowers/") ? "flowers" : "lilies").DataUrl).bucket;
  return s3.send(new PutObjectCommand({ Bucket, Key, Body: sampleCsv(60, seed) }));
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "accrete-operate-"));
  broken = writeWorkspace(on("stack"));
  const Bucket = SHARED_BUCKET;
  await s3.send(new CreateBucketCommand({ Bucket }));
  // as `accrete doctor --print-notification` has it typed
  const NotificationConfiguration = { EventBridgeConfiguration: {} };
  await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket, NotificationConfiguration }));
  const { pipelines } = await deploy({ cloud, phases, config: on("stack"), name: "ops.out" });
  for (const one of pipelines) {
    outputs.set(one.name, one.stack.outputs);
    ports.set(one.name, await portsOf(cloud, on("stack"), one));
  }
}, LONG.timeout);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("has the schedules that the config says, and a sweep each quarter of an hour", async () => {
  for (const name of NAMES) {
    const { expression, timeZone, retrain } = SCHEDULES[name];
    const [retraining, sweep, ...more] = await schedulesOf(cloud, stackOf(name));
    expect(more).toEqual([]);
    const common = {
      State: "ENABLED",
      FlexibleTimeWindow: { Mode: "OFF" },
      Target: {
        Arn: expect.stringMatching(new RegExp(`:${outputsOf(name).TicksUrl.split("/").at(-1)}$`)),
        RoleArn: expect.stringMatching(/^arn:aws:iam::000000000000:role\//),
        RetryPolicy: { MaximumEventAgeInSeconds: 3_600, MaximumRetryAttempts: 20 },
      },
    };
    expect(retraining).toMatchObject({
      ...common,
      ScheduleExpression: expression,
      ScheduleExpressionTimezone: timeZone,
    });
    expect(sweep).toMatchObject({
      ...common,
      ScheduleExpression: "cron(0/15 * * * ? *)",
      ScheduleExpressionTimezone: "UTC",
    });
    const input = (one: GetScheduleOutput | undefined): unknown => JSON.parse(one?.Target?.Input ?? "");
    expect(input(retraining)).toEqual({ format: 1, schedule: "<aws.scheduler.scheduled-time>", retrain });
    expect(input(sweep)).toEqual({ format: 1, sweep: true });
  }
});

it("is operated by the same commands as on a directory, and says the same but for places", LONG, async () => {
  const name = "flowers";
  const stack = stackPlace({ cloud, ports: portsTo(name), stack: stackOf(name), folder: on("stack"), broken });
  const directory = directoryPlace({
    pipeline: name,
    folder: on("directory"),
    broken: writeWorkspace(on("directory")),
  });
  const both = Promise.all([operate(stack), operate(directory)]);
  const [there, here] = await phases.time("the script, on both", () => both);
  const plain = (said: readonly Said[], place: Place): string[] =>
    said.map(({ typed, code, out, err }) => `$ ${typed}\n${withoutPlaces(out + err, place)}${code}`);
  expect(plain(there, stack)).toEqual(plain(here, directory));
  const [ours, theirs] = [directory, stack].map((at) => readFileSync(join(at.folder, "model/weights.safetensors")));
  expect(sha256(theirs!)).toBe(sha256(ours!));
});

/** As the scheduler does it, which LocalStack's never does. */
async function fire({ Target }: GetScheduleOutput, atMs: number, to: Name): Promise<void> {
  const scheduled = new Date(Math.floor(atMs / 60_000) * 60_000).toISOString().replace(".000Z", "Z");
  const MessageBody = Target?.Input?.replaceAll("<aws.scheduler.scheduled-time>", scheduled);
  await new SQSClient(clientOptions(cloud)).send(
    new SendMessageCommand({ QueueUrl: outputsOf(to).TicksUrl, MessageBody }),
  );
}

it("starts a round by what a schedule sends: all anew, or what waits and would wait on", LONG, async () => {
  const [flowers, lilies] = [portsTo("flowers"), portsTo("lilies")];
  const { seq, round } = await readStatus(flowers);
  // within the prefix under another's name, beside it, and with a suffix that doesn't count
  const keys = ["lilies/1.csv", "lilies/flowers/2.csv", "lilies-more/3.csv", "lilies/4.txt"];
  for (const [i, key] of keys.entries()) await put(key, 10 + i);
  await untilStatus(lilies, "its two objects", ({ waiting }) => waiting?.items === 2);
  for (const name of ["flowers", "lilies"] as const)
    await fire((await schedulesOf(cloud, stackOf(name)))[0]!, Date.now(), name);
  const anew = await untilStatus(flowers, "its round", (now) => now.seq >= seq + 2 && hasSettled(now));
  const entry = { kind: "round", items: 2, checkpoint: { epoch: 3 } };
  expect(anew).toMatchObject({ seq: seq + 2, round: round + 2, entry });
  expect((await readEntry(flowers.store, seq + 1)).document).toMatchObject({ kind: "rollback", to: 0 });
  const learned = await untilStatus(lilies, "its round", (now) => now.seq >= 1 && hasSettled(now));
  expect(learned).toMatchObject({ seq: 1, round: 1, waiting: null, entry: { kind: "round", items: 2 } });
});

it("keeps three pipelines apart: objects, rounds, jobs, logs, what the CLI knows", LONG, async () => {
  await learnTulip("tulips/1.csv", 20);
  for (const name of NAMES) {
    const seen = await allTextOf(cloud, outputsOf(name));
    expect(Object.keys(seen).length).toBeGreaterThan(15);
    // lilies/flowers/ is its own
    const others = new RegExp(`(?<!lilies/)\\b(${NAMES.filter((other) => other !== name).join("|")})\\b`);
    expect(Object.keys(seen).filter((place) => others.test(`${place}\n${seen[place]}`))).toEqual([]);
  }
  const rounds = await Promise.all(NAMES.map(async (name) => (await readStatus(portsTo(name))).round));
  expect(rounds.slice(1)).toEqual([1, 1]);
  const { jobSummaryList = [] } = await batch.send(
    new ListJobsCommand({ jobQueue: outputsOf("tulips").JobQueue, jobStatus: "SUCCEEDED" }),
  );
  expect(jobSummaryList.map(({ jobName }) => jobName)).toEqual([expect.stringMatching(/^tulips-1-1-/)]);
  const asked = await cli("tulips", "why", "lilies/1.csv");
  expect(asked).toMatchObject({ code: 1, out: "", err: expect.stringContaining("error NOT_FOUND: lilies/1.csv") });
  // the demo's, of another stage and with a bucket of its own
  const demo = await allTextOf(cloud, cloud.outputs);
  expect(Object.keys(demo).filter((place) => /flowers|lilies|tulips/.test(`${place}\n${demo[place]}`))).toEqual([]);
});

async function learnTulip(key: string, seed: number, look: () => void = () => {}): Promise<void> {
  const tulips = portsTo("tulips");
  const { seq } = await readStatus(tulips);
  await put(key, seed);
  await untilStatus(tulips, "its object", ({ waiting }) => waiting?.items === 1);
  expect(await cli("tulips", "train")).toMatchObject({ code: 0, err: "" });
  await untilStatus(tulips, "its round", (now) => {
    look();
    return now.seq > seq && hasSettled(now);
  });
}

let assembly = "";
it(
  "is changed in place by a second deploy: machines, and a revision beside the one that plans name",
  LONG,
  async () => {
    const before = await batchOf(cloud, `accrete-${STAGE}`);
    const old = outputsOf("tulips").JobDefinition;
    expect(old).toMatch(/\/accrete-ops-tulips:1$/);
    const more = { vcpus: 2, memory: "3 GiB", instanceTypes: ["c7i.xlarge", "m7i.xlarge"], maxVcpus: 8 };
    writeWorkspace(on("stack"), more);
    const changed = await deploy({ cloud, phases, config: on("stack"), name: "ops-changed.out" });
    ({ assembly } = changed);
    const now = await batchOf(cloud, `accrete-${STAGE}`);
    const arns = ({ environments, queues }: typeof now): unknown => [environments.map(({ arn }) => arn), queues];
    expect(arns(now)).toEqual(arns(before));
    expect(before.environments).toHaveLength(6);
    for (const { resources } of before.environments)
      expect(resources).toMatchObject({ instanceTypes: ["c7i.large"], maxvCpus: 4 });
    for (const { resources } of now.environments)
      expect(resources).toMatchObject({ instanceTypes: more.instanceTypes, maxvCpus: 8 });
    const found = changed.pipelines.find(({ name }) => name === "tulips")!.stack.outputs.JobDefinition;
    expect(found).toBe(old.replace(/:1$/, ":2"));
    const { jobDefinitions = [] } = await batch.send(
      new DescribeJobDefinitionsCommand({ jobDefinitions: [old, found] }),
    );
    const requirements = (VCPU: string, MEMORY: string) =>
      Object.entries({ VCPU, MEMORY }).map(([type, value]) => ({ type, value }));
    expect(jobDefinitions).toMatchObject([
      { status: "ACTIVE", containerProperties: { resourceRequirements: requirements("1", "2048") } },
      { status: "ACTIVE", containerProperties: { resourceRequirements: requirements("2", "3072") } },
    ]);

    const missed = new Set(Object.keys(KINDS));
    const abroad = new Set<string>();
    await learnTulip("tulips/2.csv", 21, () => {
      const all = processesToldOf(cloud.folder);
      for (const [kind, is] of Object.entries(KINDS)) if (all.some(is)) missed.delete(kind);
      for (const address of listenersOfProcesses(all.map(({ pid }) => pid)))
        if (!address.startsWith("127.0.0.1:")) abroad.add(address);
    });
    expect([...missed]).toEqual([]);
    expect([...abroad]).toEqual([]);
    const { jobSummaryList = [] } = await batch.send(
      new ListJobsCommand({ jobQueue: outputsOf("tulips").JobQueue, jobStatus: "SUCCEEDED" }),
    );
    expect(jobSummaryList.map(({ jobDefinition }) => jobDefinition).sort()).toEqual([old, found]);
  },
);

/** Processes of a run: each has to be met while a job runs. */
const has =
  (text: string) =>
  ({ command }: Started): boolean =>
    command.includes(text);
const KINDS = {
  LocalStack: has("accrete_localstack.launch"),
  Batch: has("batch/main.ts"),
  keeper: has("process-keeper.ts"),
  trainer: isTrainer,
  function: has("lambda_runner.mjs"),
};

it("is taken down by cdk destroy but for what docs/deleting.md names: buckets, old revisions", LONG, async () => {
  const heads = (): Promise<number[]> =>
    Promise.all(NAMES.map(async (name) => (await readHead(portsTo(name).store)).head.seq));
  const before = await heads();
  const { bucket: Bucket } = bucketOf(outputsOf("flowers").DataUrl);
  await phases.time("cdk destroy", () => destroy(cloud, assembly));
  const { buckets, ...remains } = await remainsOf(cloud, `accrete-${STAGE}`);
  expect(remains).toEqual({
    stacks: [],
    queues: [],
    functions: [],
    logGroups: [],
    schedules: [],
    rules: [],
    jobQueues: [],
    environments: [],
    // those that a deploy has replaced
    definitions: NAMES.map((name) => `accrete-${STAGE}-${name}:1`),
  });
  // what the templates keep is what stays, and cdk says so
  const kept = templatesOf(assembly).flatMap((file) => keptBy(join(assembly, file)));
  expect(kept).toEqual(Array.from({ length: 4 }, () => "AWS::S3::Bucket"));
  const told = readFileSync(join(cloud.folder, "logs/cdk-destroy.log"), "utf8");
  expect(told).not.toContain("DELETE_FAILED");
  const skipped = [...told.matchAll(/DELETE_SKIPPED +\| (\S+) +\| Pipeline\/(\w+)/g)].map(
    ([, type, name]) => `${type} ${name}`,
  );
  expect(skipped.sort()).toEqual(["AWS::S3::Bucket Data", ...NAMES.map(() => "AWS::S3::Bucket State")]);
  expect(buckets).toEqual([Bucket, ...NAMES.map((name) => bucketOf(outputsOf(name).StateUrl).bucket)].sort());
  expect(await heads()).toEqual(before);
  await s3.send(new HeadObjectCommand({ Bucket, Key: "flowers/a.csv" }));
  const docs = readFileSync(join(ROOT, "docs/deleting.md"), "utf8");
  expect(docs).toMatch(
    /The buckets stay, with all data and all state[^]*Old revisions of the job definition stay registered/,
  );
  // another stage goes on
  expect((await batchOf(cloud, "accrete-prod")).environments).not.toEqual([]);
});

/** The deployed chain with the real trainer: the same weights as in a folder, whatever else comes into its queues, and if no event comes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DisableRuleCommand,
  EnableRuleCommand,
  EventBridgeClient,
  ListRuleNamesByTargetCommand,
  ListTargetsByRuleCommand,
} from "@aws-sdk/client-eventbridge";
import {
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { needDocument } from "../ledger/read.ts";
import { planKey } from "../protocol/keys.ts";
import { allDigits, idxFile } from "../scripts/digits.ts";
import { DigitsWorkspace, until } from "../scripts/workspace.ts";
import { learnsBurst } from "./testing/burst.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";
import { deployedPipeline, type PipelineOfTests } from "./testing/pipeline-of-tests.ts";

const cloud = cloudOfTests();
const sqs = new SQSClient(clientOptions(cloud));
const events = new EventBridgeClient(clientOptions(cloud));
const ROUND_MS_MAX = 240_000;
const LETTERS_MS_MAX = 300_000;
/** Six times the function's time-out, as deployed, takes five receives half an hour. Longer than a call here takes; one that is longer is made twice. */
const VISIBLE_SECONDS = 10;
/** SQS' own limit, of long; LocalStack has it still. */
const HUGE = 262_144;

let folder: string;
let there: PipelineOfTests;
let here: DigitsWorkspace;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "accrete-chain-"));
  there = await deployedPipeline(cloud, "chain", "digits");
  here = new DigitsWorkspace(join(folder, "digits"));
  await shortenVisibility();
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Not what is nested more deeply than Python reads: LocalStack itself handles a batch with that in it never, as it looks into each message. */
const POISON = {
  ArrivalsUrl: [
    "not JSON",
    "x".repeat(HUGE),
    '{"source":"aws.s3"}',
    // no key
    '{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"size":1,"etag":"e"}}}',
    // half of a character
    '{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"\\ud800","size":1,"etag":"e"}}}',
    '{"Records":[{"eventSource":"aws:s3"}]}',
  ],
  TicksUrl: [
    "neither",
    "y".repeat(HUGE),
    "null",
    '{"format":2,"sweep":true}',
    '{"format":1,"tick":{"kind":"whatever"},"dueMs":0}',
    '{"format":1,"schedule":"<aws.scheduler.scheduled-time>","retrain":"full"}',
    '{"source":"aws.batch","detail-type":"Batch Job State Change","detail":{}}',
  ],
} as const;
const QUEUES = ["ArrivalsUrl", "TicksUrl"] as const;

/** By the queues' own calls, as the config has no such setting. */
async function shortenVisibility(): Promise<void> {
  const Attributes = { VisibilityTimeout: String(VISIBLE_SECONDS) };
  for (const queue of QUEUES)
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: there.outputs[queue], Attributes }));
}

async function sendPoison(): Promise<void> {
  for (const queue of QUEUES)
    for (const MessageBody of POISON[queue])
      await sqs.send(new SendMessageCommand({ QueueUrl: there.outputs[queue], MessageBody }));
}

const DELIVERIES = [
  [0, 500],
  [500, 3_000],
  [3_000, 10_000],
] as const;

it("learns the digits as a folder does: the same weights in each of three rounds", async () => {
  const digits = allDigits();
  for (const [i, delivery] of DELIVERIES.entries()) {
    const round = i + 1;
    const file = idxFile(digits.slice(...delivery));
    const name = `digits-${round}.idx`;
    await there.put(`digits/${name}`, file);
    here.drop(name, file);
    const lines: string[] = [];
    // what the job's definition has for one vCPU
    const env = { ACCRETE_THREADS: "1" };
    const looped = here.accrete(["up", "--once"], (line) => lines.push(line), env).ended;
    const { entry, plan } = await there.round(round, ROUND_MS_MAX);
    expect({ code: await looped, lines }).toMatchObject({ code: 0 });
    const local = (await here.entries())[i]!;
    const { document: localPlan } = await needDocument(here.store, "plan", planKey(round), "the loop's");
    if (local.kind !== "round") throw new Error(`entry ${round} of the loop is a ${local.kind}`);

    // each item has its place's own bucket and etag: order and seed know neither
    expect(plan.items.map(({ key, size }) => ({ key, size }))).toEqual(
      localPlan.items.map(({ key, size }) => ({ key, size })),
    );
    expect(plan.items[0]!.bucket).toBe(there.data);
    expect(localPlan.items[0]!.bucket).toBe("data");
    expect([plan.seed, plan.code]).toEqual([localPlan.seed, localPlan.code]);

    // state.json names the records by bucket and etag
    const { "state.json": _there, ...trainedThere } = await there.digests(entry);
    const { "state.json": _here, ...trainedHere } = await here.digests(local);
    expect(Object.keys(trainedThere)).toEqual(expect.arrayContaining(["optimizer.safetensors", "weights.safetensors"]));
    expect(trainedThere).toEqual(trainedHere);
    const figures = ["accuracy", "loss", "trainRecords", "holdoutRecords"];
    expect(figures.map((name) => entry.metrics[name])).toEqual(figures.map((name) => local.metrics[name]));
    expect(entry.items).toBe(1);
    // now, and not before: a receive that waits since before the visibility was shortened still takes messages for the longer one
    if (round === 1) await sendPoison();
  }
}, 600_000);

const UNTOLD = 50;

it("finds what no event told of: the rule is off while it is put, and the sweep takes it in", async () => {
  const arrivals = await arnOf(there.outputs.ArrivalsUrl);
  const Name = await ruleTo(arrivals, ({ Input }) => Input === undefined);
  const digits = allDigits();
  const before = await there.seq();
  await events.send(new DisableRuleCommand({ Name }));
  try {
    for (let i = 0; i < UNTOLD; i++)
      await there.put(`digits/untold/${i}.idx`, idxFile(digits.slice(10 * i, 10 * i + 10)));
    // what the rule of a deploy sends: all of the data at once, whatever the time of day
    const ticks = await arnOf(there.outputs.TicksUrl);
    const deployed = await ruleTo(ticks, ({ Input }) => Input !== undefined);
    const { Targets = [] } = await events.send(new ListTargetsByRuleCommand({ Rule: deployed }));
    const QueueUrl = there.outputs.TicksUrl;
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: Targets[0]!.Input! }));
    const { entry, plan } = await there.round(before + 1, ROUND_MS_MAX);
    expect(entry).toMatchObject({ items: UNTOLD, rejected: 0 });
    expect(plan.items.map(({ key }) => key).sort()).toEqual(
      Array.from({ length: UNTOLD }, (_, i) => `digits/untold/${i}.idx`).sort(),
    );
  } finally {
    await events.send(new EnableRuleCommand({ Name }));
  }
  expect([await there.seq(), await there.waiting()]).toEqual([before + 1, 0]);
}, 300_000);

it("learns each content of a burst once, in one round: any client, any name, overwritten ones too", async () => {
  await learnsBurst(await deployedPipeline(cloud, "chain", "burst"), 200);
}, 400_000);

it("has left all of that, and nothing else, among the dead letters, and says so", async () => {
  const poison = QUEUES.flatMap((queue) => POISON[queue]).sort();
  const QueueUrl = there.outputs.DeadLettersUrl;
  const letters = new Map<string, string>();
  await until(
    "the dead letters",
    LETTERS_MS_MAX,
    async () => {
      // looked at, and left there
      const take = { QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: 5 };
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand(take));
      for (const { MessageId = "", Body = "" } of Messages) letters.set(MessageId, Body);
      return letters.size >= poison.length ? true : undefined;
    },
    500,
  );
  expect([...letters.values()].sort()).toEqual(poison);
  const alarm = "accrete-chain-digits-dead-letters";
  const { code, out } = await there.accrete("status");
  expect({ code, out }).toEqual({
    code: 0,
    out: expect.stringContaining(
      `${poison.length} messages could not be handled: dead letters, of which the alarm ${alarm}`,
    ),
  });
  expect(JSON.parse((await there.accrete("status", "--json")).out)).toMatchObject({ deadLetters: poison.length });
  // the alarm that is deployed watches this very queue
  const template: unknown = JSON.parse(
    readFileSync(join(cloud.folder, "chain", "cdk.out", "accrete-chain-digits.template.json"), "utf8"),
  );
  expect(Object.values((template as { Resources: object }).Resources)).toContainEqual(
    expect.objectContaining({ Properties: expect.objectContaining({ AlarmName: alarm, Threshold: 1 }) }),
  );
  expect(await there.accrete("verify")).toMatchObject({ code: 0, err: "" });
}, 400_000);

async function arnOf(QueueUrl: string): Promise<string> {
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }));
  return Attributes!["QueueArn"]!;
}

/** Name of the one rule with such a target. */
async function ruleTo(TargetArn: string, fits: (target: { readonly Input?: string }) => boolean): Promise<string> {
  const { RuleNames = [] } = await events.send(new ListRuleNamesByTargetCommand({ TargetArn }));
  const fitting: string[] = [];
  for (const Rule of RuleNames) {
    const { Targets = [] } = await events.send(new ListTargetsByRuleCommand({ Rule }));
    if (Targets.some(({ Arn, Input }) => Arn === TargetArn && fits(Input === undefined ? {} : { Input })))
      fitting.push(Rule);
  }
  expect(fitting).toHaveLength(1);
  return fitting[0]!;
}

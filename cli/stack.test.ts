/** `accrete --stack` against a small AWS on loopback: the CLI is a process with the SDK's real clients, the stack's ledger is the test. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openS3Client } from "../adapters/s3-client.ts";
import { openS3Items } from "../adapters/s3-items.ts";
import { openS3Store } from "../adapters/s3-store.ts";
import type { ResourceStatement } from "../infra/statement.ts";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import { configDigest } from "../protocol/config.ts";
import type { Arrival } from "../protocol/ports.ts";
import { TickMessage } from "../protocol/tick-message.ts";
import { logKey } from "../protocol/keys.ts";
import { fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { AROUND, Judge, kindsOf, placeOf } from "../test/policies/judge.ts";
import type { Recorded } from "../test/policies/memory-aws.ts";
import { DATA, NAMES, STATE } from "../test/policies/place.ts";
import { runCli, startCli, type CliResult } from "../test/run-cli.ts";
import { openPipelineOf } from "./compose.ts";
import { ACCOUNT, NOTHING_OF_THE_USERS, openSmallAws, REGION, type SmallAws } from "../test/small-aws/server.ts";

const STACK = "accrete-prod-fake";
const CONFIG = `export default { pipelines: [{ name: "fake", data: { prefix: "in/", format: "csv" }, trainer: { model: "./model.ts", epochs: 2 }, trigger: { quietPeriod: 0 }, budget: { pricePerHour: 2 } }] };`;
const GROUP = "/accrete/prod/fake/jobs";

/** as the small AWS calls whoever has taken it */
const REPAIRER = NAMES.repairRole.split("/").at(-1)!;
/** as a key's policy is made by default */
const ACCOUNT_DECIDES: ResourceStatement = {
  Sid: "Account",
  Effect: "Allow",
  Principal: { AWS: [`arn:aws:iam::${ACCOUNT}:root`] },
  Action: ["kms:*"],
  Resource: ["*"],
};

let folder: string;
let aws: SmallAws;
let fake: FakePipeline;
const accrete = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> =>
  runCli(folder, [...args, "--stack", STACK], { ...aws.env, ...env });
const json = async (...args: string[]): Promise<unknown> => {
  const { out, err, code } = await accrete([...args, "--json"]);
  expect({ err, code }).toEqual({ err: "", code: 0 });
  return JSON.parse(out);
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-stack-"));
  await writeFile(join(folder, "accrete.config.ts"), CONFIG);
  aws = await openSmallAws();
  aws.s3.buckets.set("state", new Map());
  aws.s3.buckets.set("data", new Map());
  aws.s3.notifications.set("data", "<EventBridgeConfiguration/>");
  const client = openS3Client({
    config: {
      region: REGION,
      endpoint: aws.url,
      forcePathStyle: true,
      credentials: { accessKeyId: "a", secretAccessKey: "b" },
    },
  });
  fake = fakePipeline(openS3Store({ client, bucket: "state", prefix: "fake", owner: ACCOUNT }), {
    budget: { pricePerHour: 2, perDay: null, perMonth: null },
    prefix: "in/",
  });
  aws.jobs = fake.ledger.jobs;
  // the stack's two functions: what comes is taken in at once, and each message is a tick
  const items = openS3Items({ client, bucket: "data", owner: ACCOUNT });
  takeIn = async () => {
    const found: Arrival[] = [...(await items.list("in/")).items];
    await intake(fake.ledger, found);
  };
  aws.onMessage = async (body) => void (await tick(fake.ledger, TickMessage.parse(JSON.parse(body)).tick));
  aws.stacks.set(STACK, {
    Pipeline: "fake",
    StateUrl: "s3://state/fake",
    DataUrl: "s3://data",
    DataAccount: ACCOUNT,
    TicksUrl: `${aws.url}/${ACCOUNT}/ticks`,
    ArrivalsUrl: `${aws.url}/${ACCOUNT}/arrivals`,
    DeadLettersUrl: `${aws.url}/${ACCOUNT}/dead-letters`,
    DeadLettersAlarm: `${STACK}-dead-letters`,
    JobQueue: "queue",
    JobDefinition: `arn:aws:batch:${REGION}:${ACCOUNT}:job-definition/accrete-prod-fake:3`,
    Image: `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/accrete@sha256:${"a".repeat(64)}`,
    JobLogGroup: GROUP,
    IntakeFunction: "accrete-prod-fake-intake",
    LedgerFunction: "accrete-prod-fake-ledger",
    TopicArn: NAMES.topic!,
    OperatorPolicyArn: `arn:aws:iam::${ACCOUNT}:policy/operator`,
    RepairRoleArn: NAMES.repairRole,
    ConfigDigest: configDigest(fake.ledger.config),
    AccreteVersion: "0.1.0",
  });
});
let takeIn: () => Promise<void>;
/** `logs --follow` waits for what CloudWatch shows late: beside the tests that follow */
let followed: { ended: Promise<CliResult>; out: string };
afterEach(() => aws.failures.clear());
afterAll(async () => {
  await aws.close();
  await rm(folder, { recursive: true, force: true });
});

const tickOf = (body: string | undefined): unknown => TickMessage.parse(JSON.parse(body ?? "")).tick;

describe("a pipeline on AWS", () => {
  it("says that nothing waits, and who learns what comes", async () => {
    const { out, err, code } = await accrete(["status"]);
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(out).toContain("nothing waits: what is put into the data bucket is learned by itself");
    expect(out).not.toContain("accrete up");
    expect(out).not.toContain("dead letters");
    expect(await accrete(["train"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(
        "a moment ago is taken in within seconds\nwhat to do: Add data first: `accrete add --stack accrete-prod-fake FILE...`",
      ),
    });
  });

  it("status says how many messages could not be handled, and which alarm tells of them", async () => {
    aws.deadLetters = 2;
    expect((await accrete(["status"])).out).toContain(
      `2 messages could not be handled: dead letters, of which the alarm ${STACK}-dead-letters tells; what to do: docs/operations.md#dead-letters`,
    );
    expect(await json("status")).toMatchObject({ deadLetters: 2 });
    aws.deadLetters = 0;
    expect(await json("status")).toMatchObject({ deadLetters: 0 });
    aws.failures.set("GetQueueAttributes", { status: 403, code: "AccessDenied" });
    expect(await accrete(["status"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("AWS_ACCESS_DENIED: the dead letters could not be counted"),
    });
  });

  it("add sends whole files, in parts where they are large, and overwrites only if it is told to", async () => {
    const large = Buffer.alloc(9 * 1_048_576, "1,2\n");
    await writeFile(join(folder, "large.csv"), large);
    await writeFile(join(folder, "a b+ü.csv"), "1,2\n");
    await writeFile(join(folder, "empty.csv"), "");
    expect(await json("add", "large.csv", "a b+ü.csv")).toEqual({
      added: [
        { key: "in/large.csv", size: large.length, overwritten: false },
        { key: "in/a b+ü.csv", size: 4, overwritten: false },
      ],
      same: 0,
      bytes: large.length + 4,
    });
    const data = aws.s3.buckets.get("data")!;
    expect(data.get("in/large.csv")).toMatchObject({ etag: expect.stringMatching(/-2$/) });
    expect(data.get("in/large.csv")!.body.equals(large)).toBe(true);
    expect([...data.keys()].sort()).toEqual(["in/a b+ü.csv", "in/large.csv"]);

    const again = await accrete(["add", "large.csv", "a b+ü.csv"]);
    expect(again).toMatchObject({ code: 0, err: "", out: expect.stringContaining("2 files are there already") });
    await writeFile(join(folder, "a b+ü.csv"), "3,4\n");
    expect(await accrete(["add", "a b+ü.csv"])).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^error TARGET_EXISTS: another content is in the data bucket already as in\/a b\+ü\.csv/,
      ),
    });
    expect(await accrete(["add", "empty.csv"])).toMatchObject({
      code: 64,
      err: expect.stringContaining("it is empty"),
    });
    expect(data.get("in/a b+ü.csv")!.body.toString()).toBe("1,2\n");
    expect(await accrete(["add", "a b+ü.csv", "--force"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/added 1 file, 4 B, to s3:\/\/data under in\/\n.*\nthe stack learns what was added/),
    });
    expect(data.get("in/a b+ü.csv")!.body.toString()).toBe("3,4\n");

    await writeFile(join(folder, "other.csv"), large);
    aws.failures.set("UploadPart", { status: 403, code: "AccessDenied" });
    expect(await accrete(["add", "other.csv"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("AWS_ACCESS_DENIED"),
    });
    expect(aws.asked.at(-1)).toMatchObject({ command: "AbortMultipartUpload" });
  });

  it("train asks the stack's ledger, with the entry that was seen, and says what came of it", async () => {
    await takeIn();
    fake.training = null; // its job goes on
    const { out, err, code } = await accrete(["train"]);
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(tickOf(aws.sent.at(-1))).toEqual({ kind: "train", seq: 0 });
    expect(out).toBe(
      "fake: round 1: attempt 1 is training\nThe training runs on by itself, and the stack commits it.\n",
    );
  });

  it("status says what the job has said last; logs has all of it, and follows it", async () => {
    aws.logs.set(`${GROUP} /logs/job-1.txt`, ["round 1: items staged", "round 1: epoch 1/2", "\u001b[31mred", "end"]);
    expect(await json("status")).toMatchObject({ progress: "end" });
    const log = "round 1: items staged\nround 1: epoch 1/2\n\\x1b[31mred\nend\n";
    const [logs, none] = await Promise.all([accrete(["logs", "1"]), accrete(["logs", "7"])]);
    expect(logs).toMatchObject({ code: 0, err: "", out: log });
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining("error NOT_FOUND: round 7 has no attempt") });
    const follower = startCli(folder, ["logs", "1", "--follow", "--stack", STACK], aws.env);
    await follower.says(/end\n/);
    aws.logs.get(`${GROUP} /logs/job-1.txt`)!.push("late");
    await fake.ledger.jobs.terminate("job-1", "");
    followed = { ended: follower.ended, out: `${log}late\n` };
  });

  it("rollback writes its entry here, tells of it, and asks for a tick", async () => {
    const messages = aws.sent.length;
    fake.training = { reject: ["in/a b+ü.csv"] }; // its job has learned at once
    expect(await accrete(["rollback", "--to", "head"])).toMatchObject({
      code: 64,
      err: expect.stringContaining("CONFIRMATION_NEEDED"),
    });
    const { out, err, code } = await accrete(["rollback", "--to", "head", "--yes", "--reason", "again"]);
    expect({ err, code }).toEqual({ err: "", code: 0 });
    expect(out).toContain("fake: entry 1 is written; ");
    expect(aws.sent.slice(messages).map(tickOf)).toContainEqual({ kind: "plain" });
    expect(await json("log")).toMatchObject([
      { seq: 2, kind: "round" },
      { seq: 1, kind: "rollback", reason: "again" },
    ]);
  });

  it("promote, show, why, verify and pull work on what is stored there", async () => {
    expect(await json("show", "2")).toMatchObject({
      round: 2,
      plan: { items: [{ bucket: "data" }, { bucket: "data" }] },
    });
    const [why, byUrl] = await Promise.all([
      accrete(["why", "in/large.csv"]),
      accrete(["why", "s3://data/in/large.csv"]),
    ]);
    expect(why).toMatchObject({ code: 0, err: "", out: expect.stringContaining("learned by round 2") });
    expect(byUrl.out).toBe(why.out);
    expect(await accrete(["why", "in/lage.csv"])).toMatchObject({
      code: 1,
      err: expect.stringContaining('it is no file in s3://data: did you mean "in/large.csv"?'),
    });
    // as if the stack had been killed while it followed the commit up: whoever finishes that tells of it
    const state = aws.s3.buckets.get("state")!;
    for (const key of state.keys()) if (/^fake\/(live\.json|quarantine\/|consumed\/)/.test(key)) state.delete(key);
    expect(await json("promote", "0", "--yes")).toMatchObject({ kind: "promote", live: null });
    expect(aws.published.map((message) => JSON.parse(message).kind)).toEqual(["committed"]);
    expect(await json("verify")).toMatchObject({ damaged: 0, entries: 3 });
    const model = join(folder, "model");
    await json("pull", model, "--round", "2", "--format", "checkpoint");
    expect(await readFile(join(model, "state.json"), "utf8")).toContain("state.json of round 2");
  });

  it("cost has each round's time and the price of all", async () => {
    expect(await json("cost")).toMatchObject({
      pipeline: "fake",
      pricePerHour: 2,
      rounds: [{ round: 2, kind: "round", items: 1, jobMs: 0, dollars: 0 }],
      sum: { jobMs: 0, dollars: 0 },
    });
  });

  it("doctor says who one is, and what is missing for a job to start", async () => {
    aws.quotas.set("L-3819A6DF", 64);
    aws.quotas.set("L-DB2E81BA", 0);
    const well = await accrete(["doctor"]);
    expect(well).toMatchObject({ code: 1, err: "" });
    expect(well.out).toMatch(/ok +identity +arn:aws:iam::111122223333:user\/ada/);
    expect(well.out).toMatch(/ok +config .* as it is deployed/);
    expect(well.out).toMatch(/ok +image/);
    expect(well.out).toMatch(/ok +data bucket +data tells EventBridge/);
    expect(well.out).toMatch(/ok +data region +eu-central-1, as the stack/);
    expect(well.out).toMatch(/ok +quota +G and VT spot instances: 64 vCPUs/);
    expect(well.out).toMatch(
      /missing +quota +G and VT on-demand instances: 0 vCPUs .*no job ever starts\n.*--quota-code L-DB2E81BA/,
    );
    aws.quotas.delete("L-DB2E81BA");
    expect(await accrete(["doctor"])).toMatchObject({
      code: 0,
      out: expect.stringContaining("on-demand instances: 5 vCPUs"),
    });
  });

  it("prints the command that switches the data bucket's events on, with the notifications that are there", async () => {
    const { notifications } = aws.s3;
    notifications.set(
      "data",
      "<QueueConfiguration><Id>it's mine</Id><Queue>arn:aws:sqs:eu-central-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>",
    );
    try {
      const [doctor, printed] = await Promise.all([accrete(["doctor"]), accrete(["doctor", "--print-notification"])]);
      expect(doctor).toMatchObject({ code: 1 });
      expect(doctor.out).toMatch(/missing +data bucket .*only the sweep finds it\n.*--print-notification/);
      expect(printed.out).toBe(
        `aws s3api put-bucket-notification-configuration --bucket data --notification-configuration '{"QueueConfigurations":[{"QueueArn":"arn:aws:sqs:eu-central-1:111122223333:q","Events":["s3:ObjectCreated:*"],"Id":"it'\\''s mine"}],"EventBridgeConfiguration":{}}'\n`,
      );
    } finally {
      notifications.set("data", "<EventBridgeConfiguration/>");
    }
  });

  it("data in another region is asked for there, and doctor says that it costs", async () => {
    const far = await mkdtemp(join(tmpdir(), "accrete-far-"));
    const configure = (buckets: string): Promise<void> =>
      writeFile(join(far, "accrete.config.ts"), CONFIG.replace("data:", `buckets: { ${buckets} }, data:`));
    aws.s3.buckets.set("far", new Map());
    aws.s3.elsewhere.set("far", "us-east-1");
    aws.stacks.set("accrete-prod-far", { ...aws.stacks.get(STACK)!, DataUrl: "s3://far" });
    const run = (...args: string[]): Promise<CliResult> =>
      runCli(far, [...args, "--stack", "accrete-prod-far"], aws.env);
    try {
      await configure('data: "far", dataRegion: "us-east-1", crossRegion: true');
      await writeFile(join(far, "a.csv"), "x,label\n1,a\n");
      expect(await run("add", "a.csv")).toMatchObject({ code: 0 });
      expect([...aws.s3.buckets.get("far")!.keys()]).toEqual(["in/a.csv"]);
      expect((await run("doctor")).out).toMatch(/data region +the data is in us-east-1, the stack in eu-central-1/);
      // one that nobody has told of
      await configure("");
      expect((await run("doctor")).out).toMatch(/missing +data region +the data is in us-east-1/);
    } finally {
      aws.s3.buckets.delete("far");
      aws.stacks.delete("accrete-prod-far");
      await rm(far, { recursive: true, force: true });
    }
  });

  it("says once, beside its answer, that another config is deployed", async () => {
    const outputs = aws.stacks.get(STACK)!;
    aws.stacks.set(STACK, { ...outputs, ConfigDigest: "0".repeat(64) });
    try {
      const { out, err, code } = await accrete(["status", "--json"]);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ round: 2 });
      expect(err).toMatch(/^warning: the deployed config of fake is another one than .*: `npx cdk deploy --all`\n$/);
    } finally {
      aws.stacks.set(STACK, outputs);
    }
  });

  it("is named by ACCRETE_STACK as well: then commands that are told to be typed need not name it", async () => {
    const { out, err, code } = await runCli(folder, ["train"], { ...aws.env, ACCRETE_STACK: STACK });
    expect({ out, code }).toEqual({ out: "", code: 1 });
    expect(err).toContain("what to do: Add data first: `accrete add FILE...`.");
    expect(await runCli(folder, ["status"], { ...aws.env, ACCRETE_STACK: "" })).toMatchObject({
      code: 0,
      out: expect.stringContaining("`accrete up` takes in"),
    });
  });

  it("completes keys of the bucket, and says nothing of what it can't", async () => {
    const line = `accrete why --stack ${STACK} i`;
    const complete = (line: string): Promise<CliResult> => runCli(folder, ["complete", "bash", line], aws.env);
    // what lies beside the pipeline's prefix is not an operator's to see
    const keys = "objects\nin/a b+ü.csv\nin/large.csv\n";
    const [found, deeper, beside] = await Promise.all(
      [line, `${line}n/`, line.replace(/i$/, "out/")].map((line) => complete(line)),
    );
    expect(found).toMatchObject({ out: keys, err: "" });
    expect(deeper).toMatchObject({ out: keys, err: "" });
    expect(beside).toMatchObject({ out: "objects\n", err: "" });
    expect(await complete(line.replace("fake", "none"))).toMatchObject({ out: "", err: "" });
  });

  it("logs --follow has ended with its job, with the lines that came late", async () => {
    expect(await followed.ended).toEqual({ code: 0, err: "", out: followed.out });
  });

  it("retry, rehearse and drop are the stack's to follow up", async () => {
    fake.training = null;
    fake.ends = "failed";
    aws.s3.buckets
      .get("data")!
      .set("in/b.csv", { body: Buffer.from("5,6\n"), etag: "b", metadata: {}, modified: new Date() });
    await takeIn();
    for (let ticks = 0; ticks < 12; ticks++) await tick(fake.ledger, { kind: "plain" });
    expect(JSON.stringify(await json("status"))).toContain('"ATTEMPTS_USED_UP"');
    fake.ends = "alive";
    expect(await accrete(["retry"])).toMatchObject({ code: 0, err: "" });
    expect(tickOf(aws.sent.at(-1))).toMatchObject({ kind: "retry" });
    fake.training = {};
    expect(await json("drop", "in/b.csv", "--yes")).toMatchObject({ kind: "rollback" });
    expect(await accrete(["rehearse"])).toMatchObject({ err: expect.stringContaining("error NO_MEMORY") });
  });

  it("verify --repair takes the stack's role for it, which may write over what nobody else may", async () => {
    const state = aws.s3.buckets.get("state")!;
    const key = `fake/${logKey(1)}`;
    const { body } = state.get(key)!;
    state.set(key, { ...state.get(key)!, body: Buffer.from(body.map((byte, i) => (i === 40 ? byte ^ 4 : byte))) });
    aws.failures.set("AssumeRole", { status: 403, code: "AccessDenied" });
    expect(await accrete(["verify", "--repair"])).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining(
        `error AWS_ACCESS_DENIED: ${NAMES.repairRole}, which --repair needs, can't be taken: it is AccessDenied`,
      ),
    });
    aws.failures.clear();
    const found = await accrete(["verify"]);
    expect(found.err).toContain(`\`accrete verify --stack ${STACK} --repair\``);
    expect(await json("verify", "--repair")).toMatchObject({
      damaged: 0,
      repaired: [{ key: logKey(1), did: "mended" }],
    });
    expect(state.get(key)!.body.equals(body)).toBe(true);
    const writes = aws.asked.filter(({ command, input }) => command === "PutObject" && input["Key"] === key);
    expect(writes.at(-1)!.by).toBe(REPAIRER);
  });

  it("asks for nothing that the operator's policy refuses, and is allowed nothing that it does not ask for", async () => {
    const by: Readonly<Record<string, string>> = { AKIAEXAMPLE: "operator", [REPAIRER]: "repairer" };
    const calls = aws.asked.flatMap((call): Recorded[] => {
      const role = by[call.by];
      // a stack that is not the operator's
      const isOther =
        call.input["Bucket"] === "far" || (call.command === "DescribeStacks" && call.input["StackName"] !== STACK);
      return role === undefined || isOther ? [] : [{ ...call, by: role }];
    });
    const names = {
      ...NAMES,
      pipeline: "fake",
      dataPrefix: "in/",
      stack: NAMES.stack.replace("-sim/", "-fake/"),
      logGroups: { ...NAMES.logGroups, jobs: NAMES.logGroups.jobs.replace("/sim/", "/fake/") },
    };
    const url = `${aws.url}/${ACCOUNT}`;
    const queues = { [`${url}/ticks`]: NAMES.ticksQueue, [`${url}/dead-letters`]: NAMES.deadLettersQueue };
    const around = { ...AROUND, queues };
    const place = placeOf(names, around);
    const judge = new Judge();
    expect(await judge.refused(calls, place)).toEqual([]);
    expect(judge.unused("operator", place)).toEqual([]);
    expect(kindsOf(calls)["operator"]).toEqual([
      "Batch.DescribeJobs",
      "Batch.TerminateJob",
      "CloudFormation.DescribeStacks",
      "CloudWatch Logs.GetLogEvents",
      "S3.AbortMultipartUpload",
      "S3.CompleteMultipartUpload",
      "S3.CreateMultipartUpload",
      "S3.DeleteObject",
      "S3.GetBucketNotificationConfiguration",
      "S3.GetObject",
      "S3.HeadBucket",
      "S3.HeadObject",
      "S3.ListObjectsV2",
      "S3.PutObject",
      "S3.UploadPart",
      "SNS.Publish",
      "SQS.GetQueueAttributes",
      "SQS.SendMessage",
      "STS.AssumeRole",
      "STS.GetCallerIdentity",
      "Service Quotas.GetAWSDefaultServiceQuota",
      "Service Quotas.GetServiceQuota",
    ]);

    const key = (id: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${id}`;
    const keys = { stateKey: key("state"), dataKey: key("data") };
    const with_ = { ...around, keys: { [STATE]: keys.stateKey, [DATA]: keys.dataKey }, messageKey: keys.stateKey };
    const isOfKeys = ({ action }: { action: string }): boolean => action.startsWith("kms:");
    const delegated = Object.values(keys).map((arn) => [arn, [ACCOUNT_DECIDES]] as const);
    expect(await judge.refused(calls, placeOf({ ...names, ...keys }, with_, delegated), isOfKeys)).toEqual([]);
    const without = placeOf({ ...names, ...keys, dataKey: null }, with_, delegated);
    expect((await judge.refused(calls, without, isOfKeys)).length).toBeGreaterThan(0);
  });
});

describe("what is wrong", () => {
  const failsWith = async (code: string, result: Promise<CliResult>, says: string | RegExp = ""): Promise<void> => {
    const { out, err, code: exit } = await result;
    expect({ out, exit }).toEqual({ out: "", exit: code === "USAGE" || code === "PIPELINE_UNKNOWN" ? 64 : 1 });
    expect(err).toMatch(new RegExp(`^error ${code}: [^\\n]+\\nwhat to do: [^\\n]+\\n$`));
    expect(err).toMatch(says);
  };

  /** By the code that every command begins with, without a process for each. */
  const fails = async (
    options: Parameters<typeof openPipelineOf>[0],
    expected: { code: string; message?: unknown },
    env: Readonly<Record<string, string | undefined>> = aws.env,
  ): Promise<void> => {
    for (const name of ["AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
      vi.stubEnv(name, undefined);
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const opened = openPipelineOf({ dir: folder, stack: STACK, ...options }, () => undefined);
    await expect(opened.finally(() => vi.unstubAllEnvs())).rejects.toMatchObject(expected);
  };

  it("no such stack, or one of another program", async () => {
    await failsWith(
      "STACK_NOT_FOUND",
      runCli(folder, ["status", "--stack", "accrete-prod-none"], aws.env),
      "there is no stack accrete-prod-none in eu-central-1",
    );
    aws.stacks.set("other", { Url: "https://example.com" });
    const message = expect.stringContaining("has no output Pipeline");
    await fails({ stack: "other" }, { code: "STACK_NOT_OURS", message });
  });

  it("a stack of a pipeline that the config has not, or that is not the one asked for", async () => {
    aws.stacks.set("cats", { ...aws.stacks.get(STACK), Pipeline: "cats" });
    const message = expect.stringContaining("of the pipeline cats");
    await fails({ stack: "cats" }, { code: "PIPELINE_UNKNOWN", message });
    await failsWith("USAGE", accrete(["status", "--pipeline", "dogs"]), "of the pipeline fake, not of dogs");
  });

  it("no region, no credentials", async () => {
    const bare = { ...NOTHING_OF_THE_USERS, AWS_ENDPOINT_URL: aws.url };
    await fails({}, { code: "AWS_REGION_MISSING" }, bare);
    await fails({}, { code: "AWS_CREDENTIALS_MISSING" }, { ...bare, AWS_REGION: REGION });
    expect(await runCli(folder, ["doctor", "--stack", STACK], bare)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/missing +region .*Region is missing\n +what to do: Set AWS_REGION/),
    });
  });

  it("CloudFormation refuses to answer", async () => {
    for (const [code, expected] of [
      ["ExpiredToken", "AWS_CREDENTIALS_EXPIRED"],
      ["InvalidClientTokenId", "AWS_CREDENTIALS_REFUSED"],
    ] as const) {
      aws.failures.set("DescribeStacks", { status: 403, code });
      await fails({}, { code: expected, message: expect.stringContaining(`it is ${code}`) });
    }
    aws.failures.set("DescribeStacks", { status: 403, code: "AccessDenied" });
    const [status, doctor] = [accrete(["status"]), accrete(["doctor"])];
    await failsWith("AWS_ACCESS_DENIED", status, "it is AccessDenied");
    // it says as much as it can
    expect(await doctor).toMatchObject({
      code: 1,
      err: "",
      out: expect.stringMatching(/ok +identity[^]*missing +stack .*it is AccessDenied\n +what to do: /),
    });
  });

  it("nobody answers", async () => {
    const message = expect.stringContaining("ECONNREFUSED");
    await fails({}, { code: "AWS_UNREACHABLE", message }, { ...aws.env, AWS_ENDPOINT_URL: "http://127.0.0.1:9" });
  });

  it("a right that a later call lacks", async () => {
    aws.failures.set("GetLogEvents", { status: 400, code: "AccessDeniedException" });
    await failsWith("AWS_ACCESS_DENIED", accrete(["logs", "2"]), "it is AccessDeniedException");
    aws.failures.clear();
    aws.failures.set("describejobs", { status: 403, code: "AccessDeniedException" });
    await failsWith("AWS_ACCESS_DENIED", accrete(["logs", "2"]));
  });

  it("commands that are about this machine", async () => {
    await Promise.all([
      ...[["up"], ["init", "x"], ["native"], ["image"], ["doctor", "--notify"]].map((args) =>
        failsWith("USAGE", accrete(args)),
      ),
      failsWith("USAGE", runCli(folder, ["doctor", "--print-notification"])),
    ]);
  });
});

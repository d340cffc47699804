/** `accrete --stack` against a small AWS on loopback: the CLI is a process with the SDK's real clients, the stack's ledger is the test. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openS3Client } from "../adapters/s3-client.ts";
import { openS3Items } from "../adapters/s3-items.ts";
import { openS3Store } from "../adapters/s3-store.ts";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import { configDigest } from "../protocol/config.ts";
import type { Arrival } from "../protocol/ports.ts";
import { TickMessage } from "../protocol/tick-message.ts";
import { fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { runCli, startCli, type CliResult } from "../test/run-cli.ts";
import { ACCOUNT, NOTHING_OF_THE_USERS, openSmallAws, REGION, type SmallAws } from "../test/small-aws/server.ts";

const STACK = "accrete-prod-fake";
const CONFIG = `export default { pipelines: [{ name: "fake", data: { format: "csv" }, trainer: { model: "./model.ts", epochs: 2 }, trigger: { quietPeriod: 0 }, budget: { pricePerHour: 2 } }] };`;
const GROUP = "/accrete/prod/fake/jobs";

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
  });
  aws.jobs = fake.ledger.jobs;
  // the stack's two functions: what comes is taken in at once, and each message is a tick
  const items = openS3Items({ client, bucket: "data", owner: ACCOUNT });
  takeIn = async () => {
    const found: Arrival[] = [...(await items.list("")).items];
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
    JobQueue: "queue",
    JobDefinition: `arn:aws:batch:${REGION}:${ACCOUNT}:job-definition/accrete-prod-fake:3`,
    Image: `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/accrete@sha256:${"a".repeat(64)}`,
    JobLogGroup: GROUP,
    IntakeFunction: "accrete-prod-fake-intake",
    LedgerFunction: "accrete-prod-fake-ledger",
    TopicArn: `arn:aws:sns:${REGION}:${ACCOUNT}:notices`,
    OperatorPolicyArn: `arn:aws:iam::${ACCOUNT}:policy/operator`,
    ConfigDigest: configDigest(fake.ledger.config),
    AccreteVersion: "0.1.0",
  });
});
let takeIn: () => Promise<void>;
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
    expect(await accrete(["train"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(
        "a moment ago is taken in within seconds\nwhat to do: Add data first: `accrete add --stack accrete-prod-fake FILE...`",
      ),
    });
  });

  it("add sends whole files, in parts where they are large, and overwrites only if it is told to", async () => {
    const large = Buffer.alloc(9 * 1_048_576, "1,2\n");
    await writeFile(join(folder, "large.csv"), large);
    await writeFile(join(folder, "a b+ü.csv"), "1,2\n");
    await writeFile(join(folder, "empty.csv"), "");
    expect(await json("add", "large.csv", "a b+ü.csv")).toEqual({
      added: [
        { key: "large.csv", size: large.length, overwritten: false },
        { key: "a b+ü.csv", size: 4, overwritten: false },
      ],
      same: 0,
      bytes: large.length + 4,
    });
    const data = aws.s3.buckets.get("data")!;
    expect(data.get("large.csv")).toMatchObject({ etag: expect.stringMatching(/-2$/) });
    expect(data.get("large.csv")!.body.equals(large)).toBe(true);
    expect([...data.keys()].sort()).toEqual(["a b+ü.csv", "large.csv"]);

    const again = await accrete(["add", "large.csv", "a b+ü.csv"]);
    expect(again).toMatchObject({ code: 0, err: "", out: expect.stringContaining("2 files are there already") });
    await writeFile(join(folder, "a b+ü.csv"), "3,4\n");
    expect(await accrete(["add", "a b+ü.csv"])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^error TARGET_EXISTS: another content is in the data bucket already as a b\+ü\.csv/),
    });
    expect(await accrete(["add", "empty.csv"])).toMatchObject({
      code: 64,
      err: expect.stringContaining("it is empty"),
    });
    expect(data.get("a b+ü.csv")!.body.toString()).toBe("1,2\n");
    expect(await accrete(["add", "a b+ü.csv", "--force"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/added 1 file, 4 B, to s3:\/\/data\n.*\nthe stack learns what was added/),
    });
    expect(data.get("a b+ü.csv")!.body.toString()).toBe("3,4\n");
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
    expect(await follower.ended).toEqual({ code: 0, err: "", out: `${log}late\n` });
  });

  it("rollback writes its entry here, tells of it, and asks for a tick", async () => {
    const messages = aws.sent.length;
    fake.training = {}; // its job has learned at once
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
    const [why, byUrl] = await Promise.all([accrete(["why", "large.csv"]), accrete(["why", "s3://data/large.csv"])]);
    expect(why).toMatchObject({ code: 0, err: "", out: expect.stringContaining("learned by round 2") });
    expect(byUrl.out).toBe(why.out);
    expect(await accrete(["why", "lage.csv"])).toMatchObject({
      code: 1,
      err: expect.stringContaining('it is no file in s3://data: did you mean "large.csv"?'),
    });
    // as if the stack had been killed while it followed the commit up: whoever finishes that tells of it
    aws.s3.buckets.get("state")!.delete("fake/live.json");
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
      rounds: [{ round: 2, kind: "round", items: 2, jobMs: 0, dollars: 0 }],
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
      expect([...aws.s3.buckets.get("far")!.keys()]).toEqual(["a.csv"]);
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
    const line = `accrete why --stack ${STACK} l`;
    const completed = await runCli(folder, ["complete", "bash", line], aws.env);
    expect(completed).toMatchObject({ out: "objects\nlarge.csv\n", err: "" });
    expect(await runCli(folder, ["complete", "bash", line.replace("fake", "none")], aws.env)).toMatchObject({
      out: "",
      err: "",
    });
  });
});

describe("what is wrong", () => {
  const failsWith = async (code: string, result: Promise<CliResult>, says: string | RegExp = ""): Promise<void> => {
    const { out, err, code: exit } = await result;
    expect({ out, exit }).toEqual({ out: "", exit: code === "USAGE" || code === "PIPELINE_UNKNOWN" ? 64 : 1 });
    expect(err).toMatch(new RegExp(`^error ${code}: [^\\n]+\\nwhat to do: [^\\n]+\\n$`));
    expect(err).toMatch(says);
  };

  it("no such stack, or one of another program", async () => {
    await failsWith(
      "STACK_NOT_FOUND",
      runCli(folder, ["status", "--stack", "accrete-prod-none"], aws.env),
      "there is no stack accrete-prod-none in eu-central-1",
    );
    aws.stacks.set("other", { Url: "https://example.com" });
    await failsWith(
      "STACK_NOT_OURS",
      runCli(folder, ["status", "--stack", "other"], aws.env),
      "has no output Pipeline",
    );
  });

  it("a stack of a pipeline that the config has not, or that is not the one asked for", async () => {
    aws.stacks.set("cats", { ...aws.stacks.get(STACK), Pipeline: "cats" });
    await failsWith("PIPELINE_UNKNOWN", runCli(folder, ["status", "--stack", "cats"], aws.env), "of the pipeline cats");
    await failsWith("USAGE", accrete(["status", "--pipeline", "dogs"]), "of the pipeline fake, not of dogs");
  });

  it("no region, no credentials", async () => {
    const bare = { ...NOTHING_OF_THE_USERS, AWS_ENDPOINT_URL: aws.url };
    await failsWith("AWS_REGION_MISSING", runCli(folder, ["status", "--stack", STACK], bare));
    await failsWith(
      "AWS_CREDENTIALS_MISSING",
      runCli(folder, ["status", "--stack", STACK], { ...bare, AWS_REGION: REGION }),
    );
  });

  it.each([
    ["ExpiredToken", 403, "AWS_CREDENTIALS_EXPIRED"],
    ["InvalidClientTokenId", 403, "AWS_CREDENTIALS_REFUSED"],
    ["AccessDenied", 403, "AWS_ACCESS_DENIED"],
  ])("CloudFormation answers %s", async (code, status, expected) => {
    aws.failures.set("DescribeStacks", { status, code });
    await failsWith(expected, accrete(["status"]), `it is ${code}`);
    // it says as much as it can
    expect(await accrete(["doctor"])).toMatchObject({
      code: 1,
      err: "",
      out: expect.stringMatching(new RegExp(`ok +identity[^]*missing +stack .*it is ${code}\\n +what to do: `)),
    });
  });

  it("nobody answers", async () => {
    await failsWith("AWS_UNREACHABLE", accrete(["status"], { AWS_ENDPOINT_URL: "http://127.0.0.1:9" }), "ECONNREFUSED");
  });

  it("a right that a later call lacks", async () => {
    aws.failures.set("GetLogEvents", { status: 400, code: "AccessDeniedException" });
    await failsWith("AWS_ACCESS_DENIED", accrete(["logs", "2"]), "it is AccessDeniedException");
    aws.failures.clear();
    aws.failures.set("describejobs", { status: 403, code: "AccessDeniedException" });
    await failsWith("AWS_ACCESS_DENIED", accrete(["logs", "2"]));
  });

  it("commands that are about this machine", async () => {
    for (const args of [["up"], ["init", "x"], ["native"], ["doctor", "--notify"]])
      await failsWith("USAGE", accrete(args));
    await failsWith("USAGE", runCli(folder, ["doctor", "--print-notification"]));
  });
});

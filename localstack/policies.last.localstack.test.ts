/**
 * LocalStack evaluates no policy. So what was asked of it in this run, by functions, jobs and the CLI, is put to a policy evaluator with the
 * policies that were deployed. The last of the files to run: the calls of all tests before it are judged.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { CloudFormationClient, ListStackResourcesCommand } from "@aws-sdk/client-cloudformation";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { beforeAll, expect, it } from "vitest";
import { openS3Store } from "../adapters/s3-store.ts";
import { bucketOf } from "../adapters/stack-outputs.ts";
import { readHead } from "../ledger/read.ts";
import { allDigits, idxFile } from "../scripts/digits.ts";
import { until } from "../scripts/workspace.ts";
import { askedFor, type Surroundings } from "../test/policies/aws-calls.ts";
import { decide, type Asked, type Caller } from "../test/policies/evaluate.ts";
import { policyFor } from "../test/policies/place.ts";
import { policiesOfTemplate, type TemplatePolicies } from "../test/policies/template-policies.ts";
import { DEMO } from "./deploy.ts";
import { ACCOUNT, JOB_KEY, REGION } from "./environment.ts";
import { ROOT } from "./root.ts";
import { readCalls, type RecordedCall } from "./testing/calls.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";

const cloud = cloudOfTests();
const { outputs } = cloud;
const STACK = "accrete-prod-digits";
/** What the CLI signs with here. */
const OPERATOR_KEY = "operator";
const ROUND_MS_MAX = 90_000;
const run = promisify(execFile);

type Who = "intake" | "ledger" | "trainer" | "operator";
interface Made extends RecordedCall {
  readonly by: Who;
}

let template: TemplatePolicies;
let callers: Record<Who, Caller>;
let calls: Made[];
let around: Surroundings;

beforeAll(async () => {
  await oneRound();
  for (const words of [
    ["status"],
    ["log"],
    ["show", "1"],
    ["verify"],
    ["logs", "1"],
    ["pull", join(cloud.folder, "tmp/pulled")],
  ])
    await cli(...words);
  template = await deployedPolicies();
  callers = callersOf(template);
  calls = readCalls(cloud.folder).flatMap((call) => {
    const by = whoseIs(call);
    return by === undefined || isLocalStacksOwn(call) ? [] : [{ ...call, by }];
  });
  const owner = { partition: "aws", region: REGION, account: ACCOUNT };
  around = { ...owner, owners: {}, keys: {}, messageKey: null, queues: queuesOf(calls) };
}, 2 * ROUND_MS_MAX);

it("has recorded what each of them is there for", () => {
  const kinds = (who: Who): string[] => [
    ...new Set(calls.filter(({ by }) => by === who).map(({ service, command }) => `${service}.${command}`)),
  ];
  // the queues are read in a function's name by Lambda
  const queue = ["SQS.ReceiveMessage", "SQS.SendMessage"];
  expect(kinds("intake")).toEqual(expect.arrayContaining(["S3.PutObject", ...queue]));
  expect(kinds("ledger")).toEqual(
    expect.arrayContaining([
      ...["PutObject", "GetObject", "ListObjectsV2", "DeleteObject"].map((command) => `S3.${command}`),
      "Batch.SubmitJob",
      "SQS.ReceiveMessage",
      "CloudWatch Logs.PutLogEvents",
    ]),
  );
  expect(kinds("trainer")).toEqual(expect.arrayContaining(["S3.GetObject", "S3.PutObject", "S3.HeadObject"]));
  expect(kinds("operator")).toEqual(
    expect.arrayContaining(["CloudFormation.DescribeStacks", "S3.GetObject", "S3.ListObjectsV2"]),
  );
});

it("asks for nothing that the policies deployed with it do not allow", async () => {
  expect(await refused(calls)).toEqual([]);
});

it("is judged by policies that do refuse: a job of intake, the log from the trainer", async () => {
  const submit = calls.filter(({ by, command }) => by === "ledger" && command === "SubmitJob");
  expect((await refused(submit.map((call) => ({ ...call, by: "intake" })))).length).toBeGreaterThan(0);
  const commit = calls.filter(
    ({ by, command, input }) => by === "ledger" && command === "PutObject" && String(input["Key"]).includes("/log/"),
  );
  expect((await refused(commit.map((call) => ({ ...call, by: "trainer" })))).length).toBeGreaterThan(0);
});

it("needs nothing that emulators have wrong: a conditional DELETE, a LIST with EncodingType, a copy with a condition", () => {
  const ofS3 = calls.filter(({ service }) => service === "S3");
  const wrong = ofS3.filter(
    ({ command, input }) =>
      (command.startsWith("DeleteObject") && Object.keys(input).some((name) => name.startsWith("IfMatch"))) ||
      (command.startsWith("List") && input["EncodingType"] !== undefined) ||
      command === "CopyObject",
  );
  expect(wrong).toEqual([]);
  expect(ofS3.filter(({ input }) => input["ExpectedBucketOwner"] !== ACCOUNT)).toEqual([]);
});

/** What is refused, each once: who, what, on what, and why. */
async function refused(made: readonly Made[]): Promise<string[]> {
  const asked = new Map<string, { by: Who; one: Asked }>();
  for (const call of made)
    for (const one of askedFor(call, around)) asked.set(`${call.by} ${JSON.stringify(one)}`, { by: call.by, one });
  const found: string[] = [];
  for (const { by, one } of asked.values()) {
    const { result, refusedBy } = await decide(callers[by], one, policyFor(template.resources, one.resource));
    if (result !== "Allowed")
      found.push(`${by} ${one.action} ${one.resource} ${JSON.stringify(one.context)} ${result} ${refusedBy.join()}`);
  }
  return found;
}

/** It looks for a function's log group, and makes it where there is none; Lambda writes into the one that the stack has made. */
const isLocalStacksOwn = ({ command }: RecordedCall): boolean => command === "CreateLogGroup";

/** LocalStack has several URLs for one: the name is at the end of each. */
function queuesOf(made: readonly RecordedCall[]): Record<string, string> {
  const urls = made.flatMap(({ input: { QueueUrl } }) => (typeof QueueUrl === "string" ? [QueueUrl] : []));
  return Object.fromEntries(urls.map((url) => [url, `arn:aws:sqs:${REGION}:${ACCOUNT}:${url.split("/").at(-1)}`]));
}

function whoseIs({ key, role, input }: RecordedCall): Who | undefined {
  // jobs of other pipelines sign with the same key, and have roles and buckets of their own
  if (key === JOB_KEY) return isOfDemo(input["Bucket"]) ? "trainer" : undefined;
  if (key === OPERATOR_KEY) return "operator";
  return (["intake", "ledger"] as const).find((who) => role === callers[who].arn);
}

function isOfDemo(bucket: unknown): boolean {
  const buckets = [outputs.StateUrl, outputs.DataUrl].map((url) => bucketOf(url).bucket);
  return bucket === undefined || buckets.some((one) => one === bucket);
}

/** The template, with the names that its things have got. */
async function deployedPolicies(): Promise<TemplatePolicies> {
  const client = new CloudFormationClient(clientOptions(cloud));
  const { StackResourceSummaries = [] } = await client.send(new ListStackResourcesCommand({ StackName: STACK }));
  const names = new Map(
    // of a queue it is the URL, of a topic the ARN
    StackResourceSummaries.map(({ LogicalResourceId = "", PhysicalResourceId = "" }) => [
      LogicalResourceId,
      PhysicalResourceId.split(/[/:](?=[^/:]*$)/).at(-1),
    ]),
  );
  return policiesOfTemplate(JSON.parse(readFileSync(join(cloud.assembly, `${STACK}.template.json`), "utf8")), {
    partition: "aws",
    region: REGION,
    account: ACCOUNT,
    stack: STACK,
    nameOf: (_type, id) => names.get(id),
  });
}

function callersOf({ roles, managed, ofType }: TemplatePolicies): Record<Who, Caller> {
  const byArn = new Map([...roles.values()].map((role) => [role.arn, role]));
  const caller = (arn: unknown): Caller => {
    const role = byArn.get(String(arn));
    if (role === undefined) throw new Error(`${String(arn)}: no role of the template`);
    return { arn: role.arn, statements: role.statements };
  };
  const functions = [...ofType("AWS::Lambda::Function").values()];
  const roleOf = (name: string): unknown => functions.find(({ FunctionName }) => FunctionName === name)?.["Role"];
  const [definition] = ofType("AWS::Batch::JobDefinition").values();
  const container = definition?.["ContainerProperties"];
  const jobRole =
    typeof container === "object" && container !== null && "JobRoleArn" in container ? container.JobRoleArn : undefined;
  const [operator = []] = managed.values();
  return {
    intake: caller(roleOf(outputs.IntakeFunction)),
    ledger: caller(roleOf(outputs.LedgerFunction)),
    trainer: caller(jobRole),
    operator: { arn: `arn:aws:iam::${ACCOUNT}:role/somebody`, statements: operator },
  };
}

/** Where no test before has trained one. */
async function oneRound(): Promise<void> {
  const state = bucketOf(outputs.StateUrl);
  const client = new S3Client(clientOptions(cloud));
  const store = openS3Store({ client, bucket: state.bucket, prefix: state.prefix, owner: ACCOUNT });
  if ((await readHead(store)).head.seq > 0) return;
  const Body = idxFile(allDigits().slice(0, 500));
  await client.send(
    new PutObjectCommand({ Bucket: bucketOf(outputs.DataUrl).bucket, Key: "digits/digits-1.idx", Body }),
  );
  await until("a round", ROUND_MS_MAX, async () => ((await readHead(store)).head.seq > 0 ? true : undefined), 250);
}

async function cli(...words: string[]): Promise<void> {
  const args = [join(ROOT, "cli/main.ts"), "--dir", DEMO, "--stack", STACK, ...words];
  await run(process.execPath, args, { env: { ...process.env, ...cloud.env, AWS_ACCESS_KEY_ID: OPERATOR_KEY } });
}

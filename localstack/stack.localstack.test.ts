import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BatchClient, DescribeJobQueuesCommand, ListJobsCommand } from "@aws-sdk/client-batch";
import { CloudFormationClient, GetTemplateCommand } from "@aws-sdk/client-cloudformation";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { expect, it, onTestFinished } from "vitest";
import { openS3Store } from "../adapters/s3-store.ts";
import { bucketOf } from "../adapters/stack-outputs.ts";
import { readEntry, readHead } from "../ledger/read.ts";
import { allDigits, idxFile } from "../scripts/digits.ts";
import { until } from "../scripts/workspace.ts";
import { DEMO, synth, templatesOf } from "./deploy.ts";
import { ACCOUNT, LEFT_OUT } from "./environment.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";
import { isTrainer, listenersOf, listenersOfProcesses, processesToldOf } from "./testing/listeners.ts";

const cloud = cloudOfTests();
const { outputs } = cloud;
const STAGE = "accrete-prod-";
const ROUND_MS_MAX = 90_000;

it("deploys the templates that are AWS' own for the same config, byte for byte, and leaves two types out", async () => {
  const folder = mkdtempSync(join(tmpdir(), "accrete-synth-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["logs", "home"]) mkdirSync(join(folder, name));
  const forAws = join(folder, "cdk.out");
  await synth(DEMO, forAws, {
    env: { AWS_REGION: "eu-central-1", AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
    folder,
  });
  expect(templatesOf(forAws)).toEqual(["accrete-prod-digits.template.json", "accrete-prod-platform.template.json"]);
  const client = new CloudFormationClient(clientOptions(cloud));
  for (const file of templatesOf(forAws)) {
    const template = readFileSync(join(forAws, file), "utf8");
    expect(readFileSync(join(cloud.assembly, file), "utf8")).toBe(template);
    const StackName = file.replace(".template.json", "");
    const { TemplateBody = "" } = await client.send(new GetTemplateCommand({ StackName, TemplateStage: "Original" }));
    expect(TemplateBody).toBe(template);
  }
  expect(cloud.leftOut).toEqual(LEFT_OUT);
});

it("has AWS::Batch's resources made by the Batch server, by the names and ARNs that the functions are told", async () => {
  const client = new BatchClient({ ...clientOptions(cloud), endpoint: cloud.batch });
  const { jobQueues = [] } = await client.send(new DescribeJobQueuesCommand({}));
  // other tests' stages have some as well
  const names = jobQueues.flatMap(({ jobQueueName = "" }) => (jobQueueName.startsWith(STAGE) ? [jobQueueName] : []));
  expect(names.sort()).toEqual([outputs.JobQueue, outputs.OnDemandJobQueue].sort());
  expect(outputs.JobDefinition).toMatch(/^arn:aws:batch:us-east-1:000000000000:job-definition\/accrete-prod-digits:1$/);
});

it("learns what any S3 client puts there: bucket, event, queue, functions, a job of Batch, a checkpoint, a commit", async () => {
  const { bucket } = bucketOf(outputs.DataUrl);
  const state = bucketOf(outputs.StateUrl);
  const client = new S3Client(clientOptions(cloud));
  const store = openS3Store({ client, bucket: state.bucket, prefix: state.prefix, owner: ACCOUNT });
  const Body = idxFile(allDigits().slice(0, 500));
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: "digits/digits 1+é%20.idx", Body }));
  const listening = new Set<string>();
  let jobs = 0;
  await until(
    "the commit of round 1",
    ROUND_MS_MAX,
    async () => {
      const all = processesToldOf(cloud.folder);
      jobs += all.filter(isTrainer).length;
      for (const address of listenersOfProcesses(all.map(({ pid }) => pid))) listening.add(address);
      return (await readHead(store)).head.seq >= 1 ? true : undefined;
    },
    250,
  );
  // of the job and the functions, too
  expect(jobs).toBeGreaterThan(0);
  expect([...listening].filter((address) => !address.startsWith("127.0.0.1:"))).toEqual([]);
  const { document } = await readEntry(store, 1);
  expect(document).toMatchObject({ kind: "round", round: 1, items: 1, checkpoint: { epoch: 6 } });
  const batch = new BatchClient({ ...clientOptions(cloud), endpoint: cloud.batch });
  const { jobSummaryList = [] } = await batch.send(
    new ListJobsCommand({ jobQueue: outputs.JobQueue, jobStatus: "SUCCEEDED" }),
  );
  expect(jobSummaryList).toHaveLength(1);
  const logs = new CloudWatchLogsClient(clientOptions(cloud));
  const linesOf = async (logGroupName: string): Promise<string> => {
    const { events = [] } = await logs.send(new FilterLogEventsCommand({ logGroupName }));
    return events.map(({ message }) => message).join("\n");
  };
  expect(await linesOf(outputs.JobLogGroup)).toContain("round 1: done");
  // where the functions' LoggingConfig says, not where LocalStack writes by itself
  expect(await linesOf("/accrete/prod/digits/ledger")).toMatch(
    /^START RequestId: [\s\S]*"event":"planned"[\s\S]*^REPORT /m,
  );
});

it.runIf(existsSync("/proc/net/tcp"))("listens on 127.0.0.1 alone, with all of its processes", () => {
  const found = listenersOf(Object.values(cloud.pids));
  expect(found).toEqual(expect.arrayContaining([cloud.endpoint, cloud.batch].map((url) => new URL(url).host)));
  expect(found.filter((address) => !address.startsWith("127.0.0.1:"))).toEqual([]);
});

/** What the functions' handlers ask AWS for, with the SDK's own clients, against a small AWS on loopback: allowed by the synthesised stack. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openS3Client } from "../../adapters/s3-client.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { bringOn } from "../../functions/bring-on.ts";
import { composeIntake, composeLedger } from "../../functions/compose.ts";
import { takeIn } from "../../functions/take-in.ts";
import { readHead } from "../../ledger/read.ts";
import { parseConfig } from "../../protocol/config.ts";
import { canonicalJson } from "../../protocol/digest.ts";
import { jobRecordKey } from "../../protocol/keys.ts";
import type { Store } from "../../protocol/ports.ts";
import { fakePipeline, type FakePipeline } from "../fake-trainer.ts";
import { jobChanged, objectCreated, sqsBatch } from "../function-events.ts";
import { openSmallAws, type SmallAws } from "../small-aws/server.ts";
import { deploy } from "./deployed.ts";
import { AROUND, Judge, kindsOf } from "./judge.ts";
import type { Recorded } from "./memory-aws.ts";
import { ACCOUNT, DATA, JOB_QUEUES, NAMES, PIPELINE, REGION, STATE } from "./place.ts";

let folder: string;
let aws: SmallAws;
let store: Store;
let fake: FakePipeline;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-handlers-"));
  const [config] = parseConfig({
    pipelines: [
      {
        name: PIPELINE,
        data: { prefix: NAMES.dataPrefix, format: "csv" },
        trainer: { model: "./model.ts" },
        trigger: { quietPeriod: 0 },
        schedule: { every: "1 day" },
      },
    ],
  }).pipelines;
  await writeFile(join(folder, "config.json"), canonicalJson(config));
  await writeFile(join(folder, "model.mjs"), "export default {};");
  aws = await openSmallAws();
  for (const bucket of [STATE, DATA]) aws.s3.buckets.set(bucket, new Map());
  const credentials = { accessKeyId: "the-test", secretAccessKey: "s" };
  const client = openS3Client({ config: { region: REGION, endpoint: aws.url, credentials } });
  store = openS3Store({ client, bucket: STATE, prefix: PIPELINE, owner: ACCOUNT });
  fake = fakePipeline(store);
  aws.jobs = fake.ledger.jobs;
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
  for (const [name, value] of Object.entries({
    ...aws.env,
    ACCRETE_STATE: `s3://${STATE}/${PIPELINE}`,
    ACCRETE_DATA: `s3://${DATA}`,
    ACCRETE_ACCOUNT: ACCOUNT,
    ACCRETE_DATA_ACCOUNT: ACCOUNT,
    ACCRETE_TICKS: `${aws.url}/${ACCOUNT}/ticks`,
    ACCRETE_JOB_QUEUE: JOB_QUEUES[0],
    ACCRETE_ONDEMAND_JOB_QUEUE: JOB_QUEUES[1],
    ACCRETE_JOB_DEFINITION: `${NAMES.jobDefinition}:1`,
    ACCRETE_IMAGE: "image:1",
    ACCRETE_TOPIC: NAMES.topic!,
    ACCRETE_METRICS: "prod-sim",
  }))
    vi.stubEnv(name, value);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await aws.close();
  await rm(folder, { recursive: true, force: true });
});

it("by intake, by ledger for ticks, ends of jobs, a schedule and the sweep", { timeout: 60_000 }, async () => {
  const place = { folder, env: process.env };
  const well = { batchItemFailures: [] };
  vi.stubEnv("AWS_ACCESS_KEY_ID", "intake");
  const intake = composeIntake(place);
  expect(await takeIn(intake, sqsBatch(["f1.csv", "f 2.csv"].map((key) => objectCreated(key))))).toEqual(well);
  vi.stubEnv("AWS_ACCESS_KEY_ID", "ledger");
  const ledger = composeLedger(place);
  const bring = async (...bodies: string[]): Promise<void> =>
    expect(await bringOn(ledger, sqsBatch(bodies))).toEqual(well);
  await bring(aws.sent.at(-1)!);
  const record = JSON.parse(new TextDecoder().decode((await store.get(jobRecordKey(1, 1)))!.body)) as { jobId: string };
  const [job] = await fake.ledger.jobs.describe([record.jobId]);
  await bring(jobChanged(job!.name, "SUCCEEDED", { jobId: job!.id }));
  expect((await readHead(store)).head).toMatchObject({ round: 1 });

  aws.s3.buckets.get(DATA)!.set("f3.csv", { body: Buffer.from("1"), etag: "e", metadata: {}, modified: new Date(0) });
  await bring(JSON.stringify({ format: 1, sweep: true, whole: true }));
  fake.training = null;
  await bring(JSON.stringify({ format: 1, schedule: "2026-01-31T08:00:00Z", retrain: "full" }));
  expect(aws.published.length).toBeGreaterThan(0);

  const calls = aws.asked.flatMap((call): Recorded[] => (call.by === "the-test" ? [] : [call]));
  expect(kindsOf(calls)).toEqual({
    intake: ["S3.PutObject", "SQS.SendMessage"],
    ledger: [
      "Batch.DescribeJobs",
      "Batch.SubmitJob",
      "S3.DeleteObject",
      "S3.GetObject",
      "S3.HeadObject",
      "S3.ListObjectsV2",
      "S3.PutObject",
      "SNS.Publish",
      "SQS.SendMessage",
    ],
  });
  expect(calls).toContainEqual(
    expect.objectContaining({
      by: "ledger",
      command: "ListObjectsV2",
      input: expect.objectContaining({ Bucket: DATA }),
    }),
  );
  const around = { ...AROUND, queues: { [`${aws.url}/${ACCOUNT}/ticks`]: NAMES.ticksQueue } };
  expect(await new Judge().refused(calls, { ...deploy(NAMES.dataPrefix), around })).toEqual([]);
});

/** The functions as they are deployed, with the SDK's own stack, against S3, SQS and Batch on loopback. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { bundleFunction } from "../adapters/bundle-function.ts";
import { parseConfig } from "../protocol/config.ts";
import { canonicalJson, itemId } from "../protocol/digest.ts";
import { intentKey, jobRecordKey, planKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { TickMessage } from "../protocol/tick-message.ts";
import { inboxPages, readHead, readSegments } from "../ledger/read.ts";
import { openBatchServer, type BatchServer } from "../test/batch-server.ts";
import { openCloudServer, type CloudFault, type CloudServer } from "../test/cloud-server.ts";
import { fakeTrain } from "../test/fake-trainer.ts";
import { functionEnv } from "../test/function-env.ts";
import { jobChanged, objectCreated, sqsBatch } from "../test/function-events.ts";
import { stateOf } from "../test/state-of-cloud.ts";

type Handler = (event: object) => Promise<{ batchItemFailures: { itemIdentifier: string }[] }>;

/** longer than a job may be hidden, and in sum shorter than one may wait for a machine */
const HIDDEN_MS = 11 * 60_000;
const DEFINITION = "arn:aws:batch:eu-central-1:123456789012:job-definition/accrete-prod-digits:7";
let folder: string;
let cloud: CloudServer;
let batch: BatchServer;
/** the store's clock is ahead of the machine's by this */
let laterMs = 0;
let starts = 0;
/** of the functions' log */
let lines: unknown[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-functions-"));
  const [config] = parseConfig({
    pipelines: [
      {
        name: "digits",
        data: { format: "csv" },
        trainer: { model: "./model.ts" },
        trigger: { quietPeriod: "0 s" },
        notify: { on: [] },
      },
    ],
  }).pipelines;
  await writeFile(join(folder, "config.json"), canonicalJson(config));
  await writeFile(join(folder, "model.mjs"), "export default {};");
  for (const name of ["intake", "ledger"] as const)
    await writeFile(join(folder, `${name}.mjs`), await bundleFunction(name));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const environment = { ...process.env };
beforeEach(async () => {
  laterMs = 0;
  lines = [];
  vi.spyOn(process.stdout, "write").mockImplementation((line) => lines.push(JSON.parse(String(line))) > 0);
  cloud = await openCloudServer(() => Date.now() + laterMs);
  batch = await openBatchServer();
  Object.assign(process.env, functionEnv({ cloud: cloud.url, batch: batch.url }), {
    ACCRETE_JOB_DEFINITION: DEFINITION,
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  await Promise.all([cloud.close(), batch.close()]);
});

/** A fresh start of the function, as of a Lambda that was not running. */
async function start(name: "intake" | "ledger"): Promise<Handler> {
  const { handler } = await import(`${pathToFileURL(join(folder, `${name}.mjs`)).href}?start=${++starts}`);
  return handler;
}

const state = (): Store => stateOf(cloud, "state/digits/");

async function waiting(): Promise<string[]> {
  const ids = new Map<string, string>();
  for await (const page of inboxPages(state()))
    for (const { items } of (await readSegments(state(), page)).whole)
      for (const item of items) ids.set(itemId(item), item.key);
  return [...ids.values()].sort();
}
const failedOf = ({ batchItemFailures }: Awaited<ReturnType<Handler>>): string[] =>
  batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
const TICK = sqsBatch([JSON.stringify({ format: 1, tick: { kind: "plain" }, dueMs: 0 })]);

it("takes data in, trains it as a job of AWS Batch, and commits the round", { timeout: 120_000 }, async () => {
  const [intake, ledger] = [await start("intake"), await start("ledger")];
  expect(failedOf(await intake(sqsBatch(["a.csv", "b c.csv"].map((key) => objectCreated(key)))))).toEqual([]);
  const [tick] = cloud.sent.map(({ body }) => TickMessage.parse(JSON.parse(body)));
  expect(tick?.tick.kind).toBe("segment");
  expect(failedOf(await ledger(sqsBatch([JSON.stringify(tick)])))).toEqual([]);
  const [submitted] = batch.submitted;
  expect(submitted).toMatchObject({ jobQueue: "spot", jobDefinition: DEFINITION });
  expect(await state().get(jobRecordKey(1, 1))).toBeDefined();

  await fakeTrain(state(), planKey(1), 1);
  const ended = jobChanged(submitted?.jobName ?? "", "SUCCEEDED");
  expect(failedOf(await ledger(sqsBatch([ended, ended])))).toEqual([]);
  const { head } = await readHead(state());
  expect(head).toMatchObject({ round: 1, seq: 1 });
  expect(await waiting()).toEqual([]);
  expect(batch.submitted).toHaveLength(1);
  expect(lines).toContainEqual(expect.objectContaining({ pipeline: "digits", event: "committed", round: 1 }));
  expect(lines).toContainEqual(
    expect.objectContaining({ _aws: expect.anything(), pipeline: "prod-digits", rounds: 1 }),
  );
});

describe("S3 that fails", () => {
  it.each<[CloudFault, CloudFault[]]>([
    ["throttled", ["throttled", "throttled"]],
    ["fails", ["fails"]],
    ["conflict", ["conflict", "conflict"]],
    ["fails-after", ["fails-after"]],
    ["drops-after", ["drops-after", "fails"]],
  ])("a segment whose writing %s is written all the same, once", async (_what, faults) => {
    const intake = await start("intake");
    cloud.fail("PUT", ...faults);
    expect(failedOf(await intake(sqsBatch([objectCreated("a.csv")])))).toEqual([]);
    expect(await waiting()).toEqual(["a.csv"]);
    expect([...cloud.objects.objects.keys()].filter((key) => key.includes("/inbox/"))).toHaveLength(1);
    expect(cloud.sent).toHaveLength(1);
  });

  it("fails the messages of what it would not write, and of nothing else", async () => {
    const intake = await start("intake");
    cloud.fail("PUT", "throttled", "throttled", "throttled", "throttled", "throttled");
    const bodies = [objectCreated("a.csv"), objectCreated("other.csv", { bucket: "other" }), objectCreated("b.csv")];
    expect(failedOf(await intake(sqsBatch(bodies)))).toEqual(["m0", "m2"]);
    expect(failedOf(await intake(sqsBatch(bodies)))).toEqual([]);
    expect(await waiting()).toEqual(["a.csv", "b.csv"]);
  });

  it.each<CloudFault>(["throttled", "conflict", "fails-after", "drops-after"])(
    "never makes two jobs of a round, whichever of the ledger's writes %s",
    { timeout: 120_000 },
    async (fault) => {
      const [intake, ledger] = [await start("intake"), await start("ledger")];
      for (let write = 0; write < 4; write++) {
        await intake(sqsBatch([objectCreated(`${write}.csv`)]));
        const before = batch.submitted.length;
        // code, plan, intent, job record: one of them, in turns
        cloud.fail("PUT", ...Array.from({ length: write }, () => null), fault);
        await ledger(TICK);
        cloud.fail("PUT");
        // a job that is not recorded may be hidden for ten minutes
        laterMs += HIDDEN_MS;
        for (let ticks = 0; ticks < 3; ticks++) expect(failedOf(await ledger(TICK))).toEqual([]);
        const { head } = await readHead(state());
        const round = head.round + 1;
        expect(batch.submitted.length - before).toBe(1);
        const { jobName } = batch.submitted.at(-1)!;
        await fakeTrain(state(), planKey(round), 1);
        await ledger(sqsBatch([jobChanged(jobName!, "SUCCEEDED")]));
        expect((await readHead(state())).head.round).toBe(round);
        expect(await waiting()).toEqual([]);
      }
    },
  );

  it("reads again what it did not get, and brings the tick back if it never does", async () => {
    const [intake, ledger] = [await start("intake"), await start("ledger")];
    await intake(sqsBatch([objectCreated("a.csv")]));
    cloud.fail("LIST", "throttled", "fails", "drops-after");
    cloud.fail("GET", "fails");
    expect(failedOf(await ledger(TICK))).toEqual([]);
    expect(batch.submitted).toHaveLength(1);
    cloud.fail("LIST", "fails", "fails", "fails", "fails", "fails", "fails", "fails", "fails");
    expect(failedOf(await ledger(TICK))).toEqual(["m0"]);
  });
});

describe("SQS that fails", () => {
  it("brings the news back, if no tick could be asked for", async () => {
    const intake = await start("intake");
    cloud.fail("SendMessage", "fails", "fails", "fails", "fails");
    expect(failedOf(await intake(sqsBatch([objectCreated("a.csv")])))).toEqual(["m0"]);
    cloud.fail("SendMessage", "fails-after", "throttled");
    expect(failedOf(await intake(sqsBatch([objectCreated("a.csv")])))).toEqual([]);
    expect(await waiting()).toEqual(["a.csv"]);
  });
});

describe("Batch that fails", () => {
  it.each(["fails-after", "drops-after"] as const)(
    "finds the job that it does not know of, if SubmitJob %s",
    async (fault) => {
      const [intake, ledger] = [await start("intake"), await start("ledger")];
      await intake(sqsBatch([objectCreated("a.csv")]));
      batch.fail("submitjob", fault);
      expect(failedOf(await ledger(TICK))).toEqual([]);
      // whether it runs can't be told yet: a tick is asked for
      expect(cloud.sent.at(-1)).toMatchObject({ delaySeconds: expect.toSatisfy((seconds: number) => seconds > 590) });
      laterMs += HIDDEN_MS;
      expect(failedOf(await ledger(TICK))).toEqual([]);
      expect(batch.submitted).toHaveLength(1);
      expect(await state().get(jobRecordKey(1, 1))).toBeDefined();
      expect(await state().get(intentKey(1, 2))).toBeUndefined();
    },
  );

  it("makes another attempt of what was refused or failed before it began", { timeout: 120_000 }, async () => {
    const [intake, ledger] = [await start("intake"), await start("ledger")];
    await intake(sqsBatch([objectCreated("a.csv")]));
    batch.fail("submitjob", "refused");
    expect(failedOf(await ledger(TICK))).toEqual(["m0"]);
    laterMs += HIDDEN_MS;
    batch.fail("submitjob", "fails");
    expect(failedOf(await ledger(TICK))).toEqual([]);
    laterMs += HIDDEN_MS;
    batch.fail("submitjob", "throttled", "throttled");
    expect(failedOf(await ledger(TICK))).toEqual([]);
    expect(batch.submitted).toHaveLength(1);
    expect(await state().get(jobRecordKey(1, 3))).toBeDefined();
  });

  it("brings the tick back, if it can't be told how a job is", async () => {
    const [intake, ledger] = [await start("intake"), await start("ledger")];
    await intake(sqsBatch([objectCreated("a.csv")]));
    await ledger(TICK);
    batch.fail("describejobs", "throttled", "throttled", "throttled", "throttled");
    expect(failedOf(await ledger(TICK))).toEqual(["m0"]);
    expect(batch.submitted).toHaveLength(1);
  });
});

it("sweeps what no event told of", async () => {
  const ledger = await start("ledger");
  for (const key of ["a.csv", "b +%20.csv", "ü.csv"]) await cloud.objects.create(`data/${key}`, new Uint8Array(3));
  expect(failedOf(await ledger(sqsBatch([JSON.stringify({ format: 1, sweep: true })])))).toEqual([]);
  expect(await waiting()).toEqual(["a.csv", "b +%20.csv", "ü.csv"]);
});

it.each([
  ["ACCRETE_STATE", "", "ACCRETE_STATE is not set"],
  ["ACCRETE_STATE", "file:///state", "expected an s3: URL"],
  ["ACCRETE_METRICS", "", "ACCRETE_METRICS is not set"],
  ["ACCRETE_JOB_QUEUE", "", "ACCRETE_JOB_QUEUE is not set"],
])("does not start with %s=%j, and says why", async (name, value, message) => {
  process.env[name] = value;
  await expect(start("ledger")).rejects.toThrow(message);
});

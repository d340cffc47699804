/**
 * The largest that the functions are made for, each in a process of its own with the memory of a Lambda of 512 MB: what it took is printed.
 * S3, SQS and Batch are in this process.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleFunction } from "../adapters/bundle-function.ts";
import { parseConfig } from "../protocol/config.ts";
import { canonicalJson, sha256 } from "../protocol/digest.ts";
import { INBOX, logKey, parseSegmentKey, planKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { parseDocument, type Item } from "../protocol/types.ts";
import { openBatchServer, type BatchServer } from "../test/batch-server.ts";
import { openCloudServer, type CloudServer } from "../test/cloud-server.ts";
import { fakeTrain } from "../test/fake-trainer.ts";
import { functionEnv } from "../test/function-env.ts";
import { jobChanged, objectCreated, sqsBatch } from "../test/function-events.ts";
import { stateOf } from "../test/state-of-cloud.ts";

const MEMORY_MB = 512;
/** of it the runtime itself has about this much outside of the heap */
const HEAP_MB = 400;

let folder: string;
let cloud: CloudServer;
let batch: BatchServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-limits-"));
  const [config] = parseConfig({
    pipelines: [
      {
        name: "digits",
        data: { format: "csv" },
        trainer: { model: "./model.ts" },
        trigger: { quietPeriod: "0 s", maxItems: 50_000 },
      },
    ],
  }).pipelines;
  await writeFile(join(folder, "config.json"), canonicalJson(config));
  await writeFile(join(folder, "model.mjs"), "export default {};");
  for (const name of ["intake", "ledger"] as const)
    await writeFile(join(folder, `${name}.mjs`), await bundleFunction(name));
  cloud = await openCloudServer();
  batch = await openBatchServer();
});
afterAll(async () => {
  await Promise.all([cloud.close(), batch.close()]);
  await rm(folder, { recursive: true, force: true });
});

const CALL = `
import { readFileSync } from "node:fs";
const { handler } = await import(process.argv[1]);
const event = JSON.parse(readFileSync(process.argv[2], "utf8"));
const [started, cpu] = [performance.now(), process.cpuUsage()];
const { batchItemFailures } = await handler(event);
const { user, system } = process.cpuUsage(cpu);
console.log("MEASURED " + JSON.stringify({
  failed: batchItemFailures.length,
  seconds: (performance.now() - started) / 1_000,
  processorSeconds: (user + system) / 1e6,
  megabytes: Math.round(process.resourceUsage().maxRSS / 1_024),
}));
`;

interface Measured {
  readonly failed: number;
  readonly seconds: number;
  readonly processorSeconds: number;
  readonly megabytes: number;
}

async function call(what: string, name: "intake" | "ledger", event: object): Promise<Measured> {
  const path = join(folder, "event.json");
  await writeFile(path, JSON.stringify(event));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      `--max-old-space-size=${HEAP_MB}`,
      "--input-type=module",
      "-e",
      CALL,
      pathToFileURL(join(folder, `${name}.mjs`)).href,
      path,
    ],
    {
      maxBuffer: 64 * 1_048_576,
      env: {
        ...process.env,
        ...functionEnv({ cloud: cloud.url, batch: batch.url }),
      },
    },
  );
  const measured: Measured = JSON.parse(/^MEASURED (.*)$/m.exec(stdout)?.[1] ?? "");
  console.log(
    `${what}: ${measured.seconds.toFixed(1)} s, ${measured.processorSeconds.toFixed(1)} s of processors, ${measured.megabytes} MB`,
  );
  expect(measured.failed).toBe(0);
  expect(measured.megabytes).toBeLessThan(MEMORY_MB);
  return measured;
}

const keyOf = (i: number): string =>
  `in/2026/01/31/camera-${String(i % 17).padStart(3, "0")}/${String(i).padStart(8, "0")}.csv`;
const TICK = sqsBatch([JSON.stringify({ format: 1, tick: { kind: "plain" }, dueMs: 0 })]);
const state = (): ReturnType<typeof stateOf> => stateOf(cloud, "state/digits/");
const planItems = async (round: number): Promise<readonly Item[]> =>
  parseDocument("plan", planKey(round), (await state().get(planKey(round)))!.body).items;

it(
  "takes in a batch of 6 MB, lists 100,000 pending items, and trains again 100,000",
  { timeout: 900_000 },
  async () => {
    // what Lambda hands over at most, in bytes of JSON
    const bodies: string[] = [];
    for (let bytes = 0, i = 0; bytes < 6_000_000; i++) {
      const body = objectCreated(keyOf(i), {
        etag: sha256(String(i)).slice(0, 32),
        versionId: sha256(`v${i}`).slice(0, 32),
      });
      bodies.push(body);
      bytes += JSON.stringify(sqsBatch([body])).length;
    }
    await call(`intake, 6 MB: ${bodies.length} messages`, "intake", sqsBatch(bodies));
    for (let from = bodies.length; from < 100_000; from += 1_000) {
      const more = Array.from({ length: Math.min(1_000, 100_000 - from) }, (_, i) => from + i);
      const items = more.map((i) => objectCreated(keyOf(i), { etag: sha256(String(i)).slice(0, 32) }));
      await call("intake, 1,000 messages", "intake", sqsBatch(items));
    }

    for (const round of [1, 2]) {
      await call(`ledger, 100,000 items wait: round ${round} is planned and submitted`, "ledger", TICK);
      expect((await planItems(round)).length).toBeGreaterThan(45_000);
      await fakeTrain(state(), planKey(round), 1);
      const { jobName = "" } = batch.submitted.at(-1)!;
      await call(`ledger, round ${round} is committed`, "ledger", sqsBatch([jobChanged(jobName, "SUCCEEDED")]));
    }
    if ((await state().get(planKey(3))) !== undefined) {
      await fakeTrain(state(), planKey(3), 1);
      await call(
        "ledger, the rest is committed",
        "ledger",
        sqsBatch([jobChanged(batch.submitted.at(-1)!.jobName ?? "", "SUCCEEDED")]),
      );
    }
    const { head } = await (await import("../ledger/read.ts")).readHead(state());
    const full = JSON.stringify({ format: 1, schedule: new Date(Date.now() + 1_000).toISOString(), retrain: "full" });
    await call("ledger, all are to be trained again", "ledger", sqsBatch([full]));
    expect(await state().get(logKey(head.seq + 1))).toBeDefined();
    const redo = head.round + 2;
    // whole segments go into a plan, so the last ones may wait for their own round: none of them is missing
    const again = (await planItems(redo)).length;
    expect(again + (await waiting(state()))).toBe(100_000);
    expect(again).toBeGreaterThan(99_000);
    await fakeTrain(state(), planKey(redo), 1);
    const { jobName = "" } = batch.submitted.at(-1)!;
    await call("ledger, a plan of 100,000 items is committed", "ledger", sqsBatch([jobChanged(jobName, "SUCCEEDED")]));
    expect(await state().get(logKey(head.seq + 2))).toBeDefined();
  },
);

/** Items in the inbox. */
async function waiting(store: Store): Promise<number> {
  const { objects } = await store.list(INBOX);
  return objects.reduce((sum, { key }) => sum + parseSegmentKey(key)!.count, 0);
}

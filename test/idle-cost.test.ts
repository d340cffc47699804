/** docs/cost.md's table of what an idle pipeline costs, made anew from the template and from what its ticks and sweeps ask S3 for. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Telling } from "../functions/telling.ts";
import { bringOn } from "../functions/bring-on.ts";
import { CONFIGS } from "../infra/testing/configs.ts";
import { synthesise, type Resource } from "../infra/testing/synth.ts";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import type { Arrival, Items } from "../protocol/ports.ts";
import { SWEEP_PAGES_MAX } from "../protocol/sweep.ts";
import { byKind, type Kinds } from "./by-kind.ts";
import { fakeItem, fakePipeline } from "./fake-trainer.ts";
import { rememberingLog, sqsBatch } from "./function-events.ts";
import { itemsOf, memoryStore } from "./small-states.ts";

/** Dollars in us-east-1. */
const PRICE = {
  alarm: 0.1,
  ecr: 0.1,
  get: 0.4e-6,
  lambdaCall: 0.2e-6,
  lambdaGbSecond: 0.0000133334, // arm64
  list: 5e-6,
  schedule: 1e-6,
  sqs: 0.4e-6,
} as const;
const HOURS = 730;
const QUARTERS = HOURS * 4;
const DAYS = HOURS / 24;
/** of each three hours one, and that of the day's first lists all */
const SWEEPS = HOURS / 3;
/** Of Lambda's for each mapping, of 20 s each. */
const POLLS = 5 * 3 * 60 * HOURS;
/** docs/cost.md says what of it is measured. */
const TICK_SECONDS = 0.5;
const LEARNED = 10_000;
/** GB in ECR, compressed: as `docker save | gzip -6` has it, which is what a push sends. */
const IMAGE = { gpu: 2.64, cpu: 0.25 } as const;
/** objects a page of a LIST */
const PAGE = 1_000;

const folder = mkdtempSync(join(tmpdir(), "accrete-idle-"));
let resources: Resource[];
beforeAll(() => {
  resources = Object.values(synthesise(folder, CONFIGS.default).pipelines["digits"]!.Resources);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ofType = (type: string): Resource[] => resources.filter(({ Type }) => Type === type);

/** What a pipeline that has learned all that is there asks for, by a message of the sweep's schedule. */
async function asked(present: readonly Arrival[], at: string): Promise<Kinds> {
  const { store, kinds } = byKind(memoryStore());
  const { ledger } = fakePipeline(store);
  for (let i = 0; i < present.length; i += PAGE) await intake(ledger, present.slice(i, i + PAGE));
  await tick(ledger, { kind: "plain" });
  const before = { ...kinds };
  const pages = itemsOf(present, PAGE);
  const items: Items = { ...pages, list: (prefix, next) => (kinds.list++, pages.list(prefix, next)) };
  const log = rememberingLog();
  const telling = new Telling({ config: ledger.config, people: null, log });
  const message = JSON.stringify({ format: 1, sweep: true });
  expect(await bringOn({ ledger, items, telling, log }, sqsBatch([message], Date.parse(at)))).toEqual({
    batchItemFailures: [],
  });
  return { put: kinds.put - before.put, list: kinds.list - before.list, get: kinds.get - before.get };
}

const dollarsOf = ({ list, get, put }: Kinds): number => {
  expect(put).toBe(0);
  return list * PRICE.list + get * PRICE.get;
};

it("is what the template and the requests come to, under a dollar with 10,000 objects", async () => {
  const present = Array.from({ length: LEARNED }, (_, i) => fakeItem(`digits/${i}.idx`));
  const tickOnly = await asked(present, "2026-01-31T12:15:00Z");
  const withSweep = await asked(present, "2026-01-31T12:00:00Z");
  const sweep: Kinds = { put: 0, list: withSweep.list - tickOnly.list, get: withSweep.get - tickOnly.get };
  const schedules = ofType("AWS::Scheduler::Schedule");
  expect(schedules.map(({ Properties }) => Properties["ScheduleExpression"])).toEqual(["cron(0/15 * * * ? *)"]);
  const ledger = ofType("AWS::Lambda::Function").find(({ Properties }) =>
    JSON.stringify(Properties["FunctionName"]).includes("ledger"),
  );
  const gigabytes = Number(ledger?.Properties["MemorySize"]) / 1_024;
  const [mappings, alarms] = [
    ofType("AWS::Lambda::EventSourceMapping").length,
    ofType("AWS::CloudWatch::Alarm").length,
  ];

  const fixed = {
    "SQS: ": mappings * POLLS * PRICE.sqs,
    "CloudWatch: ": alarms * PRICE.alarm,
    "Lambda: ": QUARTERS * (gigabytes * TICK_SECONDS * PRICE.lambdaGbSecond + PRICE.lambdaCall),
    "EventBridge Scheduler": schedules.length * QUARTERS * PRICE.schedule,
    "S3: a tick": QUARTERS * dollarsOf(tickOnly),
  };
  // of more than ten pages a sweep lists ten, and takes in nothing; the day's first lists all
  const sweepOf = (objects: number): number => {
    const pages = Math.max(1, Math.ceil(objects / PAGE));
    const learned = objects === 0 ? 0 : sweep.get;
    const whole = (pages + 1) * PRICE.list + learned * PRICE.get;
    return DAYS * whole + (SWEEPS - DAYS) * (pages > SWEEP_PAGES_MAX ? SWEEP_PAGES_MAX * PRICE.list : whole);
  };
  expect(sweep).toEqual({ put: 0, list: LEARNED / PAGE + 1, get: 256 });

  const text = readFileSync(new URL("../docs/cost.md", import.meta.url), "utf8");
  const columns = [0, LEARNED, 1_000_000];
  const row = (start: string): string[] => {
    const line = text.split("\n").find((one) => one.startsWith(`| ${start}`)) ?? `no row: ${start}`;
    return line
      .replaceAll("*", "")
      .split("|")
      .slice(3, -1)
      .map((cell) => cell.trim());
  };
  for (const [start, dollars] of Object.entries(fixed))
    expect(row(start), start).toEqual(columns.map(() => dollars.toFixed(2)));
  expect(row("S3: a sweep")).toEqual(columns.map((objects) => sweepOf(objects).toFixed(2)));
  const sum = (objects: number): number => Object.values(fixed).reduce((a, b) => a + b, sweepOf(objects));
  expect(row("**sum**")).toEqual(columns.map((objects) => sum(objects).toFixed(2)));
  expect(sum(LEARNED)).toBeLessThan(1);
  // one for all pipelines, so beside the sum
  expect(row("ECR: the trainer's image")).toEqual(columns.map(() => (IMAGE.gpu * PRICE.ecr).toFixed(2)));
  expect(row("**with the image**")).toEqual(
    columns.map((objects) => (sum(objects) + IMAGE.gpu * PRICE.ecr).toFixed(2)),
  );
  expect(text).toContain(`for GPUs ${IMAGE.gpu} GB at $0.10`);
  expect(text).toContain(`for processors ${IMAGE.cpu} GB, which is ${(IMAGE.cpu * PRICE.ecr).toFixed(2)})`);
  const [, most] = /up to (\d+),000 objects it is less than a dollar/.exec(text) ?? [];
  expect(sum(Number(most) * 1_000)).toBeLessThan(1);
  // each number that the arithmetic has is the one that was counted
  expect(text).toContain(`${mappings} x 5 x 3 a minute`);
  expect(text).toContain(`| ${alarms} x $0.10`);
  expect(text).toContain(`${gigabytes} GB x ${TICK_SECONDS} s`);
  expect(text).toContain(`2,920 x (${tickOnly.list} LISTs at $5 a million + ${tickOnly.get} GETs`);
});

it("has nothing else that costs while nothing happens: what is new in the template has to be looked at", () => {
  const FREE = /^AWS::(IAM|Events|S3|SQS|Lambda|Batch|Logs|Scheduler)::/;
  const counted = new Set(["AWS::CloudWatch::Alarm"]);
  const types = new Set(resources.map(({ Type }) => Type));
  expect([...types].filter((type) => !FREE.test(type) && !counted.has(type))).toEqual([]);
});

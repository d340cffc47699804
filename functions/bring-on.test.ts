import { describe, expect, it } from "vitest";
import { countRequests } from "../adapters/counted-store.ts";
import { planKey } from "../protocol/keys.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Items, Notice, Notify, Store, Tick } from "../protocol/ports.ts";
import { tickMessage } from "../protocol/tick-message.ts";
import { intake } from "../ledger/intake.ts";
import { listInbox, readHead } from "../ledger/read.ts";
import { fakeItem, fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { jobChanged, rememberingLog, sqsBatch, type RememberingLog } from "../test/function-events.ts";
import { itemsOf, memoryStore, storeWith } from "../test/small-states.ts";
import { bringOn, type LedgerPorts } from "./bring-on.ts";
import { Telling } from "./telling.ts";

interface Opened {
  readonly ports: LedgerPorts;
  readonly fake: FakePipeline;
  readonly log: RememberingLog;
  readonly asked: { tick: Tick; delayMs: number }[];
  readonly told: Notice[];
  readonly nowMs: number;
}

function open(
  store: Store,
  options: { config?: Parameters<typeof fakePipeline>[1]; items?: Items; people?: Notify } = {},
): Opened {
  const fake = fakePipeline(store, options.config);
  const asked: Opened["asked"] = [];
  const told: Notice[] = [];
  const log = rememberingLog();
  const ledger = {
    ...fake.ledger,
    ticks: { ask: async (tick: Tick, delayMs: number) => void asked.push({ tick, delayMs }) },
  };
  const people = options.people ?? { notify: async (notice: Notice) => void told.push(notice) };
  const ports: LedgerPorts = {
    ledger,
    items: options.items ?? itemsOf([]),
    telling: new Telling({ config: ledger.config, people, log }),
    log,
  };
  return { ports, fake, log, asked, told, nowMs: fake.ledger.clock.nowMs() };
}

const SWEEP = JSON.stringify({ format: 1, sweep: true });
const NOON = Date.parse("2026-01-31T12:00:00Z");
const QUARTER_PAST = Date.parse("2026-01-31T12:15:00Z");
const MIDNIGHT = Date.parse("2026-02-01T00:03:00Z");
const plain = tickMessage({ kind: "plain" }, 0);
const failedOf = ({ batchItemFailures }: Awaited<ReturnType<typeof bringOn>>): string[] =>
  batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
const ticksOf = (log: RememberingLog): unknown[] =>
  log.said.filter(({ event }) => event === "tick").map(({ fields }) => fields["why"]);
const metric = (log: RememberingLog, name: keyof RememberingLog["measured"][number]): unknown[] =>
  log.measured.flatMap((values) => (values[name] === undefined ? [] : [values[name]]));

describe("a batch of messages", () => {
  it("trains and commits a round by one tick for all, and measures it", async () => {
    const store = memoryStore();
    const { ports, fake, log, told } = open(store, {
      config: { budget: { perDay: null, perMonth: 20, pricePerHour: 0.5 } },
    });
    fake.training = { reject: ["b.csv"], metrics: { accuracy: 0.9, "run.examplesPerSecond": 512 } };
    const { segments } = await intake(ports.ledger, [fakeItem("a.csv"), fakeItem("b.csv")]);
    const segment = tickMessage({ kind: "segment", segment: segments[0]! }, 0);
    expect(failedOf(await bringOn(ports, sqsBatch([segment, segment, tickMessage({ kind: "net" }, 0)])))).toEqual([]);
    expect((await readHead(store)).head.round).toBe(1);
    expect(ticksOf(log)).toEqual(["segment"]);
    expect(log.measured).toEqual([{ rounds: 1, seconds: 0, rejected: 1, examplesPerSecond: 512, cost: 0 }]);
    expect(told.map(({ kind }) => kind)).toEqual(["committed"]);
    expect(log.said.map(({ event }) => event)).toEqual(expect.arrayContaining(["planned", "submitted", "committed"]));
    const planned = log.said.find(({ event }) => event === "planned");
    expect(planned?.fields).toMatchObject({ round: 1 });
  });

  it("says how much waits and how long, and nothing of an empty inbox", async () => {
    const store = memoryStore();
    const { ports, log } = open(store, { config: { trigger: { quietPeriod: 3_600_000 } } });
    await bringOn(ports, sqsBatch([plain]));
    expect(log.measured).toEqual([]);
    await intake(ports.ledger, [fakeItem("a.csv"), fakeItem("b.csv")]);
    await bringOn(ports, sqsBatch([plain]));
    expect(log.measured).toEqual([{ pendingItems: 2, oldestPendingSeconds: expect.closeTo(0.05, 1) }]);
  });

  it("asks again for what came too early, with what is left of the delay, and makes no tick for it", async () => {
    const counted = countRequests(memoryStore());
    const { ports, asked, nowMs } = open(counted.store);
    const retry: Tick = { kind: "retry", seq: 1, round: 2, attempt: 5 };
    const response = await bringOn(ports, sqsBatch([tickMessage(retry, nowMs + 5_000_000)]));
    expect(failedOf(response)).toEqual([]);
    expect(asked).toEqual([{ tick: retry, delayMs: 5_000_000 }]);
    expect(counted.requests()).toEqual({ writes: 0, reads: 0 });
  });

  it("brings a message that could not be asked for again back, and no others", async () => {
    const { ports, nowMs } = open(memoryStore());
    const ask = async (): Promise<void> => {
      throw new Error("no queue");
    };
    const broken = { ...ports, ledger: { ...ports.ledger, ticks: { ask } } };
    const early = tickMessage({ kind: "plain" }, nowMs + 5_000_000);
    expect(failedOf(await bringOn(broken, sqsBatch([plain, early])))).toEqual(["m1"]);
  });

  it.each([
    ["malformed JSON", "{"],
    ["a shape of nobody's", '{"format":1}'],
    ["a tick of no kind", '{"format":1,"tick":{"kind":"jump"},"dueMs":0}'],
    ["a tick of another format", plain.replace('"format":1', '"format":2')],
    ["a schedule without a time", '{"format":1,"schedule":"<aws.scheduler.scheduled-time>","retrain":"full"}'],
    ["a job's event without its job", jobChanged("x", "FAILED").replace("jobName", "name")],
  ])("brings what can't be understood to the dead letters, and nothing else: %s", async (_what, body) => {
    const { ports, log } = open(memoryStore());
    expect(failedOf(await bringOn(ports, sqsBatch([plain, body])))).toEqual(["m1"]);
    expect(ticksOf(log)).toEqual(["plain"]);
  });

  it("comes again where its tick was cut off, with all that asked for it", async () => {
    const store = storeWith(memoryStore(), {
      list: async () => {
        throw new Error("SlowDown");
      },
    });
    const { ports, log } = open(store);
    expect(failedOf(await bringOn(ports, sqsBatch([plain, plain, jobChanged("a-job", "RUNNING")])))).toEqual([
      "m0",
      "m1",
    ]);
    expect(log.said).toContainEqual(expect.objectContaining({ level: "error", event: "tick-failed" }));
  });
});

describe("the end of a job", () => {
  it("is a tick, and its failure is counted; what it does before its end is nothing", async () => {
    const { ports, log } = open(memoryStore());
    const name = `digits-12-3-${"0".repeat(32)}`;
    const changes = ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING"].map((status) => jobChanged(name, status));
    await bringOn(ports, sqsBatch(changes));
    expect(ticksOf(log)).toEqual([]);
    await bringOn(ports, sqsBatch([jobChanged(name, "FAILED", { statusReason: "Host EC2 (i) terminated." })]));
    expect(ticksOf(log)).toEqual(["plain"]);
    expect(log.said.find(({ event }) => event === "job-ended")?.fields).toMatchObject({
      round: 12,
      attempt: 3,
      failed: true,
      reason: "Host EC2 (i) terminated.",
    });
    expect(metric(log, "failedAttempts")).toEqual([1]);
    await bringOn(ports, sqsBatch([jobChanged(name, "SUCCEEDED")]));
    expect(metric(log, "failedAttempts")).toEqual([1]);
  });

  it("that could not begin is counted, and the tick comes again", async () => {
    const { ports, log } = open(memoryStore());
    const submit = async (): Promise<never> => {
      throw new AccreteError("JOB_REFUSED", "AWS Batch does not take job a");
    };
    const refusing = { ...ports, ledger: { ...ports.ledger, jobs: { ...ports.ledger.jobs, submit } } };
    await intake(ports.ledger, [fakeItem("a.csv")]);
    expect(failedOf(await bringOn(refusing, sqsBatch([plain])))).toEqual(["m0"]);
    expect(metric(log, "failedAttempts")).toEqual([1]);
  });
});

it("acts on a schedule once, however often its message comes, and asks again while a round is open", async () => {
  const store = memoryStore();
  const { ports, fake, asked, log } = open(store, { config: { trigger: { minItems: 5 } } });
  const schedule = JSON.stringify({ format: 1, schedule: "2026-01-31T03:00:00Z", retrain: "pending" });
  await intake(ports.ledger, [fakeItem("a.csv")]);
  fake.training = null;
  asked.length = 0;
  await bringOn(ports, sqsBatch([schedule]));
  expect(ticksOf(log)).toEqual(["schedule"]);
  expect(await store.get(planKey(1))).toBeDefined();
  expect(asked.map(({ tick }) => tick)).toEqual([
    { kind: "schedule", timeMs: Date.parse("2026-01-31T03:00:00Z"), retrain: "pending" },
  ]);
});

describe("the sweep", () => {
  const present = Array.from({ length: 12 }, (_, i) => fakeItem(`${String(i).padStart(2, "0")}.csv`));

  it("takes in what no news told of, after a tick of the net", async () => {
    const store = memoryStore();
    const { ports, log } = open(store, { items: itemsOf(present.slice(0, 3)) });
    expect(failedOf(await bringOn(ports, sqsBatch([SWEEP], NOON)))).toEqual([]);
    expect(ticksOf(log)).toEqual(["net"]);
    expect((await listInbox(store)).segments.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  });

  /** @param pageSize of twelve objects that no news told of, one of which was committed */
  async function swept(body: string, sentMs: number, pageSize: number): Promise<unknown> {
    const store = memoryStore();
    const first = open(store);
    await intake(first.ports.ledger, [present[0]!]);
    await bringOn(first.ports, sqsBatch([plain]));
    const { ports, log } = open(store, { items: itemsOf(present, pageSize) });
    await bringOn(ports, sqsBatch([body], sentMs));
    expect(ticksOf(log)).toEqual(["net"]);
    return log.said.find(({ event }) => event === "swept")?.fields;
  }
  const WHOLE = JSON.stringify({ format: 1, sweep: true, whole: true });

  it.each([
    ["every three hours", SWEEP, NOON, 0],
    ["once a day", SWEEP, MIDNIGHT, 11],
    ["after a deploy", WHOLE, QUARTER_PAST, 11],
  ])("of more than ten pages takes in, %s", async (_when, body, sentMs, expected) => {
    expect(await swept(body, sentMs, 1)).toMatchObject({ accepted: expected, tooMany: expected === 0 });
  });

  it("of ten pages takes in all every three hours, and lists nothing in between", async () => {
    expect(await swept(SWEEP, NOON, 2)).toMatchObject({ pages: 6, accepted: 11 });
    expect(await swept(SWEEP, QUARTER_PAST, 2)).toBeUndefined();
  });

  it("comes again alone, if the data can't be listed", async () => {
    const list = async (): Promise<never> => {
      throw new Error("403");
    };
    const { ports } = open(memoryStore(), { items: { ...itemsOf([]), list } });
    expect(failedOf(await bringOn(ports, sqsBatch([plain, SWEEP])))).toEqual(["m1"]);
  });
});

it("gives up the checkpoints that nothing keeps any more, once a round is committed", async () => {
  const store = memoryStore();
  const { ports, fake } = open(store, { config: { keep: { rounds: 1, history: 0, best: false } } });
  fake.training = { withLeftovers: true };
  for (const key of ["a.csv", "b.csv", "c.csv"]) {
    await intake(ports.ledger, [fakeItem(key)]);
    await bringOn(ports, sqsBatch([plain]));
  }
  expect((await readHead(store)).head.round).toBe(3);
  // what a killed run left, and what was saved within a round
  const folders = [...store.objects.keys()].filter((key) => key.includes("/checkpoints/"));
  expect(folders.filter((key) => !key.includes("-last/"))).toEqual([]);
  expect(folders.length).toBeGreaterThan(0);
});

describe("people", () => {
  it("are not told on each tick that a round is blocked: an alarm on the metric is", async () => {
    const store = memoryStore();
    const { ports, fake, log, told } = open(store, { config: { jobs: { attempts: 1 } } });
    fake.training = null;
    fake.ends = "failed";
    await intake(ports.ledger, [fakeItem("a.csv")]);
    for (let i = 0; i < 3; i++) await bringOn(ports, sqsBatch([plain]));
    expect(metric(log, "blocked")).toEqual([1, 1, 1]);
    expect(log.said.filter(({ event }) => event === "blocked")[0]).toMatchObject({
      level: "warn",
      fields: { round: 1 },
    });
    expect(told).toEqual([]);
  });

  it("are told again of what was committed, if they could not be: the head is not finished before", async () => {
    const store = memoryStore();
    const told: string[] = [];
    let reachable = false;
    const people: Notify = {
      notify: async ({ kind }) => {
        if (!reachable) throw new Error("SNS can't be reached");
        told.push(kind);
      },
    };
    const { ports, fake } = open(store, { people });
    fake.ledger.config.notify.on.push("planned", "submitted");
    await intake(ports.ledger, [fakeItem("a.csv")]);
    // planned and submitted are told by their own tick alone, and must not stop it between a job and its record
    expect(failedOf(await bringOn(ports, sqsBatch([plain])))).toEqual(["m0"]);
    expect((await readHead(store)).head.round).toBe(1);
    reachable = true;
    expect(failedOf(await bringOn(ports, sqsBatch([plain])))).toEqual([]);
    expect(told).toEqual(["committed"]);
  });

  it("are told once that the budget is used up, and not by the net's ticks", async () => {
    const { ports, log, told } = open(memoryStore());
    const notice: Notice = { kind: "budget", pipeline: "fake", round: 3, untilMs: 5, message: "waits" };
    const seen: Notice[] = [];
    await ports.telling.of({ kind: "net" }, seen).notify(notice);
    expect(told).toEqual([]);
    for (let i = 0; i < 3; i++) await ports.telling.of({ kind: "plain" }, seen).notify(notice);
    await ports.telling.of({ kind: "plain" }, seen).notify({ ...notice, untilMs: 6 });
    expect(told.map((one) => "untilMs" in one && one.untilMs)).toEqual([5, 6]);
    expect(log.said.filter(({ event }) => event === "budget")).toHaveLength(5);
  });
});

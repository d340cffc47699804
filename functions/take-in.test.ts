import { describe, expect, it } from "vitest";
import { countRequests } from "../adapters/counted-store.ts";
import { itemId } from "../protocol/digest.ts";
import { INBOX } from "../protocol/keys.ts";
import type { Store, Tick } from "../protocol/ports.ts";
import { parseDocument, type Item } from "../protocol/types.ts";
import { inboxPages, readSegments } from "../ledger/read.ts";
import { fakePipeline } from "../test/fake-trainer.ts";
import { notified, objectCreated, rememberingLog, sqsBatch, type RememberingLog } from "../test/function-events.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { takeIn, type IntakePorts } from "./take-in.ts";

interface Opened {
  readonly ports: IntakePorts;
  readonly log: RememberingLog;
  readonly ticks: Tick[];
}

function open(store: Store): Opened {
  const { ledger } = fakePipeline(store);
  const ticks: Tick[] = [];
  const log = rememberingLog();
  const ports = {
    ledger: { ...ledger, ticks: { ask: async (tick: Tick) => void ticks.push(tick) } },
    bucket: "data",
    log,
  };
  return { ports, log, ticks };
}

async function inbox(store: Store): Promise<Item[]> {
  const items: Item[] = [];
  for await (const page of inboxPages(store))
    for (const segment of (await readSegments(store, page)).whole) items.push(...segment.items);
  return items;
}
const failedOf = ({ batchItemFailures }: Awaited<ReturnType<typeof takeIn>>): string[] =>
  batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);

describe("10,000 events with duplicates and junk", () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `in/2026/file ${i}+ü%20.csv`);
  const junk = [
    "not json",
    JSON.stringify({ Service: "Amazon S3", Event: "s3:TestEvent", Bucket: "data" }),
    objectCreated("in/other.csv", { bucket: "another" }),
    objectCreated("in/folder/"),
    objectCreated("in/empty.csv", { size: 0 }),
  ];

  it.each([250, 3_000])("become these items, in batches of %i", async (size) => {
    const counted = countRequests(memoryStore());
    const { ports, log, ticks } = open(counted.store);
    // each tenth comes twice, and not in its order
    const bodies = [...keys, ...keys.filter((_, i) => i % 10 === 0)].map((key) => objectCreated(key));
    for (let i = 0; i < 40; i++) bodies.splice((i * 997) % bodies.length, 0, ...junk);
    let unreadable = 0;
    for (let from = 0; from < bodies.length; from += size)
      unreadable += failedOf(await takeIn(ports, sqsBatch(bodies.slice(from, from + size)))).length;
    const items = await inbox(counted.store);
    expect(new Set(items.map(itemId)).size).toBe(10_000);
    expect(new Set(items.map(({ key }) => key))).toEqual(new Set(keys));
    expect(unreadable).toBe(40);
    expect(counted.requests().writes).toBeLessThanOrEqual(0.05 * keys.length);
    expect(ticks).toHaveLength(counted.requests().writes);
    expect(log.said.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("keys", () => {
  const KEYS = [
    "a b.csv",
    "a+b.csv",
    "a%20b.csv",
    "100%.csv",
    "%2e%2e/x.csv",
    "ü/日本/😀.csv",
    "../../etc/passwd",
    "a//b.csv",
    "/leading.csv",
    "tab\tand\u0001.csv",
    'quote"and\\.csv',
    "x".repeat(1_024),
  ];
  it.each(KEYS)("%j is one and the same item by EventBridge and by S3's own notification", async (key) => {
    const store = memoryStore();
    const { ports } = open(store);
    const response = await takeIn(ports, sqsBatch([objectCreated(key), notified(key)]));
    expect(failedOf(response)).toEqual([]);
    const items = await inbox(store);
    // of two requesters, but the same segment: its name is its content's
    expect(items.map((item) => item.key)).toEqual([key]);
  });
});

describe("what can't be understood", () => {
  const strange = (change: (event: { detail: { object: Record<string, unknown> } }) => void): string => {
    const event = JSON.parse(objectCreated("a.csv"));
    change(event);
    return JSON.stringify(event);
  };
  it.each([
    ["malformed JSON", "{"],
    ["nothing", ""],
    ["a number", "7"],
    ["null", "null"],
    ["a list", "[]"],
    ["a shape of nobody's", '{"hello":"world"}'],
    ["an event without a key", strange(({ detail }) => delete detail.object["key"])],
    ["an empty key", strange(({ detail }) => (detail.object["key"] = ""))],
    ["half a character in a key", strange(({ detail }) => (detail.object["key"] = "\ud800"))],
    ["a size that is none", strange(({ detail }) => (detail.object["size"] = "10"))],
    ["no etag", strange(({ detail }) => delete detail.object["etag"])],
    ["a notification's key that is not encoded", notified("a.csv").replace("a.csv", "100%.csv")],
    ["a notification of nobody's", '{"Records":[{"eventSource":"aws:sns"}]}'],
  ])("comes again until it is among the dead letters, and nothing else with it: %s", async (_what, body) => {
    const store = memoryStore();
    const { ports, log } = open(store);
    const response = await takeIn(ports, sqsBatch([objectCreated("a.csv"), body, objectCreated("b.csv")]));
    expect(failedOf(response)).toEqual(["m1"]);
    expect((await inbox(store)).map(({ key }) => key)).toEqual(["a.csv", "b.csv"]);
    expect(log.said).toContainEqual(expect.objectContaining({ level: "warn", event: "news-unreadable" }));
  });

  it("fails a notification of which a part is unreadable, with the rest taken in", async () => {
    const store = memoryStore();
    const { ports } = open(store);
    const body = JSON.parse(notified("a.csv"));
    body.Records.push({ eventSource: "aws:s3", eventName: "ObjectCreated:Put" });
    expect(failedOf(await takeIn(ports, sqsBatch([JSON.stringify(body)])))).toEqual(["m0"]);
    expect((await inbox(store)).map(({ key }) => key)).toEqual(["a.csv"]);
  });

  it("throws where Lambda is given what is no batch: all of it comes again", async () => {
    await expect(takeIn(open(memoryStore()).ports, { hello: "world" })).rejects.toThrow("Records");
  });
});

describe("what is understood, and is no news", () => {
  it.each([
    ["a test event", JSON.stringify({ Service: "Amazon S3", Event: "s3:TestEvent" }), "no news: s3:TestEvent"],
    ["another bucket", objectCreated("a.csv", { bucket: "other" }), "other-bucket"],
    [
      "a deletion",
      objectCreated("a.csv").replace("Object Created", "Object Deleted"),
      "no news: aws.s3 Object Deleted",
    ],
    [
      "a notification of a deletion",
      notified("a.csv").replace("ObjectCreated:Put", "ObjectRemoved:Delete"),
      "no news: ObjectRemoved:Delete",
    ],
    [
      "another service's event",
      objectCreated("a.csv").replace('"aws.s3"', '"aws.ec2"'),
      "no news: aws.ec2 Object Created",
    ],
    ["a folder's marker", objectCreated("in/"), "folder-marker"],
    ["a key that no object can have", objectCreated("x".repeat(1_025)), "not-an-item"],
    ["a notification of nothing", '{"Records":[]}', undefined],
  ])("is dropped and said: %s", async (_what, body, why) => {
    const store = memoryStore();
    const { ports, log, ticks } = open(store);
    expect(failedOf(await takeIn(ports, sqsBatch([body])))).toEqual([]);
    expect(await inbox(store)).toEqual([]);
    expect(ticks).toEqual([]);
    const [delivery] = log.said.filter(({ event }) => event === "delivery");
    expect(delivery?.fields["dropped"]).toEqual(why === undefined ? {} : { [why]: 1 });
  });
});

describe("what fails", () => {
  it("brings the messages of that group again, and no others", async () => {
    const store = memoryStore();
    let writes = 0;
    const failing = storeWith(store, {
      create: async (key, body) => {
        if (++writes === 2) throw new Error("403");
        return store.create(key, body);
      },
    });
    const { ports, log } = open(failing);
    const bodies = Array.from({ length: 2_500 }, (_, i) => objectCreated(`${i}.csv`));
    const failed = failedOf(await takeIn(ports, sqsBatch(bodies)));
    expect(failed).toEqual(Array.from({ length: 1_000 }, (_, i) => `m${i + 1_000}`));
    expect(await inbox(store)).toHaveLength(1_500);
    expect(log.said).toContainEqual(expect.objectContaining({ level: "error", event: "not-taken-in" }));
    // and when they come again
    await takeIn(ports, sqsBatch(bodies.slice(1_000, 2_000)));
    expect(new Set((await inbox(store)).map(itemId)).size).toBe(2_500);
  });

  it("fails if no tick could be asked for: what is written is written again, as the same", async () => {
    const store = memoryStore();
    const { ports } = open(store);
    const ask = async (): Promise<void> => {
      throw new Error("no queue");
    };
    const broken = { ...ports, ledger: { ...ports.ledger, ticks: { ask } } };
    expect(failedOf(await takeIn(broken, sqsBatch([objectCreated("a.csv")])))).toEqual(["m0"]);
    expect(failedOf(await takeIn(ports, sqsBatch([objectCreated("a.csv")])))).toEqual([]);
    expect((await inbox(store)).map(({ key }) => key)).toEqual(["a.csv"]);
  });
});

describe("who put it there", () => {
  it("is said of each segment, which has items of one requester", async () => {
    const store = memoryStore();
    const { ports, log } = open(store);
    const requesters = ["111111111111", "222222222222"];
    const bodies = Array.from({ length: 6 }, (_, i) => objectCreated(`${i}.csv`, { requester: requesters[i % 2]! }));
    await takeIn(ports, sqsBatch(bodies));
    const said = log.said.filter(({ event }) => event === "taken-in");
    expect(said.map(({ fields }) => fields["requester"]).sort()).toEqual(requesters);
    for (const { fields } of said) {
      const [segment] = Array.isArray(fields["segments"]) ? fields["segments"] : [];
      const body = (await store.get(String(segment)))!.body;
      const expected = requesters.indexOf(String(fields["requester"]));
      for (const { key } of parseDocument("segment", INBOX, body).items)
        expect(Number.parseInt(key) % 2).toBe(expected);
    }
  });

  it("does not make a segment for each of many strangers", async () => {
    const counted = countRequests(memoryStore());
    const { ports } = open(counted.store);
    const bodies = Array.from({ length: 1_000 }, (_, i) => objectCreated(`${i}.csv`, { requester: `stranger ${i}` }));
    await takeIn(ports, sqsBatch(bodies));
    expect(counted.requests().writes).toBe(17);
    expect(await inbox(counted.store)).toHaveLength(1_000);
  });
});

it("keeps a version, but not the null one, and takes the time of the event as the object's", async () => {
  const store = memoryStore();
  const { ports } = open(store);
  const data = { ...ports.ledger.config.data, since: Date.parse("2026-01-31T08:00:00Z") };
  const since = { ...ports, ledger: { ...ports.ledger, config: { ...ports.ledger.config, data } } };
  await takeIn(
    since,
    sqsBatch([
      objectCreated("a.csv", { versionId: "v1", etag: '"quoted"' }),
      objectCreated("b.csv", { versionId: "null" }),
      objectCreated("old.csv", { time: "2026-01-31T07:59:59Z" }),
    ]),
  );
  expect(await inbox(store)).toEqual([
    { bucket: "data", key: "a.csv", etag: "quoted", size: 10, versionId: "v1" },
    { bucket: "data", key: "b.csv", etag: "9a0364b9e99bb480dd25e1f0284c8555", size: 10 },
  ]);
});

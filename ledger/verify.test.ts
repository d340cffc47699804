import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { canonicalJson, itemId, sha256 } from "../protocol/digest.ts";
import {
  codeKey,
  consumedKey,
  jobRecordKey,
  intentKey,
  LIVE,
  logKey,
  planKey,
  resultKey,
  startKey,
} from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes, type DocumentKind, type DocumentOf } from "../protocol/types.ts";
import { A, A2, fakeHistory, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { listAll } from "./inspect.ts";
import { readDocument } from "./read.ts";
import type { Finding } from "./verify-context.ts";
import { verify } from "./verify.ts";

async function findings(store: Store): Promise<Finding[]> {
  const found: Finding[] = [];
  await verify(store, {
    digestOf: async (key) => {
      const stored = await store.get(key);
      return stored === undefined ? undefined : sha256(stored.body);
    },
    onFinding: (finding) => found.push(finding),
  });
  return found;
}
const damaged = async (store: Store): Promise<string[]> => [
  ...new Set((await findings(store)).flatMap(({ severity, key }) => (severity === "damage" ? [key] : []))),
];
const isOfUnfinished = (key: string): boolean => key.includes("-killed/");

const memory = (): ReturnType<typeof openMemoryStore> => {
  let now = 1_700_000_000_000;
  return openMemoryStore({ nowMs: () => (now += 5) });
};

/** Puts other bytes in an object's place, as a damaged disk would. */
async function overwrite(store: Store, key: string, change: (body: Uint8Array) => Uint8Array): Promise<void> {
  const stored = (await store.get(key))!;
  await store.replace(key, change(stored.body.slice()), stored.etag);
}
async function remove(store: Store, key: string): Promise<void> {
  expect(await store.head(key), key).toBeDefined();
  await store.delete(key);
}

describe("verify", () => {
  it("finds nothing wrong in a history with rollback, promote, rejected items, an open round and an inbox", async () => {
    const store = memory();
    await fakeHistory(store);
    const found = await findings(store);
    expect(found.filter(({ severity }) => severity !== "info")).toEqual([]);
    // trainers that were killed while they saved
    expect(found.map(({ key }) => key)).toEqual([
      expect.stringMatching(/^rounds\/0000000001.*-killed\/$/),
      expect.stringMatching(/^rounds\/0000000002.*-killed\/$/),
    ]);
  });

  it("counts what it has looked at", async () => {
    const store = memory();
    await fakeHistory(store);
    const seen: string[] = [];
    const verified = await verify(store, {
      digestOf: async (key) => sha256((await store.get(key))!.body),
      onFinding: () => undefined,
      onProgress: ({ key }) => seen.push(key),
    });
    const { objects } = await listAll(store, "");
    expect(seen).toEqual(objects.map(({ key }) => key));
    expect(verified).toEqual({
      files: objects.length,
      bytes: objects.reduce((sum, { size }) => sum + size, 0),
      entries: 5,
      damaged: 0,
      warnings: 0,
    });
  });

  it("is content with a pipeline that has nothing yet", async () => {
    expect(await findings(memory())).toEqual([]);
  });

  it("names the file, and no other, wherever a bit was flipped", async () => {
    const store = memory();
    await fakeHistory(store);
    const keys = (await listAll(store, "")).objects.map(({ key }) => key).filter((key) => !isOfUnfinished(key));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), fc.nat(), fc.integer({ min: 0, max: 7 }), async (key, at, bit) => {
        const whole = (await store.get(key))!.body.slice();
        await overwrite(store, key, (body) => {
          body[at % body.length]! ^= 1 << bit;
          return body;
        });
        expect(await damaged(store)).toEqual([key]);
        await overwrite(store, key, () => whole);
      }),
      { numRuns: 400 },
    );
  });
});

describe("verify on a directory", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "accrete-verify-test-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("names each file in turn whose bytes were flipped on disk", async () => {
    const store = openDirectoryStore(folder);
    await fakeHistory(store);
    const { objects } = await listAll(store, "");
    const kinds = new Set(objects.map(({ key }) => key.split("/")[0]));
    expect([...kinds]).toEqual(["code", "consumed", "inbox", "live.json", "log", "quarantine", "rounds", "start"]);
    for (const { key } of objects) {
      const path = join(folder, key);
      const whole = await readFile(path);
      const flipped = Buffer.from(whole);
      flipped[Math.floor(flipped.length / 2)]! ^= 0x20;
      await writeFile(path, flipped);
      // without a manifest nobody can know what the bytes were
      expect(await damaged(store)).toEqual(isOfUnfinished(key) ? [] : [key]);
      await writeFile(path, whole);
    }
    expect(await damaged(store)).toEqual([]);
  });
});

describe("verify names what is missing", () => {
  const manifestOfRound = async (store: Store, round: number): Promise<string> =>
    (await readDocument(store, "result", resultKey(round)))!.document.checkpoint.manifest;
  it.each<[string, (store: Store) => Promise<string>]>([
    ["an entry", async () => logKey(3)],
    ["the first entry", async () => logKey(1)],
    ["a plan", async () => planKey(1)],
    ["a result", async () => resultKey(2)],
    [
      "the code that a plan names",
      async (store) => codeKey((await readDocument(store, "plan", planKey(1)))!.document.code),
    ],
    [
      "the weights of a warm start that a plan names",
      async (store) => startKey((await readDocument(store, "plan", planKey(1)))!.document.start!),
    ],
    ["a kept checkpoint's manifest", (store) => manifestOfRound(store, 4)],
    [
      "a checkpoint's file",
      async (store) => (await manifestOfRound(store, 1)).replace("MANIFEST.json", "weights.safetensors"),
    ],
    ["a shard of consumed/", async () => consumedKey(itemId(A))],
    ["live.json", async () => LIVE],
    ["the intent of a job", async () => intentKey(5, 1)],
  ])("%s", async (_what, keyOf) => {
    const store = memory();
    await fakeHistory(store);
    const key = await keyOf(store);
    await remove(store, key);
    expect(await damaged(store)).toEqual([key]);
  });

  it("a quarantined item's copy, as a warning: the result has it as well", async () => {
    const store = memory();
    await fakeHistory(store);
    const [copy] = (await listAll(store, "quarantine/")).objects;
    await remove(store, copy!.key);
    expect((await findings(store)).filter(({ severity }) => severity !== "info")).toEqual([
      { severity: "warning", key: copy!.key, message: expect.stringContaining("bad.csv") },
    ]);
  });
});

describe("verify names what is whole in itself but in the wrong place", () => {
  const firstBelow =
    (prefix: string) =>
    async (store: Store): Promise<string> =>
      (await store.list(prefix)).objects[0]!.key;
  const cases: [
    what: string,
    key: string | ((store: Store) => Promise<string>),
    why: RegExp,
    damage: (store: Store, key: string) => Promise<void>,
  ][] = [
    [
      "an entry of another place",
      logKey(4),
      /it is entry 2, not 4/,
      (store, key) => overwrite(store, key, () => bytesOf(store, logKey(2))),
    ],
    [
      "an entry that says more of the time of jobs than it adds to the one before",
      logKey(5),
      /sums of the time of jobs do not follow from entry 4/,
      (store, key) =>
        reseal(store, "logEntry", key, (entry) => ({
          ...entry,
          spent: { ...entry.spent, dayMs: entry.spent.dayMs + 1_000_000_000 },
        })),
    ],
    [
      "a plan of another round",
      planKey(1),
      /it is the plan of round 2/,
      (store, key) => overwrite(store, key, () => bytesOf(store, planKey(2))),
    ],
    [
      "another plan than the entry names",
      planKey(1),
      /not the plan that entry 1 names/,
      (store, key) => reseal(store, "plan", key, (plan) => ({ ...plan, epochsToAdd: 9 })),
    ],
    [
      "another result than the entry names",
      resultKey(1),
      /not the result that entry 1 names/,
      (store, key) => reseal(store, "result", key, (result) => ({ ...result, attempt: "2.1" })),
    ],
    [
      "a result of another round",
      resultKey(1),
      /it is the result of round 4/,
      (store, key) => overwrite(store, key, () => bytesOf(store, resultKey(4))),
    ],
    [
      "an intent of another round",
      intentKey(1, 1),
      /it is of round 2, attempt 1/,
      (store, key) => overwrite(store, key, () => bytesOf(store, intentKey(2, 1))),
    ],
    [
      "a live.json from before",
      LIVE,
      /entry 3 is finished, but the newest is 5/,
      (store, key) => reseal(store, "live", key, (live) => ({ ...live, seq: 3 })),
    ],
    [
      "a live.json that names another checkpoint",
      LIVE,
      /another checkpoint than entry 5/,
      (store, key) => reseal(store, "live", key, (live) => ({ ...live, live: null })),
    ],
    [
      "a segment of other items",
      firstBelow("inbox/"),
      /not those that its name says/,
      (store, key) =>
        reseal(store, "segment", key, (segment) => ({
          ...segment,
          items: segment.items.map((item) => ({ ...item, etag: "other" })),
        })),
    ],
    [
      "a quarantined item under another's id",
      firstBelow("quarantine/"),
      /another one than its name says/,
      (store, key) => reseal(store, "quarantined", key, (one) => ({ ...one, rejected: { ...one.rejected, item: A } })),
    ],
    [
      "an item that no entry consumes",
      consumedKey(itemId(A2)),
      /1 items are in it that no entry consumes/,
      (store, key) =>
        reseal(store, "consumed", key, ({ ids }) => ({ format: 1, ids: [...ids, idOfShard(key.slice(-2))].sort() })),
    ],
    [
      "another spelling of the same value",
      jobRecordKey(5, 1),
      /not in the form in which it is written/,
      (store, key) => overwrite(store, key, (body) => Buffer.concat([body, Buffer.from("\n")])),
    ],
  ];
  /** As somebody would who knows how a document is sealed. */
  async function reseal<K extends DocumentKind>(
    store: Store,
    kind: K,
    key: string,
    change: (document: DocumentOf<K>) => DocumentOf<K>,
  ): Promise<void> {
    const { document } = (await readDocument(store, kind, key))!;
    await overwrite(store, key, () => documentBytes(kind, key, change(document)));
  }
  const bytesOf = (store: Store, key: string): Uint8Array =>
    (store as ReturnType<typeof openMemoryStore>).objects.get(key)!.body;
  const idOfShard = (shard: string): string => {
    for (let i = 0; ; i++)
      if (consumedKey(itemId(fakeItem(`stranger ${i}`))).endsWith(shard)) return itemId(fakeItem(`stranger ${i}`));
  };

  it.each(cases)("%s", async (_what, key, why, damage) => {
    const store = memory();
    await fakeHistory(store);
    const at = typeof key === "string" ? key : await key(store);
    await damage(store, at);
    expect(await findings(store)).toContainEqual({ severity: "damage", key: at, message: expect.stringMatching(why) });
  });
});

describe("verify names what does not fit together", () => {
  it("files that belong to nothing, as a warning", async () => {
    const store = memory();
    await fakeHistory(store);
    const strays = [
      "notes.txt",
      "inbox/today.json",
      "rounds/0000000001/checkpoints/old/weights",
      "rounds/0000000001/plan.json.bak",
      "log/backup.json",
    ];
    for (const key of strays) await store.create(key, new TextEncoder().encode("mine"));
    const { checkpoint } = (await readDocument(store, "result", resultKey(1)))!.document;
    const beside = checkpoint.manifest.replace("MANIFEST.json", "extra.bin");
    await store.create(beside, new TextEncoder().encode("mine"));
    const found = await findings(store);
    expect(
      found
        .filter(({ severity }) => severity === "warning")
        .map(({ key }) => key)
        .sort(),
    ).toEqual([...strays, beside].sort());
    expect(found.filter(({ severity }) => severity === "damage")).toEqual([]);
  });

  it("an item that two rounds of one line have trained", async () => {
    const store = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    // a shard from a backup that is older than the log: the ledger takes the item for new
    const key = consumedKey(itemId(A));
    await store.delete(key);
    await learn(fake, [A]);
    expect(await findings(store)).toContainEqual({
      severity: "damage",
      key: planKey(2),
      message: expect.stringContaining("round 1 already"),
    });
  });

  it("a job's record whose bytes are another document's", async () => {
    const store = memory();
    await fakeHistory(store);
    await overwrite(store, jobRecordKey(5, 1), () => documentBytes("live", LIVE, { format: 1, seq: 1, live: null }));
    expect(await damaged(store)).toEqual([jobRecordKey(5, 1)]);
  });

  it("a log whose newest entry is put in the place of the one before", async () => {
    const store = memory();
    await fakeHistory(store);
    const { document } = (await readDocument(store, "logEntry", logKey(4)))!;
    if (document.kind !== "round") throw new Error("a round was expected");
    // a forger who reseals the document is caught by the chain
    await overwrite(store, logKey(4), () =>
      documentBytes("logEntry", logKey(4), { ...document, metrics: { accuracy: 1 } }),
    );
    expect(canonicalJson(document.metrics)).not.toContain("1}");
    expect(await damaged(store)).toContain(logKey(5));
  });
});

import { describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { INBOX, planKey, startKey } from "../protocol/keys.ts";
import type { StartWeights, Store } from "../protocol/ports.ts";
import type { Plan } from "../protocol/types.ts";
import { A, B, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline, fakeStart, type FakePipeline } from "../test/fake-trainer.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { rollback } from "./commands.ts";
import { listAll } from "./inspect.ts";
import { intake } from "./intake.ts";
import { readDocument } from "./read.ts";
import { tick } from "./tick.ts";

const WEIGHTS = new TextEncoder().encode("weights from elsewhere");
const KEY = startKey(sha256(WEIGHTS));

function pipelineWith(store: Store, start: StartWeights): FakePipeline {
  const fake = fakePipeline(store, { gate: null });
  return Object.assign(fake, { ledger: { ...fake.ledger, start } });
}
async function planOf(store: Store, round: number): Promise<Plan | undefined> {
  return (await readDocument(store, "plan", planKey(round)))?.document;
}

describe("the weights of a warm start", () => {
  it("are stored before the plan of a first round names them, and no later plan does", async () => {
    const memory = memoryStore();
    const created: string[] = [];
    const store = storeWith(memory, {
      create: (key, body) => (created.push(key), memory.create(key, body)),
      createFromFile: (key, path) => (created.push(key), memory.createFromFile(key, path)),
    });
    const start = fakeStart(WEIGHTS);
    const fake = pipelineWith(store, start);
    await learn(fake, [A]);
    await learn(fake, [B]);
    expect((await planOf(store, 1))!.start).toBe(sha256(WEIGHTS));
    expect((await planOf(store, 2))!.start).toBeNull();
    expect((await store.get(KEY))!.body).toEqual(WEIGHTS);
    expect(created.indexOf(KEY)).toBeLessThan(created.indexOf(planKey(1)));
    expect(start.reads).toBe(1);
  });

  it("are read again for a round after a rollback to nothing; those that are stored are not sent again", async () => {
    const memory = memoryStore();
    let sent = 0;
    const store = storeWith(memory, {
      createFromFile: (key, path) => (sent++, memory.createFromFile(key, path)),
    });
    const start = fakeStart(WEIGHTS);
    const fake = pipelineWith(store, start);
    await learn(fake, [A]);
    await rollback(fake.ledger, { to: 0, replay: true, without: [], with: [], by: "ada", reason: "anew" });
    await tick(fake.ledger, { kind: "plain" });
    expect(await planOf(store, 3)).toMatchObject({ parent: null, start: sha256(WEIGHTS) });
    expect([start.reads, sent]).toEqual([2, 1]);
  });

  it("that can't be read stop a round that would begin with them, and no other", async () => {
    const store = memoryStore();
    let gone = false;
    const there = fakeStart(WEIGHTS);
    const fake = pipelineWith(store, {
      async read() {
        if (gone) throw new AccreteError("START_NOT_READABLE", "model.json: it is gone");
        return there.read();
      },
    });
    await learn(fake, [A]);
    gone = true;
    await learn(fake, [B]);
    expect(await planOf(store, 2)).toMatchObject({ start: null, items: [{ key: B.key }] });
    await rollback(fake.ledger, { to: 0, replay: true, without: [], with: [], by: "ada", reason: "anew" });
    await expect(tick(fake.ledger, { kind: "plain" })).rejects.toMatchObject({ code: "START_NOT_READABLE" });
    expect(await planOf(store, 4)).toBeUndefined();
    gone = false;
    await tick(fake.ledger, { kind: "plain" });
    expect((await planOf(store, 4))!.start).toBe(sha256(WEIGHTS));
  });

  it("are looked for again if whether they were stored is not known", async () => {
    const memory = memoryStore();
    let asked = 0;
    const store = storeWith(memory, {
      createFromFile: async (key, path) => (++asked === 1 ? "unknown" : memory.createFromFile(key, path)),
    });
    const fake = pipelineWith(store, fakeStart(WEIGHTS));
    await learn(fake, [A]);
    expect(asked).toBe(2);
    expect((await planOf(store, 1))!.start).toBe(sha256(WEIGHTS));
    expect(await store.head(KEY)).toBeDefined();
  });

  it("that are damaged in the store are mended as START_NOT_WHOLE says: deleted, and the round given up", async () => {
    const store = memoryStore();
    const fake = pipelineWith(store, fakeStart(WEIGHTS));
    await learn(fake, [A], null);
    const { etag } = (await store.get(KEY))!;
    await store.replace(KEY, Uint8Array.of(1), etag);
    await store.delete(KEY);
    await rollback(fake.ledger, { to: "head", replay: false, without: [], with: [], by: "ada", reason: "damage" });
    fake.training = {};
    await learn(fake, [fakeItem("c.csv")]);
    expect((await planOf(store, 2))!.start).toBe(sha256(WEIGHTS));
    expect((await store.get(KEY))!.body).toEqual(WEIGHTS);
    expect((await listAll(store, "start/")).objects).toHaveLength(1);
  });
});

it("reads of a large inbox no more than a plan could take, and comes to its end all the same", async () => {
  const memory = memoryStore();
  let [segmentsRead, most] = [0, 0];
  const store = storeWith(memory, {
    get: (key) => {
      if (key.startsWith(INBOX)) segmentsRead++;
      if (key.startsWith("rounds/") && key.endsWith("plan.json")) {
        most = Math.max(most, segmentsRead);
        segmentsRead = 0;
      }
      return memory.get(key);
    },
  });
  const fake = fakePipeline(store, { gate: null, trigger: { minItems: 10_000, maxItems: 50_000 } });
  for (let delivery = 0; delivery < 120; delivery++) {
    fake.ledger.clock.nonce(); // its clock goes on
    const items = Array.from({ length: 1_000 }, (_, i) => fakeItem(`${delivery}/${i}.csv`, "x"));
    await intake(fake.ledger, items);
  }
  await tick(fake.ledger, { kind: "plain" });
  const plans = await Promise.all([1, 2, 3].map((round) => planOf(store, round)));
  expect(plans.map((plan) => plan?.items.length)).toEqual([50_000, 50_000, 20_000]);
  expect(most).toBe(100);
});

import { describe, expect, it } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import type { Item } from "../protocol/types.ts";
import { A, B, D, learn } from "../test/fake-history.ts";
import { fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { rollback } from "./commands.ts";
import { forecast, type Forecast } from "./forecast.ts";
import { intake } from "./intake.ts";
import type { Ledger } from "./ledger.ts";
import { sweep } from "./sweep.ts";
import { tick } from "./tick.ts";

function place(
  config: Partial<Pick<PipelineConfig, "budget">> & { trigger?: Partial<PipelineConfig["trigger"]> } = {},
) {
  let nowMs = 1_700_000_000_000;
  const store = openMemoryStore({ nowMs: () => (nowMs += 1) });
  const fake = fakePipeline(store, config);
  const present: Item[] = [];
  const items = { list: async () => ({ items: present }), fetch: () => Promise.reject(new Error("nothing is read")) };
  return {
    store,
    fake,
    present,
    items,
    look: (): Promise<Forecast> => forecast(fake.ledger, items),
    keys: (): string[] => [...store.objects].map(([key, { etag }]) => `${key} ${etag}`),
  };
}
const keysOf = (items: readonly Item[]): string[] => items.map(({ key }) => key);

/** Rounds whose jobs took so long. */
async function learnFor(fake: FakePipeline, item: Item, jobMs: number): Promise<void> {
  const { jobs } = fake.ledger;
  const describe_ = jobs.describe;
  const slow: Ledger = {
    ...fake.ledger,
    jobs: {
      ...jobs,
      describe: async (ids) =>
        (await describe_(ids)).map((job) => ({ ...job, startedMs: 1_000, stoppedMs: 1_000 + jobMs })),
    },
  };
  await learn(Object.assign(fake, { ledger: slow }), [item]);
  Object.assign(fake, { ledger: { ...slow, jobs } });
}

describe("train --dry-run", () => {
  it("says what a sweep and a tick would take, the items that they then do take, and changes nothing", async () => {
    const { store, fake, present, items, look, keys } = place({ trigger: { quietPeriod: 60_000, maxItems: 2 } });
    await learn(fake, [A]);
    await tick(fake.ledger, { kind: "train", seq: 0 });
    await intake(fake.ledger, [A, B]);
    present.push(A, B, D, { ...D, key: "e.csv" });
    const before = keys();
    const would = await look();
    expect(keys()).toEqual(before);
    expect(keysOf(would.items)).toEqual(["b.csv"]);
    expect(would).toMatchObject({ bytes: B.size, epochs: 2, later: 2, jobMs: undefined, by: 0 });

    await sweep(fake.ledger, items);
    fake.training = null;
    await tick(fake.ledger, { kind: "train", seq: 1 });
    const plan = JSON.parse(new TextDecoder().decode((await store.get("rounds/0000000002/plan.json"))!.body)) as {
      items: Item[];
    };
    expect(keysOf(plan.items)).toEqual(keysOf(would.items));
    // those of the open plan do not wait any more
    expect(keysOf((await look()).items)).toEqual(["d.csv", "e.csv"]);
  });

  it("estimates by the rounds of before, in time and in money", async () => {
    const { fake, present, look } = place({ budget: { perDay: 1_000, perMonth: null, pricePerHour: 36 } });
    await learnFor(fake, { ...A, size: 1_000 }, 60_000);
    present.push({ ...A, size: 1_000 }, { ...B, size: 2_000 });
    expect(await look()).toMatchObject({ jobMs: 120_000, by: 1, dollars: expect.closeTo(1.2) });
    await learnFor(fake, { ...B, size: 2_000 }, 100_000);
    present.push({ ...D, size: 3_000 });
    // a start-up of 20 s and 40 s a kB
    expect(await look()).toMatchObject({
      jobMs: 140_000,
      by: 2,
      dollars: expect.closeTo(1.4),
      budget: { do: "spend" },
    });
  });

  it("says what comes before it, and what only train passes over", async () => {
    const { fake, present, look } = place({ trigger: { minItems: 3, minInterval: 60_000 } });
    await intake(fake.ledger, [A]);
    await tick(fake.ledger, { kind: "train", seq: 0 });
    present.push(A, B);
    const would = await look();
    expect(would).toMatchObject({ minItems: 3, later: 0 });
    expect(would.intervalEndsMs).toBeGreaterThan(would.status.nowMs);
    await rollback(fake.ledger, { to: 0, replay: true, without: [], with: [], by: "ada", reason: "why" });
    const redo = await look();
    expect(keysOf(redo.items)).toEqual([A.key]);
    expect(redo).toMatchObject({ later: 1, minItems: undefined, intervalEndsMs: undefined, status: { redoItems: 1 } });
  });

  it("of nothing is nothing", async () => {
    expect(await place().look()).toMatchObject({ items: [], bytes: 0, later: 0, jobMs: undefined, dollars: undefined });
  });
});

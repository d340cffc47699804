/** The requests that docs/cost.md counts by the kind, as each kind has a price of its own. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import { byKind, type Kinds } from "./by-kind.ts";
import { fakeItem, fakePipeline } from "./fake-trainer.ts";
import { memoryStore } from "./small-states.ts";

/** A round of as many items as one has, if trigger.maxItems says nothing. */
const ITEMS = 20_000;
/** Objects that come in one delivery: of events, and of a sweep's page. */
const DELIVERIES = [100, 1_000];

it.each(DELIVERIES)("a round of 20,000 items that come %i at a time", async (delivery) => {
  const { store, kinds } = byKind(memoryStore());
  const fake = fakePipeline(store);
  const round = async (n: number, count: number): Promise<Kinds> => {
    const before = { ...kinds };
    const items = Array.from({ length: count }, (_, i) => fakeItem(`in/round-${n}/file-${i}.csv`));
    for (let i = 0; i < count; i += delivery) await intake(fake.ledger, items.slice(i, i + delivery));
    await tick(fake.ledger, { kind: "plain" });
    return { put: kinds.put - before.put, list: kinds.list - before.list, get: kinds.get - before.get };
  };
  await round(1, 1);
  const { put, list, get } = await round(2, ITEMS);
  const text = readFileSync(fileURLToPath(new URL("../docs/cost.md", import.meta.url)), "utf8");
  expect(text).toContain(`| ${delivery.toLocaleString("en")} at a time | ${put} | ${list} | ${get} |`);
});

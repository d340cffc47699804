/** The requests that docs/cost.md counts by the kind, as each kind has a price of its own. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import type { Store } from "../protocol/ports.ts";
import { fakeItem, fakePipeline } from "./fake-trainer.ts";
import { memoryStore } from "./small-states.ts";

/** A round of as many items as one has, if trigger.maxItems says nothing. */
const ITEMS = 20_000;
/** Objects that come in one delivery: of events, and of a sweep's page. */
const DELIVERIES = [100, 1_000];

interface Kinds {
  put: number;
  list: number;
  get: number;
}

function byKind(store: Store): { store: Store; kinds: Kinds } {
  const kinds: Kinds = { put: 0, list: 0, get: 0 };
  const counted =
    <In extends unknown[], Out>(kind: keyof Kinds, call: (...input: In) => Promise<Out>) =>
    (...input: In): Promise<Out> => {
      kinds[kind]++;
      return call(...input);
    };
  return {
    kinds,
    store: {
      create: counted("put", (key: string, body: Uint8Array) => store.create(key, body)),
      replace: counted("put", (key: string, body: Uint8Array, etag: string | null) => store.replace(key, body, etag)),
      createFromFile: counted("put", (key: string, path: string) => store.createFromFile(key, path)),
      copy: counted("put", (from: string, to: string) => store.copy(from, to)),
      get: counted("get", (key: string) => store.get(key)),
      head: counted("get", (key: string) => store.head(key)),
      readToFile: counted("get", (key: string, path: string) => store.readToFile(key, path)),
      list: counted("list", (prefix: string, options?: { after?: string; limit?: number }) =>
        store.list(prefix, options),
      ),
      delete: (key) => store.delete(key), // free
    },
  };
}

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

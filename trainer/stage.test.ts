import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDirectoryItems } from "../adapters/directory-items.ts";
import { DataConfig } from "../protocol/data-config.ts";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { itemId } from "../protocol/digest.ts";
import type { Items } from "../protocol/ports.ts";
import type { Item, Plan } from "../protocol/types.ts";
import { rejection, stageItems } from "./stage.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "accrete-stage-"));
  mkdirSync(join(root, "data/sub"), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const planOf = (items: readonly Item[]): Plan => ({
  format: 1,
  pipeline: "p",
  round: 1,
  kind: "extend",
  items: [...items],
  segments: [],
  parent: null,
  live: null,
  epochsToAdd: 1,
  trainer: TrainerConfig.parse({ model: "m", epochs: 1 }),
  data: DataConfig.parse({ format: "csv", holdout: 0 }),
  start: null,
  code: "0".repeat(64),
  image: null,
  jobDefinition: null,
  seed: 1,
  scheduled: 0,
});

async function put(count: number): Promise<{ items: Items; list: readonly Item[] }> {
  for (let i = 0; i < count; i++) writeFileSync(join(root, `data/sub/${i}.csv`), `body ${i}`);
  const items = openDirectoryItems(join(root, "data"), { settleMs: 0 });
  const list = (await items.list("")).items;
  return { items, list };
}

describe("staging", () => {
  it("brings each item's bytes to a file that is named by its id, in the plan's order", async () => {
    const { items, list } = await put(30);
    const told: [number, number][] = [];
    const { files, rejected } = await stageItems(items, planOf(list), join(root, "staged"), (done, bytes) =>
      told.push([done, bytes]),
    );
    expect(rejected).toEqual([]);
    expect(files.map(({ item }) => item)).toEqual(list);
    expect(files.map(({ path }) => readFileSync(path, "utf8"))).toEqual(
      list.map(({ key }) => `body ${/\d+/.exec(key)![0]}`),
    );
    expect(readdirSync(join(root, "staged")).sort()).toEqual(list.map(itemId).sort());
    expect(told.map(([done]) => done)).toEqual(list.map((_, i) => i + 1));
    expect(told.at(-1)![1]).toBe(list.reduce((sum, { size }) => sum + size, 0));
  });

  it("rejects what is gone or was overwritten, and a key that no file can have", async () => {
    const { items, list } = await put(3);
    unlinkSync(join(root, "data/sub/0.csv"));
    writeFileSync(join(root, "data/sub/1.csv"), "other!");
    const unsafe = { ...list[0]!, key: "../secret" };
    const { files, rejected } = await stageItems(
      items,
      planOf([unsafe, ...list]),
      join(root, "staged"),
      () => undefined,
    );
    expect(files.map(({ item }) => item.key)).toEqual(["sub/2.csv"]);
    expect(rejected.map(({ item, code }) => [item.key, code])).toEqual([
      ["../secret", "bad"],
      ["sub/0.csv", "gone"],
      ["sub/1.csv", "gone"],
    ]);
    expect(rejected[1]!.message).toBe("sub/0.csv: it was deleted or overwritten since it arrived");
  });

  it("rejects what is larger than data.limits.bytes, and does not fetch it", async () => {
    const { items, list } = await put(3);
    const fetched: Item[] = [];
    const store: Items = {
      list: items.list.bind(items),
      fetch: async (item, path) => {
        fetched.push(item);
        return items.fetch(item, path);
      },
    };
    const large = { ...list[1]!, size: 2_049 };
    const plan = planOf([list[0]!, large, list[2]!]);
    plan.data.limits.bytes = 2_048;
    const { rejected } = await stageItems(store, plan, join(root, "staged"), () => undefined);
    expect(rejected).toMatchObject([{ item: large, code: "bad" }]);
    expect(rejected[0]!.message).toBe("sub/1.csv: it has 2049 bytes: more than 2 KiB (data.limits.bytes)");
    expect(fetched).toEqual([list[0], list[2]]);
  });

  it.each(["archived", "forbidden"] as const)("rejects what is %s as that", async (outcome) => {
    const { items, list } = await put(2);
    const store: Items = {
      list: items.list.bind(items),
      fetch: async (item, path) => (item === list[0] ? { outcome } : items.fetch(item, path)),
    };
    const { files, rejected } = await stageItems(store, planOf(list), join(root, "staged"), () => undefined);
    expect(files).toHaveLength(1);
    expect(rejected).toMatchObject([{ item: list[0], code: outcome }]);
  });

  it("fails with what a fetch throws, and leaves no fetch behind; never more than 8 at once", async () => {
    const { items, list } = await put(40);
    let [running, most, calls] = [0, 0, 0];
    const store: Items = {
      list: items.list.bind(items),
      fetch: async (item, path) => {
        most = Math.max(most, ++running);
        try {
          if (++calls === 12) throw new Error("the network is away");
          return await items.fetch(item, path);
        } finally {
          running--;
        }
      },
    };
    await expect(stageItems(store, planOf(list), join(root, "staged"), () => undefined)).rejects.toThrow(
      "the network is away",
    );
    expect(running).toBe(0);
    expect(most).toBe(8);
    expect(calls).toBeLessThan(list.length);
  });

  it("says why on one line, however long or strange a key is", () => {
    const item = { bucket: "b", key: `\u001b[2J${"k".repeat(5_000)}`, etag: "e", size: 1 };
    const text = rejection(item, "\n".repeat(5_000));
    expect(text).toMatch(/^\\x1b\[2Jk+…: (\\n)+\\?…$/);
    expect(text.length).toBeLessThanOrEqual(4_096);
  });
});

import { describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { checkpointPrefix, MANIFEST, manifestKey, parseCheckpointFile } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { fakeHistory, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { janitor } from "./janitor.ts";
import { readHead } from "./read.ts";
import { verify } from "./verify.ts";

const folder = (round: number, step: number, run: string): string => checkpointPrefix({ round, step, run });
async function foldersOf(store: Store): Promise<string[]> {
  const { objects } = await store.list("rounds/");
  const names = objects.flatMap(({ key }) =>
    parseCheckpointFile(key) === undefined ? [] : [key.slice(0, key.lastIndexOf("/") + 1)],
  );
  return [...new Set(names)];
}
/** Rounds 1 to `count`, of which two are kept. */
async function rounds(store: Store, count: number): Promise<void> {
  const fake = fakePipeline(store, { gate: null, keep: { rounds: 2, history: 0, best: true } });
  for (let round = 1; round <= count; round++)
    await learn(fake, [fakeItem(`${round}.csv`)], { withLeftovers: round === 8 });
}

describe("the janitor", () => {
  it("deletes checkpoints of closed rounds that no entry can name any more, and nothing that is kept", async () => {
    const store = memoryStore();
    await rounds(store, 8);
    const { head } = await readHead(store);
    const kept = head.keep.map(({ checkpoint }) => checkpoint.manifest.slice(0, -MANIFEST.length));
    // 8 is live, 3 to 7 were so before it
    expect(head.keep.map(({ checkpoint }) => checkpoint.round)).toEqual([3, 4, 5, 6, 7, 8]);
    const before = await foldersOf(store);
    const gone = await janitor(store, { history: 0 });
    expect(await foldersOf(store)).toEqual(kept);
    expect([...gone, ...kept].sort()).toEqual(before.sort());
    const digestOf = async (key: string): Promise<string> => sha256((await store.get(key))!.body);
    expect((await verify(store, { digestOf, onFinding: () => undefined })).damaged).toBe(0);
  });

  it("leaves plans, results and attempts alone: they are history", async () => {
    const store = memoryStore();
    await rounds(store, 8);
    const others = (): string[] => [...store.objects.keys()].filter((key) => parseCheckpointFile(key) === undefined);
    const before = others();
    await janitor(store, { history: 0 });
    expect(others()).toEqual(before);
  });

  it("leaves the newest whole checkpoints in training order besides, also those within a round", async () => {
    const store = memoryStore();
    await rounds(store, 8);
    const all = await foldersOf(store);
    const whole = all.filter((name) => store.objects.has(name + MANIFEST));
    await janitor(store, { history: 2 });
    const left = await foldersOf(store);
    expect(left).toContain(whole.at(-1));
    expect(whole.at(-2)).toMatch(/-within\/$/);
    expect(left).toContain(whole.at(-2));
    expect(left.length).toBe(7);
  });

  it("takes training order by number and not by name", async () => {
    const store = memoryStore();
    await rounds(store, 1);
    for (const [step, run] of [
      [900, "a"],
      [1_000, "b"],
    ] as const) {
      await store.create(manifestKey({ round: 1, step, run }), new Uint8Array([1]));
    }
    await janitor(store, { history: 1 });
    expect(await foldersOf(store)).toContain(folder(1, 1_000, "b"));
    expect(await foldersOf(store)).not.toContain(folder(1, 900, "a"));
  });

  it("deletes what a killed trainer has left in a closed round, for it is no checkpoint", async () => {
    const store = memoryStore();
    await fakeHistory(store);
    const killed = (await foldersOf(store)).filter((name) => name.endsWith("-killed/"));
    expect(killed.length).toBe(2);
    expect((await janitor(store, { history: 1_000 })).sort()).toEqual(killed.sort());
  });

  it("never touches the open round", async () => {
    const store = memoryStore();
    await rounds(store, 3);
    for (const round of [3, 4, 5])
      await store.create(manifestKey({ round, step: 999, run: "open" }), new Uint8Array([1]));
    const gone = await janitor(store, { history: 0 });
    expect(gone).toContain(folder(3, 999, "open"));
    expect(await foldersOf(store)).toEqual(expect.arrayContaining([folder(4, 999, "open"), folder(5, 999, "open")]));
  });

  it("deletes a manifest before the files that it names: half deleted it is no checkpoint", async () => {
    const memory = memoryStore();
    await rounds(memory, 8);
    let left = 1;
    const dies = storeWith(memory, {
      delete: async (key) => {
        if (left-- === 0) throw new Error("killed");
        await memory.delete(key);
      },
    });
    const manifests = (): string[] => [...memory.objects.keys()].filter((key) => key.endsWith(MANIFEST));
    const before = manifests();
    await expect(janitor(dies, { history: 0 })).rejects.toThrow("killed");
    expect(manifests().length).toBe(before.length - 1);
    for (const manifest of manifests()) {
      const name = manifest.slice(0, -MANIFEST.length);
      expect([...memory.objects.keys()].filter((key) => key.startsWith(name)).length).toBe(4);
    }
    // and the next one goes on
    await janitor(memory, { history: 0 });
    expect((await foldersOf(memory)).length).toBe(6);
  });

  it("has nothing to do where nothing was trained, and twice does no more than once", async () => {
    const store = memoryStore();
    expect(await janitor(store, { history: 0 })).toEqual([]);
    await rounds(store, 8);
    await janitor(store, { history: 0 });
    expect(await janitor(store, { history: 0 })).toEqual([]);
  });
});

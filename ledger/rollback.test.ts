import { describe, expect, it } from "vitest";
import { planKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes, type Item, type LogEntry } from "../protocol/types.ts";
import { A, B, BAD, E, learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { memoryStore } from "../test/small-states.ts";
import { drop, promote, rollback } from "./commands.ts";
import { hasMemory } from "./checkpoints.ts";
import { readRedo } from "./line.ts";
import { readDocument, readHead } from "./read.ts";
import { asRollback, previewPromote, previewRollback, workOutRollback, type RollbackPreview } from "./rollback.ts";
import { tick } from "./tick.ts";

const C = fakeItem("c.csv");
const D = fakeItem("d.csv");
const SAID = { by: "ada", reason: "why" };
const BACK = { to: 1, replay: false, without: [], with: [] } as const;
const keys = (items: readonly Item[]): string[] => items.map(({ key }) => key).sort();

/** Round 1 has learned A and B (BAD rejected), round 2 C, round 3 D. */
async function threeRounds(store: Store): Promise<FakePipeline> {
  const fake = fakePipeline(store, { gate: null });
  await learn(fake, [A, B, BAD], { reject: [BAD.key] });
  await learn(fake, [C]);
  await learn(fake, [D]);
  return fake;
}

describe("the preview of a rollback", () => {
  it("names what is left, what is trained again, what stays unlearned, what is taken out, and live", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const { live } = (await readHead(store)).head;
    expect(await previewRollback(ledger, BACK)).toMatchObject({
      seq: 3,
      to: 1,
      leaves: [3, 2],
      again: [],
      unlearned: [C, D],
      out: [],
      ends: null,
      live,
    });
    const preview = await previewRollback(ledger, { ...BACK, replay: true, without: [C], with: [BAD] });
    expect([keys(preview.again), preview.asked, preview.unlearned, preview.out]).toEqual([
      ["bad.csv", "d.csv"],
      [BAD],
      [],
      [C],
    ]);
    expect((await readHead(store)).head.seq).toBe(3);
  });

  it("is what is done, whatever is asked for", async () => {
    for (const wish of [
      BACK,
      { ...BACK, replay: true },
      { ...BACK, to: 0, replay: true, without: [A] },
      { ...BACK, to: "head", with: [BAD] } as const,
      asRollback([C, A]),
      asRollback([D]),
    ]) {
      const store = memoryStore();
      const { ledger } = await threeRounds(store);
      const shown: RollbackPreview = await previewRollback(ledger, wish);
      const entry = await rollback(ledger, { ...wish, ...SAID, seq: shown.seq });
      expect(entry).toMatchObject({ kind: "rollback", checkpoint: shown.checkpoint, live: shown.live });
      expect(keys([...(await readRedo(store, entry.redo)).items.values()])).toEqual(keys(shown.again));
      if (entry.kind === "rollback") expect([entry.without, entry.with]).toEqual([shown.out, shown.asked]);
    }
  });

  it("says that the open round ends, and whether its job runs", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    await learn(fake, [E], null);
    const open = { round: 4, items: [E] };
    const wish = { ...BACK, to: "head" } as const;
    expect((await previewRollback(fake.ledger, wish)).ends).toEqual({ ...open, running: true });
    await fake.ledger.jobs.terminate("job-4", "test");
    expect((await previewRollback(fake.ledger, wish)).ends).toEqual({ ...open, running: false });
  });

  it("warns of what is taken out but stays learned, as the target has trained it", async () => {
    const { ledger } = await threeRounds(memoryStore());
    const preview = await previewRollback(ledger, { ...BACK, without: [A, C] });
    expect(preview.stillLearned).toEqual([A]);
  });

  it("knows what the head has consumed before anybody has finished it", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    await drop(ledger, { items: [E], ...SAID }); // E is consumed by the head, and no tick has come since
    expect((await previewRollback(ledger, { ...BACK, to: "head", with: [E] })).asked).toEqual([E]);
  });

  it("fails as the command itself would", async () => {
    const { ledger } = await threeRounds(memoryStore());
    await expect(previewRollback(ledger, { ...BACK, to: 7 })).rejects.toMatchObject({ code: "NOT_KEPT" });
    await expect(previewRollback(ledger, { ...BACK, with: [E] })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("the preview of a promote", () => {
  it("says from what to what live moves, and what goes on", async () => {
    const fake = await threeRounds(memoryStore());
    await learn(fake, [E], null);
    const preview = await previewPromote(fake.ledger, 2);
    expect([preview.from?.round, preview.to?.round, preview.same]).toEqual([3, 2, false]);
    expect(preview.open).toMatchObject({ round: 4, running: true });
    expect((await previewPromote(fake.ledger, 3)).same).toBe(true);
    expect((await previewPromote(fake.ledger, 0)).to).toBeNull();
    await expect(previewPromote(fake.ledger, 9)).rejects.toMatchObject({ code: "NOT_KEPT" });
  });

  it("of nothing where nothing is live", async () => {
    const { ledger } = fakePipeline(memoryStore());
    expect((await previewPromote(ledger, 0)).same).toBe(true);
  });
});

describe("a command with the head that its operator saw", () => {
  it("does nothing once the log has gone on", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    const { seq } = await previewRollback(fake.ledger, BACK);
    await learn(fake, [E]);
    const commands: (() => Promise<LogEntry>)[] = [
      () => rollback(fake.ledger, { ...BACK, ...SAID, seq }),
      () => drop(fake.ledger, { items: [C], ...SAID, seq }),
      () => promote(fake.ledger, { round: 1, ...SAID, seq }),
    ];
    for (const run of commands)
      await expect(run()).rejects.toMatchObject({
        code: "COMMAND_LOST",
        message: expect.stringContaining("from entry 3 to 4"),
      });
    expect((await readHead(store)).head.seq).toBe(4);
  });
});

describe("drop", () => {
  it("of several goes back before the first that was learned, and takes all out", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    const entry = await drop(ledger, { items: [D, C, E], ...SAID });
    expect(entry).toMatchObject({ to: 1, redo: null, without: [D, C, E] });
  });

  it("of an item of a blocked round goes on with the others, and from the same checkpoint", async () => {
    const store = memoryStore();
    const fake = await threeRounds(store);
    fake.ends = "failed";
    await learn(fake, [E, fakeItem("f.csv")], null);
    const before = (await readHead(store)).head.checkpoint;
    await drop(fake.ledger, { items: [E], ...SAID });
    await learn(fake, []);
    const { head } = await readHead(store);
    expect(head.round).toBe(5);
    expect((await readDocument(store, "plan", planKey(5)))?.document).toMatchObject({
      items: [{ key: "f.csv" }],
      parent: before,
    });
  });

  it("of what is to be trained again takes it out of the redo", async () => {
    const store = memoryStore();
    const { ledger } = await threeRounds(store);
    await rollback(ledger, { ...BACK, replay: true, ...SAID });
    const entry = await drop(ledger, { items: [C], ...SAID });
    expect(keys([...(await readRedo(store, entry.redo)).items.values()])).toEqual(["d.csv"]);
  });

  it("while nothing is trained takes out what waits", async () => {
    const store = memoryStore();
    const fake = fakePipeline(store);
    await learn(fake, [A], null);
    expect(await drop(fake.ledger, { items: [A], ...SAID })).toMatchObject({ seq: 1, to: 0, checkpoint: null });
    expect(await tick(fake.ledger, { kind: "plain" })).toBe("nothing waits");
  });
});

describe("a redo that no plan could hold", () => {
  it("is refused, and how many items it would be is said", async () => {
    const store = memoryStore();
    await threeRounds(store);
    const { head } = await readHead(store);
    const all = { ...BACK, to: 0, replay: true };
    await expect(workOutRollback(store, head, all, 3)).rejects.toMatchObject({
      code: "REDO_TOO_LARGE",
      message: expect.stringMatching(/^4 items .* at most 3; nothing was changed$/),
    });
    expect((await workOutRollback(store, head, { ...all, without: [C] }, 3)).redone.size).toBe(3);
  });
});

describe("whether a checkpoint has a replay memory", () => {
  it("is what its manifest lists", async () => {
    const store = memoryStore();
    await threeRounds(store);
    const checkpoint = (await readHead(store)).head.checkpoint!;
    expect(await hasMemory(store, checkpoint)).toBe(false);
    const { document } = (await readDocument(store, "manifest", checkpoint.manifest))!;
    const key = "rounds/0000000099/checkpoints/0000000001-memory/MANIFEST.json";
    const files = [...document.files, { ...document.files[0]!, name: "memory.safetensors" }];
    await store.create(key, documentBytes("manifest", key, { ...document, files }));
    expect(await hasMemory(store, { ...checkpoint, manifest: key })).toBe(true);
  });

  it("is no for nothing trained", async () => {
    expect(await hasMemory(memoryStore(), null)).toBe(false);
  });
});

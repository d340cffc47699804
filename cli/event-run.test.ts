import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import type { HistoryPoint } from "../ledger/training-history.ts";
import { parseDocument, type RoundEntry } from "../protocol/types.ts";
import { learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { logKey } from "../protocol/keys.ts";
import { PYTHON, readByTensorBoard, readRun, type Read } from "../test/tensorboard.ts";
import { EventRun } from "./event-run.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-events-"));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(temporary, "run-"));
});

const epoch = (step: number, trainLoss: number | null): HistoryPoint => ({
  is: "epoch",
  metrics: { round: 1, epoch: step / 10, step, trainLoss, learningRate: 0.5 },
  step,
  atMs: 1_700_000_000_000 + step,
});

async function entry(): Promise<RoundEntry> {
  let now = 0;
  const store = openMemoryStore({ nowMs: () => ++now });
  await learn(fakePipeline(store), [fakeItem("a.csv")], {
    metrics: { accuracy: 0.5, "run.stepMs.p50": 3, seconds: 4, trainLoss: 1 },
  });
  return parseDocument("logEntry", logKey(1), (await store.get(logKey(1)))!.body) as RoundEntry;
}

const stepsOf = (events: readonly Read[]): (number | string)[] =>
  events.map(({ step, restart }) => (restart ? `restart ${step}` : step));

describe("a run for TensorBoard", () => {
  it("has an event for each epoch and each round, with what they measured", async () => {
    const run = new EventRun(folder, 3_600);
    const round: HistoryPoint = {
      is: "round",
      entry: { ...(await entry()), jobMs: 2_000 },
      step: 20,
      atMs: 1_700_000_000_500,
    };
    await run.update([epoch(10, 0.75), epoch(20, null), round], 1_700_000_001_000);
    const [version, first, second, third] = readRun(folder);
    expect(version).toMatchObject({ step: 0, scalars: {} });
    expect(first).toMatchObject({
      step: 10,
      wallSeconds: 1_700_000_000.01,
      scalars: { "train/loss": 0.75, "train/learning_rate": 0.5 },
    });
    expect(second!.scalars).toEqual({ "train/learning_rate": 0.5 });
    expect(third).toMatchObject({
      step: 20,
      scalars: { "holdout/accuracy": 0.5, "run/stepMs.p50": 3, "run/jobSeconds": 2, "run/dollars": 2 },
    });
    expect(Object.keys(third!.scalars).filter((name) => /seconds$|trainLoss/.test(name))).toEqual([]);
  });

  it("grows by what is new alone, and says so where steps come again", async () => {
    const run = new EventRun(folder, undefined);
    expect(await run.update([], 1_000)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
    await run.update([epoch(10, 4), epoch(20, 3)], 2_000);
    await run.update([epoch(10, 4), epoch(20, 3)], 3_000);
    await run.update([epoch(10, 4), epoch(20, 3), epoch(30, 2)], 4_000);
    expect(stepsOf(readRun(folder))).toEqual([0, 10, 20, 30]);
    await run.update([epoch(10, 4), epoch(20, 9)], 5_000); // back to step 10, and on another way
    await run.update([epoch(10, 4), epoch(20, 9), epoch(30, 8)], 6_000);
    expect(stepsOf(readRun(folder))).toEqual([0, 10, 20, 30, "restart 20", 20, 30]);
    await run.update([], 7_000);
    expect(stepsOf(readRun(folder)).at(-1)).toBe("restart 10");
  });

  it("is written anew by the next command, and touches no other file", async () => {
    await new EventRun(folder, undefined).update([epoch(10, 4), epoch(20, 3)], 2_000);
    await new EventRun(folder, undefined).update([epoch(10, 4)], 3_000);
    expect(stepsOf(readRun(folder))).toEqual([0, "restart 0", 10]);
    writeFileSync(join(folder, "events.out.tfevents.1.mine"), "mine");
    await new EventRun(folder, undefined).update([epoch(10, 4)], 4_000);
    expect(readdirSync(folder).sort()).toEqual([
      "events.out.tfevents.0000000004.000.accrete",
      "events.out.tfevents.1.mine",
    ]);
  });

  it("is gone where nothing is trained any more, and comes again", async () => {
    await new EventRun(folder, undefined).update([epoch(10, 4)], 2_000);
    writeFileSync(join(folder, "other"), "");
    const run = new EventRun(folder, undefined);
    expect(await run.update([], 3_000)).toBeUndefined();
    expect(readdirSync(folder)).toEqual(["other"]);
    await run.update([epoch(10, 3)], 4_000);
    expect(readdirSync(folder)).toHaveLength(2);
  });

  it("whose folder is a file says so", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    for (const path of [file, join(file, "below")])
      await expect(new EventRun(path, undefined).update([epoch(10, 4)], 1)).rejects.toMatchObject({
        code: "TARGET_EXISTS",
      });
  });

  it.skipIf(PYTHON === undefined)(
    "is what TensorBoard itself shows, after a way back, too (needs ACCRETE_PYTHON)",
    async () => {
      const run = new EventRun(folder, undefined);
      await run.update([epoch(10, 4), epoch(20, 3), epoch(30, 2)], 2_000);
      expect(readByTensorBoard(PYTHON!, folder)["train/loss"]).toEqual([
        [10, 4],
        [20, 3],
        [30, 2],
      ]);
      await run.update([epoch(10, 4), epoch(20, 9)], 3_000);
      expect(readByTensorBoard(PYTHON!, folder)).toEqual({
        "train/loss": [
          [10, 4],
          [20, 9],
        ],
        "train/learning_rate": [
          [10, 0.5],
          [20, 0.5],
        ],
      });
    },
  );
});

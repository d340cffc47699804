/** Curves of real rounds: the trainer's metrics.jsonl, the log, and the files that TensorBoard reads. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli, startCli } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";
import { PYTHON, readByTensorBoard, readRun } from "../test/tensorboard.ts";

let folder: string;
let dir: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "accrete-tensorboard-"));
  dir = await initWorkspace(folder, "curves");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function drop(name: string, seed: number): void {
  const data = join(dir, ".accrete", "data", "flowers");
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, name), sampleCsv(100, seed));
}

const run = (): string => join(dir, "runs", "flowers");
const lossesOf = (events: ReturnType<typeof readRun>): [number, number][] =>
  events.flatMap(({ step, scalars }): [number, number][] =>
    scalars["train/loss"] === undefined ? [] : [[step, scalars["train/loss"]]],
  );

describe("accrete tensorboard", () => {
  it("says that nothing has been trained, and writes nothing", async () => {
    const told = await runCli(dir, ["tensorboard", "runs"]);
    expect(told).toEqual({ code: 0, err: "", out: "flowers: nothing has been trained yet\n" });
  });

  it("writes each epoch's loss and rate, and each round's metrics, speed and time", async () => {
    drop("day-1.csv", 1);
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 0 });
    const told = await runCli(dir, ["tensorboard", "runs", "--json"]);
    expect(JSON.parse(told.out)).toEqual([
      { pipeline: "flowers", file: expect.stringContaining(run()), epochs: 5, rounds: 1 },
    ]);
    const events = readRun(run());
    expect(lossesOf(events)).toHaveLength(5);
    const last = events.at(-1)!;
    expect(Object.keys(last.scalars)).toEqual(
      expect.arrayContaining([
        "holdout/accuracy",
        "holdout/loss",
        "run/examplesPerSecond",
        "run/stepMs.p50",
        "run/jobSeconds",
      ]),
    );
    const [entry] = JSON.parse((await runCli(dir, ["log", "--json"])).out) as [
      { at: number; jobMs: number; checkpoint: { step: number }; metrics: { accuracy: number } },
    ];
    expect(last.step).toBe(entry.checkpoint.step);
    expect(last.scalars["holdout/accuracy"]).toBeCloseTo(entry.metrics.accuracy, 6);
    for (const { wallSeconds } of events.slice(1)) {
      expect(wallSeconds * 1_000).toBeGreaterThan(entry.at - entry.jobMs);
      expect(wallSeconds * 1_000).toBeLessThanOrEqual(entry.at);
    }
  });

  it("follows a training, and what it adds is as if it had been written at the end", async () => {
    const follow = startCli(dir, ["tensorboard", "runs", "--follow"]);
    await follow.says(/5 epochs, 1 round /);
    drop("day-2.csv", 2);
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 0 });
    await follow.says(/10 epochs, 2 rounds /);
    follow.process.kill("SIGTERM");
    await follow.ended;
    const grown = readRun(run()).filter(({ restart }) => !restart);
    await runCli(dir, ["tensorboard", "again"]);
    const again = readRun(join(dir, "again", "flowers"));
    const withoutTime = (events: typeof grown): unknown[] => events.map(({ step, scalars }) => ({ step, scalars }));
    expect(withoutTime(grown)).toEqual(withoutTime(again));
    expect(lossesOf(again)).toHaveLength(10);
  });

  it.skipIf(PYTHON === undefined)("is opened by TensorBoard (needs ACCRETE_PYTHON)", () => {
    const shown = readByTensorBoard(PYTHON!, run());
    expect(shown["train/loss"]).toEqual(lossesOf(readRun(run())));
    expect(shown["holdout/accuracy"]).toHaveLength(2);
  });

  it("leaves out what a rollback has left", async () => {
    expect(await runCli(dir, ["rollback", "--to", "1", "--yes"])).toMatchObject({ code: 0 });
    await runCli(dir, ["tensorboard", "runs"]);
    expect(lossesOf(readRun(run()))).toHaveLength(5);
  });

  it("says that the folder is a file", async () => {
    writeFileSync(join(dir, "file"), "");
    expect(await runCli(dir, ["tensorboard", "file"])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/error TARGET_EXISTS: .* is a file/),
    });
  });
});

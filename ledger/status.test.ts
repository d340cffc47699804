import { describe, expect, it } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { ADVICE } from "../protocol/errors.ts";
import { logKey, resultKey } from "../protocol/keys.ts";
import { A, B, BAD, D, E, fakeHistory, learn } from "../test/fake-history.ts";
import { fakePipeline, fakeTrain, type FakePipeline } from "../test/fake-trainer.ts";
import { chooseCheckpoint, listCheckpoints } from "./checkpoints.ts";
import { rollback } from "./commands.ts";
import { finishHead } from "./finish.ts";
import { intake } from "./intake.ts";
import { readHead } from "./read.ts";
import { readRound } from "./round-report.ts";
import type { NextStep } from "./open-round.ts";
import { readStatus } from "./status.ts";
import { tick } from "./tick.ts";

function memory(stepMs = 1): { store: ReturnType<typeof openMemoryStore>; pass(ms: number): void } {
  let now = 1_700_000_000_000;
  return { store: openMemoryStore({ nowMs: () => (now += stepMs) }), pass: (ms) => void (now += ms) };
}
const next = async (fake: FakePipeline): Promise<NextStep> => (await readStatus(fake.ledger)).next;

describe("status says what comes next", () => {
  it("idle, before anything was there", async () => {
    const { store } = memory();
    const status = await readStatus(fakePipeline(store).ledger);
    expect(status).toMatchObject({
      seq: 0,
      round: 0,
      checkpoint: null,
      live: null,
      waiting: null,
      open: null,
      rejected: 0,
      finished: true,
      next: { is: "idle" },
    });
  });

  it("the quiet period, with what waits", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { trigger: { quietPeriod: 60_000 } });
    await intake(fake.ledger, [A, B]);
    await intake(fake.ledger, [A]);
    const status = await readStatus(fake.ledger);
    expect(status.waiting).toMatchObject({ segments: 2, items: 2, bytes: A.size + B.size });
    expect(status.next).toMatchObject({
      is: "waiting",
      for: "quiet-period",
      untilMs: status.waiting!.newestMs + 60_000,
    });
  });

  it("its minimum", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { trigger: { minItems: 3 } });
    await learn(fake, [A, B]);
    expect(await next(fake)).toEqual({ is: "waiting", for: "minimum", minItems: 3 });
  });

  it("minInterval", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { trigger: { minInterval: 60_000 } });
    await learn(fake, [A]);
    await learn(fake, [B]);
    expect(await next(fake)).toMatchObject({ is: "waiting", for: "min-interval" });
  });

  it("a plan is due, then training, then a commit", async () => {
    const { store, pass } = memory();
    const fake = fakePipeline(store, { trigger: { quietPeriod: 1_000 } });
    fake.training = null;
    await intake(fake.ledger, [A]);
    pass(1_000);
    expect(await next(fake)).toEqual({ is: "due", to: "plan" });
    await tick(fake.ledger, { kind: "plain" });
    expect(await readStatus(fake.ledger)).toMatchObject({
      open: { round: 1, items: 1, epochs: 2, parentRound: 0, attempts: [{ attempt: 1, retry: false }] },
      next: { is: "training", attempt: 1, job: { state: "running" } },
    });
    await fakeTrain(store, "rounds/0000000001/plan.json", 1);
    expect(await next(fake)).toEqual({ is: "due", to: "commit" });
  });

  it("an entry that is not finished", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A]);
    await store.delete("live.json");
    expect(await readStatus(fake.ledger)).toMatchObject({ finished: false, next: { is: "due", to: "finish" } });
    await finishHead(fake.ledger, (await readHead(store)).head);
    expect(await next(fake)).toEqual({ is: "idle" });
  });
});

describe("status says what is in the way", () => {
  it("blocked by a failure record: its code, its reason and what to do", async () => {
    const { store } = memory();
    const fake = await fakeHistory(store);
    // news of what the open round has taken come again
    await intake(fake.ledger, [E]);
    expect(await readStatus(fake.ledger)).toMatchObject({
      waiting: { segments: 2, items: 1 },
      rejected: 1,
      next: {
        is: "blocked",
        round: 5,
        attempt: 1,
        code: "LOSS_NOT_FINITE",
        reason: "loss is NaN at step 7",
        advice: ADVICE.LOSS_NOT_FINITE,
      },
    });
  });

  it("blocked after attempts without progress, with the last one's reason; a retry is training again", async () => {
    const { store } = memory();
    const fake = fakePipeline(store, { jobs: { attempts: 2 } });
    fake.ends = "failed";
    await learn(fake, [A], null);
    const status = await readStatus(fake.ledger);
    expect(status.next).toMatchObject({
      is: "blocked",
      attempt: 2,
      code: "ATTEMPTS_USED_UP",
      reason: "2 attempts without progress; the last one: exit code 70",
    });
    fake.ends = "alive";
    await tick(fake.ledger, { kind: "retry", seq: status.seq, round: 1, attempt: 2 });
    expect(await next(fake)).toMatchObject({ is: "training", attempt: 3 });
  });

  it("blocked by a result whose checkpoint is not whole", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A], null);
    const result = await fakeTrain(store, "rounds/0000000001/plan.json", 1);
    await store.delete(result.checkpoint.manifest.replace("MANIFEST.json", "weights.safetensors"));
    expect(await next(fake)).toMatchObject({
      is: "blocked",
      attempt: 0,
      code: "RESULT_NOT_WHOLE",
      reason: expect.stringContaining("weights.safetensors is not there"),
    });
  });

  it("paused where the gate has refused and config says so, else it goes on", async () => {
    const gate = { metric: "accuracy", maxDrop: 0.02 } as const;
    const { store } = memory();
    const fake = fakePipeline(store, { gate: { ...gate, onFail: "pause" } });
    await learn(fake, [A]);
    await learn(fake, [B], { metrics: { accuracy: 0.5 } });
    expect(await readStatus(fake.ledger)).toMatchObject({
      round: 2,
      live: { round: 1 },
      next: {
        is: "paused",
        round: 2,
        code: "GATE_REFUSED",
        reason: expect.stringContaining("accuracy 0.9000 -> 0.5000"),
      },
    });
    const held = { ...fake.ledger, config: { ...fake.ledger.config, gate: { ...gate, onFail: "hold" } as const } };
    expect((await readStatus(held)).next).toEqual({ is: "idle" });
    const back = { ...fake.ledger, config: { ...fake.ledger.config, gate: { ...gate, onFail: "rollback" } as const } };
    expect((await readStatus(back)).next).toEqual({ is: "due", to: "take-back" });
  });
});

describe("status says what is left", () => {
  it("what a rollback left to redo", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A, B]);
    await learn(fake, [D]);
    await rollback(fake.ledger, { to: 0, replay: true, without: [B], with: [], by: "ada", reason: "again" });
    await finishHead(fake.ledger, (await readHead(store)).head);
    expect(await readStatus(fake.ledger)).toMatchObject({
      redoItems: 2,
      checkpoint: null,
      live: { round: 2 },
      next: { is: "due", to: "redo" },
    });
  });

  it("says the metrics of the head's round, and which segments are damaged", async () => {
    const { store } = memory();
    const fake = fakePipeline(store);
    await learn(fake, [A], { metrics: { accuracy: 0.75 } });
    const { segments } = await intake(fake.ledger, [E]);
    const stored = (await store.get(segments[0]!))!;
    await store.replace(segments[0]!, stored.body.slice(1), stored.etag);
    expect(await readStatus(fake.ledger)).toMatchObject({
      metrics: { accuracy: 0.75 },
      waiting: { items: 0, damaged: [segments[0]] },
      next: { is: "idle" },
    });
  });
});

describe("show", async () => {
  const { store } = memory();
  const fake = await fakeHistory(store);

  it("reports a committed round with what it has rejected", async () => {
    expect(await readRound(fake.ledger, 1)).toMatchObject({
      state: "committed",
      entry: { seq: 1 },
      attempts: [{ attempt: 1, job: { state: "succeeded" } }],
      result: { rejected: [{ item: BAD, code: "bad" }] },
      checkpoints: [
        { whole: false, run: "killed" },
        { whole: true, run: "within" },
        { whole: true, run: "last" },
      ],
    });
  });

  it("reports an open round with its failure, and finds the entry of a round after a rollback and a promote", async () => {
    expect(await readRound(fake.ledger, 5)).toMatchObject({
      state: "open",
      entry: null,
      result: null,
      attempts: [{ failure: { code: "LOSS_NOT_FINITE" } }],
    });
    expect(await readRound(fake.ledger, 4)).toMatchObject({ state: "committed", entry: { seq: 4, kind: "round" } });
  });

  it("says that there is no plan: of a round that a rollback closed, and of one to come", async () => {
    await expect(readRound(fake.ledger, 3)).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("a rollback closed it"),
    });
    await expect(readRound(fake.ledger, 99)).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining("newest closed round is 4"),
    });
  });

  it("reports a round that was closed without a commit", async () => {
    const other = memory();
    const given = fakePipeline(other.store);
    await learn(given, [A], null);
    await rollback(given.ledger, { to: "head", replay: false, without: [], with: [], by: "ada", reason: "stuck" });
    expect(await readRound(given.ledger, 1)).toMatchObject({ state: "closed", entry: null, plan: { items: [A] } });
  });
});

describe("a checkpoint is found", async () => {
  const { store } = memory();
  await fakeHistory(store);

  it("live, by round, by epoch also within a round, the newest of several", async () => {
    expect(await chooseCheckpoint(store, { by: "live" })).toMatchObject({ round: 2, epoch: 4, live: true });
    expect(await chooseCheckpoint(store, { by: "round", number: 1 })).toMatchObject({
      round: 1,
      epoch: 2,
      live: false,
    });
    expect(await chooseCheckpoint(store, { by: "epoch", number: 3 })).toMatchObject({
      round: 2,
      epoch: 3,
      sha256: undefined,
    });
    // rounds 2 and 4 both go from epoch 2 to 4
    expect(await chooseCheckpoint(store, { by: "epoch", number: 4 })).toMatchObject({
      round: 4,
      sha256: expect.any(String),
    });
  });

  it("or it is said which there are", async () => {
    await expect(chooseCheckpoint(store, { by: "round", number: 3 })).rejects.toMatchObject({
      code: "NOT_KEPT",
      message: expect.stringContaining("1, 2, 4"),
    });
    await expect(chooseCheckpoint(store, { by: "epoch", number: 9 })).rejects.toMatchObject({
      code: "NOT_KEPT",
      message: expect.stringContaining("1, 2, 3, 4"),
    });
    await expect(chooseCheckpoint(memory().store, { by: "live" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("in training order, not by name", async () => {
    const steps = (await listCheckpoints(store)).map(({ round, step }) => [round, step]);
    expect(steps).toEqual([...steps].sort(([a, b], [c, d]) => a! - c! || b! - d!));
    expect(await store.head(resultKey(4))).toBeDefined();
    expect(await store.head(logKey(4))).toBeDefined();
  });
});

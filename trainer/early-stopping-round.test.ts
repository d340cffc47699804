/** Rounds that end early: on the best epoch's checkpoint, whatever happened on the way. */
import { beforeAll, describe, expect, it } from "vitest";
import { withoutRun } from "../protocol/run-metrics.ts";
import type { Result } from "../protocol/types.ts";
import type { Watchdog } from "./watchdog.ts";
import { failingStore } from "./testing/failing-store.ts";
import { dense, INPUT, jsonl, LINEAR, moduleOf, Place, type PlanInput } from "./testing/rounds.ts";

/** Labels that follow from nothing: what is learned of them makes the holdout's loss worse. */
const noise = (from: number, to: number): object[] =>
  Array.from({ length: to - from }, (_, i) => ({
    a: Math.sin((from + i) * 12.9898),
    b: Math.cos((from + i) * 78.233),
    label: (Math.imul(from + i + 7, 0x9e3779b1) >>> 7) % 2 === 0 ? "yes" : "no",
  }));

const WIDE = moduleOf(`${dense("24", "hidden", `activation: "tanh", ${INPUT}`)}, ${dense("classes", "out")}`);

const overfitting = (trainer: PlanInput["trainer"] = {}): PlanInput => ({
  module: WIDE,
  data: { holdout: 0.3 },
  trainer: {
    epochs: 30,
    batchSize: 16,
    optimizer: { name: "adam", learningRate: 0.02 },
    schedule: { name: "constant" }, // other schedules go by the number of steps
    earlyStopping: { patience: 3, minDelta: 0.001 },
    ...trainer,
  },
});

function newPlace(): Place {
  const place = new Place();
  place.put("a.jsonl", jsonl(noise(0, 90)));
  return place;
}

/** The loss on the holdout of each epoch, as the newest checkpoint has it written down. */
async function lossesOf(place: Place, round = 1): Promise<number[]> {
  const newest = (await place.manifests(round)).at(-1)!;
  const text = new TextDecoder().decode(await place.file({ manifest: newest }, "metrics.jsonl"));
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).holdout?.loss);
}

let stopped: Place;
let result: Result;
let said: readonly string[];
let bits: Record<string, string>;
/** epochs until the best */
let best: number;
beforeAll(async () => {
  stopped = newPlace();
  await stopped.plan(overfitting());
  ({ said } = await stopped.run());
  result = await stopped.result();
  bits = await stopped.bits();
  best = result.epochsAdded;
});

describe("a round whose holdout's loss becomes worse", () => {
  it("stops, and its result is the epoch with the lowest loss", async () => {
    const losses = await lossesOf(stopped);
    expect(best).toBeGreaterThan(1);
    expect(losses.length).toBe(best + 3);
    expect(losses[best - 1]! - 0.001).toBeLessThan(Math.min(...losses));
    expect(result.metrics["loss"]).toBe(losses[best - 1]);
    const batches = result.stepsAdded / best;
    expect(result.checkpoint).toMatchObject({ epoch: best, step: batches * best });
    expect(said.at(-2)).toBe(
      `round 1: stops after epoch ${best + 3}: the loss on the holdout was lowest after epoch ${best}, ${losses[best - 1]!.toFixed(4)}`,
    );
  });

  it("has the weights and figures of a round of just so many epochs", async () => {
    const plain = newPlace();
    const { metrics } = await plain.train(overfitting({ epochs: best, earlyStopping: null }));
    const [ours, theirs] = [result.metrics, metrics].map(withoutRun);
    expect(ours).toEqual(theirs);
    const plainBits = await plain.bits();
    for (const name of ["weights.safetensors", "optimizer.safetensors", "holdout.safetensors", "at"])
      expect(bits[name]).toBe(plainBits[name]);
  });

  it("does the same if its patience ends with its last epoch, and if its epochs end before", async () => {
    for (const epochs of [best + 3, best + 1]) {
      const place = newPlace();
      await place.train(overfitting({ epochs }));
      expect(await place.bits()).toEqual(bits);
      expect((await lossesOf(place)).length).toBe(epochs);
    }
  });

  it("is the round's last epoch where that is the best", async () => {
    const place = newPlace();
    const { checkpoint } = await place.train(overfitting({ epochs: best }));
    expect(checkpoint.epoch).toBe(best);
    expect((await place.bits())["weights.safetensors"]).toBe(bits["weights.safetensors"]);
  });

  it("is watched while the holdout is measured after each epoch, as an evaluation", async () => {
    const place = newPlace();
    await place.plan(overfitting({ epochs: 2 }));
    const begun: string[] = [];
    let goesOn = false;
    const watchdog: Watchdog = {
      begin: (what, step) => {
        begun.push(`${what} ${step}`);
        goesOn = true;
      },
      end: () => void (goesOn = false),
    };
    expect((await place.run({ watchdog })).exit).toBe(0);
    const { stepsAdded } = await place.result();
    const evaluated = begun.filter((what) => what.startsWith("evaluation"));
    expect(evaluated).toEqual([stepsAdded / 2, stepsAdded, stepsAdded].map((step) => `evaluation ${step}`));
    expect(goesOn).toBe(false);
  });

  it("is gone on from in the next round, which counts its own epochs", async () => {
    stopped.put("b.jsonl", jsonl(noise(90, 180)));
    const items = (await stopped.items.list("")).items.filter(({ key }) => key === "b.jsonl");
    const { checkpoint } = result;
    const next = await stopped.train({
      ...overfitting({ epochs: 2 }),
      round: 2,
      parent: { ...checkpoint },
      live: checkpoint,
      items,
    });
    expect(next.checkpoint.epoch).toBe(best + next.epochsAdded);
    expect(next.checkpoint.step).toBe(checkpoint.step + next.stepsAdded);
    const state = JSON.parse(new TextDecoder().decode(await stopped.file(next.checkpoint, "state.json")));
    expect(state.stopping.best).toMatchObject({ step: next.checkpoint.step, epochIndex: next.epochsAdded - 1 });
    expect((await lossesOf(stopped, 2)).length).toBe(best + 2);
  });
});

describe("killed", () => {
  const short = overfitting({ earlyStopping: { patience: 2, minDelta: 0 }, saveEverySteps: 2 });

  it("after any step, it ends on the same checkpoint's contents", async () => {
    const undisturbed = newPlace();
    await undisturbed.train(short);
    const place = newPlace();
    await place.plan(short);
    let exit = 75;
    for (let attempt = 1; exit === 75; attempt++) {
      let asked = 0;
      ({ exit } = await place.run({ attempt, stopAsked: () => ++asked > 1 }));
    }
    expect(exit).toBe(0);
    expect(await place.bits()).toEqual(await undisturbed.bits());
    expect((await place.manifests()).length).toBeGreaterThan((await undisturbed.manifests()).length);
  });

  it("at any call of the store from the best epoch's save on, likewise", async () => {
    const few = { ...short, trainer: { ...short.trainer, batchSize: 64 } };
    const undisturbed = newPlace();
    await undisturbed.plan(few);
    const counted = failingStore(undisturbed.store, Infinity, "before");
    await undisturbed.run({ store: counted.store });
    const expected = await undisturbed.bits();
    for (let call = counted.calls(); call > 0 && call > counted.calls() - 30; call--) {
      const place = newPlace();
      await place.plan(few);
      const { store } = failingStore(place.store, call, call % 2 === 0 ? "before" : "after");
      expect((await place.run({ store })).message).toBe("the power is cut");
      expect((await place.run({ attempt: 2 })).exit).toBe(0);
      expect(await place.bits()).toEqual(expected);
    }
  });

  it("and with the best epoch's checkpoint damaged, it trains that epoch again", async () => {
    const place = newPlace();
    await place.plan(overfitting());
    let asked = 0;
    const steps = result.stepsAdded + result.stepsAdded / best + 1;
    expect((await place.run({ stopAsked: () => ++asked > steps })).exit).toBe(75);
    const [broken] = (await place.keys()).filter(
      (key) =>
        key.includes(`/${String(result.checkpoint.step).padStart(10, "0")}-`) && key.endsWith("weights.safetensors"),
    );
    await place.damage(broken!);
    const { said: again, exit } = await place.run({ attempt: 2 });
    expect(exit).toBe(0);
    expect(again).toContainEqual(expect.stringContaining("the best epoch's, of step"));
    expect(await place.bits()).toEqual(bits);
  });
});

describe("where there is nothing to go by", () => {
  it("all epochs are trained, and that is said: no record in the holdout", async () => {
    const place = newPlace();
    await place.plan({ ...overfitting({ epochs: 5 }), data: { holdout: 1e-9 } });
    const ran = await place.run();
    expect(ran.said).toContain("there is no record in the holdout yet: no early stopping in this round");
    expect(await place.result()).toMatchObject({ epochsAdded: 5 });
  });

  /** NaN wherever it is not trained. */
  const BROKEN = `export default { build: ({ tf, inputShape, classes }) => {
    class Broken extends tf.layers.Layer {
      static className = "Broken";
      call(x, { training }) { return tf.tidy(() => tf.mul([x].flat()[0], training ? 1 : NaN)); }
      computeOutputShape(shape) { return shape; }
    }
    return tf.sequential({ layers: [${dense("classes", "out", INPUT)}, new Broken({ name: "broken" })] });
  } };`;

  it("the round is no result: a loss that is not finite after any epoch", async () => {
    const place = newPlace();
    await place.plan({ ...overfitting({ epochs: 8 }), module: BROKEN });
    const ran = await place.run();
    expect(ran).toMatchObject({ exit: 70, message: expect.stringContaining("not finite after any epoch of round 1") });
    expect(await place.failure()).toMatchObject({ code: "LOSS_NOT_FINITE" });
    expect((await lossesOf(place)).length).toBe(3);
  });

  it("and a training loss that is not finite ends it as ever", async () => {
    const place = newPlace();
    await place.plan({ ...overfitting({ optimizer: { name: "sgd", learningRate: 1e38 } }), module: LINEAR });
    expect(await place.run()).toMatchObject({ exit: 70, message: expect.stringContaining("loss is") });
  });
});

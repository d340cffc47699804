/** The same bits after stops between any two steps, for each optimizer and schedule with all that a step can have. */
import { describe, expect, it } from "vitest";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { FORGETFUL, jsonl, Place, tableRows, type PlanInput } from "./testing/rounds.ts";

type Trainer = NonNullable<PlanInput["trainer"]>;

/** Each optimizer with each schedule and each setting at least once. */
const SETTINGS: Record<string, Trainer> = {
  "sgd, one-cycle, accumulation": {
    optimizer: { name: "sgd", learningRate: 0.05 },
    schedule: { name: "one-cycle" },
    accumulate: 3,
  },
  "Nesterov, step, class weights": {
    optimizer: { name: "sgd", learningRate: 0.02, momentum: 0.9, nesterov: true },
    schedule: { name: "step", every: 0.4, factor: 0.5 },
    classWeights: { high: 3 },
  },
  "adam, exponential, coupled decay, accumulation, class weights, early stopping": {
    optimizer: { name: "adam", learningRate: 0.01 },
    schedule: { name: "exponential" },
    weightDecay: 0.01,
    accumulate: 2,
    classWeights: "balanced",
    earlyStopping: { patience: 1, minDelta: 0.01 },
  },
  "adamw, warm-up and cosine, clipping, smoothing": {
    optimizer: { name: "adamw", learningRate: 0.01 },
    schedule: { name: "warmup-cosine" },
    clip: { norm: 0.5, value: 0.2 },
    labelSmoothing: 0.1,
  },
  "rmsprop, constant": { optimizer: { name: "rmsprop" }, schedule: { name: "constant" } },
  "rmsprop centered with momentum, one-cycle, balanced": {
    optimizer: { name: "rmsprop", centered: true, momentum: 0.5, epsilon: 1e-3 },
    schedule: { name: "one-cycle", warmup: 0.5 },
    classWeights: "balanced",
  },
  "adagrad, step, early stopping": {
    optimizer: { name: "adagrad" },
    schedule: { name: "step" },
    earlyStopping: { patience: 1 },
  },
};

async function newPlace(trainer: Trainer): Promise<Place> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, 45)));
  place.put("b.jsonl", jsonl(tableRows(45, 80)));
  await place.plan({ module: FORGETFUL, trainer: { epochs: 3, batchSize: 24, ...trainer } });
  return place;
}

describe.each([
  ["wasm", WITHOUT_NATIVE],
  ["native", WITH_NATIVE],
] as const)("on %s", (_, backend) => {
  it.skipIf(backend === undefined).each(Object.entries(SETTINGS))("with %s", async (_name, trainer) => {
    const undisturbed = await newPlace(trainer);
    expect((await undisturbed.run({ backend })).message).toBe("");
    const often = await newPlace(trainer);
    let [exit, stops] = [75, 0];
    for (let attempt = 1; exit === 75; attempt++, stops++) {
      let asked = 0;
      ({ exit } = await often.run({ attempt, backend, stopAsked: () => ++asked > 1 }));
    }
    expect(exit).toBe(0);
    expect(stops).toBeGreaterThanOrEqual((await undisturbed.result()).stepsAdded);
    expect(await often.bits()).toEqual(await undisturbed.bits());
  });
});

it("each setting changes the weights", async () => {
  const optimizer = { name: "adam", learningRate: 0.01 } as const;
  const changes: readonly Trainer[] = [
    {},
    { accumulate: 2 },
    { classWeights: "balanced" },
    { labelSmoothing: 0.1 },
    { weightDecay: 0.1 },
    { clip: { norm: 0.1 } },
    { clip: { value: 0.01 } },
    { schedule: { name: "exponential" } },
    { optimizer: { name: "adamw", learningRate: 0.01 } },
  ];
  const weights: (string | undefined)[] = [];
  for (const change of changes) {
    const place = await newPlace({ optimizer, schedule: { name: "constant" }, ...change });
    await place.run();
    weights.push((await place.bits())["weights.safetensors"]);
  }
  expect(new Set(weights).size).toBe(weights.length);
});

it.each(["mse", "mae", "huber"] as const)("a regression by %s learns, and its loss is measured so", async (loss) => {
  const place = new Place();
  const rows = Array.from({ length: 80 }, (_, i) => ({
    x: Math.sin(i),
    y: 2 * Math.sin(i) - 1 + Math.cos(7 * i) / 10,
  }));
  place.put("a.jsonl", jsonl(rows));
  const trainer = { loss, epochs: 20, batchSize: 8, optimizer: { name: "adam", learningRate: 0.1 } } as const;
  const { metrics } = await place.train({ data: { task: "regression", label: "y", holdout: 0.3 }, trainer });
  expect(metrics["loss"] === metrics["mse"]).toBe(loss === "mse");
  expect(metrics["loss"] === metrics["mae"]).toBe(loss === "mae");
  expect(metrics["trainLoss"]).toBeGreaterThan(0);
  expect(metrics["r2"]).toBeGreaterThan(0.9);
});

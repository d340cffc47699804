/** Which batches the loop trains on, and with what: the steps are real ones, listened to. */
import { memory } from "@tensorflow/tfjs-core";
import { expect, it } from "vitest";
import { WITHOUT_NATIVE } from "./testing/backends.ts";
import { learningRateAt } from "./schedule.ts";
import { START, type Position } from "./state.ts";
import { EagerStepper } from "./eager-step.ts";
import { shapeOf, type Batch } from "./step.ts";
import { buildModel } from "./model.ts";
import type { Schema } from "./schema.ts";
import { packed } from "./testing/packing.ts";
import { Place, type PlanInput } from "./testing/rounds.ts";
import { copyOf } from "./testing/steps.ts";
import { loadTf } from "./tf.ts";
import { stepsOf, trainFrom, trainingSet, type StepDone, type TrainHow } from "./train.ts";

interface Heard {
  readonly batch: Batch;
  readonly at: { step: number; update: number; learningRate: number };
  readonly loss: number;
  /** after the step */
  readonly tensors: number;
}

class HeardStepper extends EagerStepper {
  readonly heard: Heard[] = [];
  override run(batch: Batch, at: Heard["at"]): number {
    const loss = super.run(batch, at);
    this.heard.push({ batch: copyOf(batch), at, loss, tensors: memory().numTensors });
    return loss;
  }
}

const schema: Schema = { format: 1, task: "regression", inputShape: [1], classes: [], columns: null, label: null };
const HOLDOUT = [2, 5];
const records = packed(
  {
    count: 13,
    shape: [1],
    features: Float32Array.from({ length: 13 }, (_, i) => i / 10),
    labels: Float32Array.from({ length: 13 }, (_, i) => i),
    names: [],
  },
  { holdout: HOLDOUT },
);

async function heardFrom(
  position: Position,
  updates: number,
  { trainer = {}, steps = 9, ...how }: { trainer?: PlanInput["trainer"]; steps?: number } & TrainHow = {},
): Promise<{ heard: readonly Heard[]; done: StepDone[]; plan: Awaited<ReturnType<Place["plan"]>> }> {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const plan = await new Place().plan({ items: [], trainer: { epochs: 3, batchSize: 4, ...trainer } });
  const model = buildModel(
    tf,
    {
      build: (context) =>
        context.tf.sequential({
          layers: [
            context.tf.layers.dense({ units: 4, inputShape: [1] }),
            context.tf.layers.batchNormalization(),
            context.tf.layers.dropout({ rate: 0.5 }),
            context.tf.layers.dense({ units: 1 }),
          ],
        }),
    },
    plan,
    schema,
  );
  const stepper = new HeardStepper(tf, model, plan, shapeOf(schema, plan.trainer));
  const set = trainingSet(records);
  expect(stepsOf(set, plan)).toBe(steps);
  const done: StepDone[] = [];
  for await (const step of trainFrom(stepper, set, plan, position, updates, how)) done.push(step);
  return { done, heard: stepper.heard, plan };
}

it("each epoch has every record but the holdout's once, in an order of its own, its last batch smaller", async () => {
  const { heard, done, plan } = await heardFrom(START, 100);
  expect(heard.map(({ batch }) => batch.size)).toEqual([4, 4, 3, 4, 4, 3, 4, 4, 3]);
  const epochs = [0, 3, 6].map((from) => heard.slice(from, from + 3).flatMap(({ batch }) => [...batch.y]));
  for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual([0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
  expect(new Set(epochs.map(String)).size).toBe(3);
  for (const { batch } of heard) expect([...batch.x]).toEqual([...batch.y].map((label) => Math.fround(label / 10)));
  // no two steps of a round draw the same dropout, and the optimizer counts on from the rounds before
  expect(heard.map(({ at }) => [at.step, at.update])).toEqual(heard.map((_, i) => [i, 101 + i]));
  expect(heard.map(({ at }) => at.learningRate)).toEqual(
    heard.map((_, step) => learningRateAt(plan.trainer, { step, steps: 9 })),
  );
  expect(done.map(({ epochEnded }) => epochEnded)).toEqual([
    false,
    false,
    true,
    false,
    false,
    true,
    false,
    false,
    true,
  ]);
});

it("from any position on it is the rest of the same steps, and an epoch's loss is the mean over its records", async () => {
  const whole = await heardFrom(START, 0);
  for (const i of [0, 2, 4, 8]) {
    const rest = await heardFrom(whole.done[i]!.position, 0);
    const steps = (heard: readonly Heard[]): unknown => heard.map(({ batch, at }) => ({ batch, at }));
    expect(steps(rest.heard)).toEqual(steps(whole.heard.slice(i + 1)));
  }
  const { position } = whole.done[2]!;
  expect(position).toMatchObject({ epochIndex: 1, batchIndex: 0, step: 3, lossSum: 0, lossRecords: 0 });
  const first = whole.heard.slice(0, 3);
  expect(position.epochLoss).toBeCloseTo(first.reduce((sum, { loss, batch }) => sum + loss * batch.size, 0) / 11, 10);
  expect(whole.done[1]!.position).toMatchObject({ lossRecords: 8, lossSum: first[0]!.loss * 4 + first[1]!.loss * 4 });
});

it("no step leaves a tensor behind, with batch norm and dropout neither", async () => {
  const { heard } = await heardFrom(START, 0);
  expect(new Set(heard.map(({ tensors }) => tensors)).size).toBe(1);
});

it("a step of accumulated batches takes all of their records at once, and the same ones from the worker", async () => {
  const how = { trainer: { accumulate: 2 }, steps: 6 };
  const direct = await heardFrom(START, 0, { ...how, readAhead: { worker: false } });
  expect(direct.heard.map(({ batch }) => batch.size)).toEqual([8, 3, 8, 3, 8, 3]);
  const ahead = await heardFrom(START, 0, { ...how, readAhead: { worker: true } });
  const batches = (heard: readonly Heard[]): unknown => heard.map(({ batch, at }) => ({ batch, at }));
  expect(batches(ahead.heard)).toEqual(batches(direct.heard));
});

it("a step begins once its batch is there: what waits for one does not hang", async () => {
  const began: number[] = [];
  const begin = (step: number): void => void began.push(step);
  const { done } = await heardFrom(START, 0, { begin, readAhead: { worker: true, slots: 1 } });
  expect(began).toEqual(done.map(({ position }) => position.step));
  began.length = 0;
  const program = new URL("data:text/javascript,process.exit(3)");
  await expect(heardFrom(START, 0, { begin, readAhead: { worker: true, program } })).rejects.toThrow("exit code 3");
  expect(began).toEqual([]);
});

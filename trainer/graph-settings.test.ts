/** Every setting of the trainer as one graph: the bits of the step op by op, and TensorFlow's own updates within a bound. */
import { beforeAll, describe, expect, it } from "vitest";
import { EagerStepper } from "./eager-step.ts";
import { GraphStepper } from "./graph-step.ts";
import type { Batch, Stepper } from "./step.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { batchOf, built, distance, stepAt, valuesOf, type Case } from "./testing/steps.ts";
import { loadTf, type Tf } from "./tf.ts";

let tf: Tf;
beforeAll(async () => {
  if (WITH_NATIVE !== undefined) ({ tf } = await loadTf(WITH_NATIVE));
});

let made = 0;

function caseOf(trainer: NonNullable<Case["trainer"]>): Case {
  return {
    inputShape: [5],
    classes: 3,
    trainer,
    build: ({ tf: of }) => {
      const id = made++;
      return of.sequential({
        layers: [
          // no bias: its gradient before batch norm is nothing but rounding, which Adam makes as large as any other
          of.layers.dense({ units: 8, inputShape: [5], activation: "relu", useBias: false, name: `first${id}` }),
          of.layers.batchNormalization({ name: `norm${id}` }),
          of.layers.dropout({ rate: 0.2, name: `drop${id}` }),
          of.layers.dense({ units: 3, name: `last${id}` }),
        ],
      });
    },
  };
}

/** Two batches of 8 and then a smaller one, and so on. */
const SIZES = [8, 8, 5, 8, 8, 5];

const weighted = (batch: Batch): Batch => ({
  ...batch,
  weights: Float32Array.from({ length: batch.y.length }, (_, i) => (i % 3) + 0.5),
});

type Values = ReturnType<typeof valuesOf>;

function trained(
  of: Case,
  kernels: boolean | null,
  { weights = false, tags = false }: { weights?: boolean; tags?: boolean },
): Values {
  const { model, shape, plan } = built(tf, of);
  const tagged = tags ? { ...shape, task: "multi-label" as const, loss: "binary-cross-entropy" as const } : shape;
  const batch = (size: number, index: number): Batch => {
    const plain = batchOf(of, size, index);
    const some = tags
      ? { ...plain, y: Float32Array.from({ length: 3 * size }, (_, i) => ((i * 7 + index) % 5 === 0 ? 1 : 0)) }
      : plain;
    return weights ? weighted(some) : some;
  };
  const stepper: Stepper =
    kernels === null
      ? new EagerStepper(tf, model, plan, tagged)
      : new GraphStepper(tf, model, plan, tagged, { batch: batch(8, 0), sizes: [8, 5], kernels });
  const losses = SIZES.map((size, i) => stepper.run(batch(size, i), stepAt(i)));
  const values = [...valuesOf(stepper), Float32Array.from(losses)];
  stepper.dispose();
  return values;
}

type Setting = [name: string, trainer: NonNullable<Case["trainer"]>, more?: { weights?: boolean; tags?: boolean }];

const SETTINGS: readonly Setting[] = [
  ["sgd", { optimizer: { name: "sgd" } }],
  ["sgd with Nesterov's momentum", { optimizer: { name: "sgd", momentum: 0.9, nesterov: true } }],
  ["adam", { optimizer: { name: "adam" } }],
  ["adamw", { optimizer: { name: "adamw" } }],
  ["rmsprop", { optimizer: { name: "rmsprop", momentum: 0.5 } }],
  ["centered rmsprop", { optimizer: { name: "rmsprop", centered: true, epsilon: 1e-3 } }],
  ["adagrad", { optimizer: { name: "adagrad" } }],
  [
    "clipping, weight decay and label smoothing",
    { clip: { norm: 0.1, value: 0.05 }, weightDecay: 0.1, labelSmoothing: 0.1 },
  ],
  ["weights of records", {}, { weights: true }],
  ["tags", {}, { tags: true }],
  ["tags with weights", {}, { tags: true, weights: true }],
  ["micro-batches", { batchSize: 3, accumulate: 3 }],
  ["micro-batches with weights and clipping", { batchSize: 4, accumulate: 2, clip: { norm: 0.1 } }, { weights: true }],
  ["micro-batches, op by op updates", { batchSize: 3, accumulate: 3, optimizer: { name: "adamw" } }],
];

describe.skipIf(!WITH_NATIVE)("one graph with", () => {
  it.each(SETTINGS)(
    "%s has the bits of op by op, and nearly those with TensorFlow's own updates",
    (_, trainer, more = {}) => {
      const of = caseOf(trainer);
      const eager = trained(of, null, more);
      expect(distance(eager, trained(of, false, more))).toBe(0);
      expect(distance(eager, trained(of, true, more))).toBeLessThan(1e-5);
    },
  );
});

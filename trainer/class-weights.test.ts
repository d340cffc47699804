import { describe, expect, it } from "vitest";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { classWeightsOf, weighted } from "./class-weights.ts";
import { emptyHoldout, extendHoldout, holdoutOf, holdoutTensors } from "./holdout-state.ts";
import type { Records } from "./records.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";
import { newFolder } from "./testing/rounds.ts";
import { batchAt, trainingSet } from "./train.ts";

const trainer = (classWeights: unknown): TrainerConfig => TrainerConfig.parse({ model: "m", classWeights });
const classes = ["a", "b", "c", "d"];

describe("balanced weights", () => {
  it("of classes: each that has records of the round counts as much as the others, together all of them", () => {
    const labels = Int32Array.of(0, 0, 0, 1, 2, 0, 1, 1, 1);
    const rows = Uint32Array.of(0, 1, 2, 3, 4, 5); // 4 of a, 1 of b, 1 of c
    const weights = classWeightsOf(trainer("balanced"), { task: "classification", classes }, labels, rows)!;
    expect([0, 1, 2].map((label) => weights.of(label, 0))).toEqual([6 / 12, 6 / 3, 6 / 3]);
  });

  it("of labels: in each column those that have the class count as much as those that don't", () => {
    const labels = Float32Array.of(1, 0, 1, 0, 1, 1, 1, 0); // 4 records of 2 classes
    const rows = Uint32Array.of(0, 1, 2, 3);
    const weights = classWeightsOf(trainer("balanced"), { task: "multi-label", classes: ["a", "b"] }, labels, rows)!;
    expect([weights.of(1, 0), weights.of(1, 1), weights.of(0, 1)]).toEqual([4 / 8, 4 / 2, 4 / 6]);
  });
});

it("weights by name: of a class, or of its column; others count 1; one that is no class is an error", () => {
  const named = trainer({ b: 3 });
  const labels = Int32Array.of(0, 1);
  const ofClass = classWeightsOf(named, { task: "classification", classes }, labels, Uint32Array.of(0, 1))!;
  expect([ofClass.of(0, 0), ofClass.of(1, 0)]).toEqual([1, 3]);
  const ofColumn = classWeightsOf(named, { task: "multi-label", classes }, new Float32Array(4), Uint32Array.of(0))!;
  expect([ofColumn.of(1, 0), ofColumn.of(0, 1), ofColumn.of(1, 1)]).toEqual([1, 3, 3]);
  expect(() =>
    classWeightsOf(trainer({ x: 1 }), { task: "classification", classes }, labels, Uint32Array.of(0, 1)),
  ).toThrow('trainer.classWeights: "x" is none of the classes a, b, c, d');
  expect(classWeightsOf(trainer(null), { task: "classification", classes }, labels, Uint32Array.of(0))).toBeNull();
});

describe("records of several labels", () => {
  const records: Records = {
    count: 4,
    width: 1,
    features: Float32Array.of(10, 11, 12, 13),
    labels: Float32Array.of(1, 0, 0, 1, 1, 1, 0, 0),
    holdout: Uint8Array.of(0, 1, 0, 0),
  };

  it("come into a batch whole, each label with its weight", () => {
    const schema = { task: "multi-label", classes: ["a", "b"] } as const;
    const weights = classWeightsOf(trainer({ b: 3 }), schema, records.labels, Uint32Array.of(0, 2, 3));
    const batch = batchAt(trainingSet(records, null), Uint32Array.of(2, 0, 1), 0, 2);
    expect(weighted(batch, null)).toBe(batch);
    expect(weighted({ ...batch, weights: Float32Array.of(2, 2, 1, 1) }, weights).weights).toEqual(
      Float32Array.of(2, 6, 1, 3),
    );
    expect(weighted(batch, weights)).toEqual({
      size: 2,
      x: Float32Array.of(13, 10),
      y: Float32Array.of(0, 0, 1, 0),
      weights: Float32Array.of(1, 3, 1, 3),
    });
  });

  it("are kept in the holdout, and read back", async () => {
    const once = extendHoldout(emptyHoldout(1, "multi-label"), records, 1);
    const twice = extendHoldout(once, records, 2);
    expect([...twice.labels]).toEqual([0, 1, 0, 1]);
    expect(holdoutTensors(twice).map(({ name, shape }) => [name, shape])).toEqual([
      ["features", [2, 1]],
      ["labels", [2, 2]],
      ["rounds", [2]],
    ]);
    const path = `${newFolder()}/holdout.safetensors`;
    await writeSafetensors(path, holdoutTensors(twice), ({ data }) => data);
    expect(holdoutOf(await readSafetensors(path, "it"), "it")).toEqual(twice);
  });
});

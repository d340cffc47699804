import { describe, expect, it } from "vitest";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { classWeightsOf, weighted } from "./class-weights.ts";
import { emptyHoldout, extendHoldout, holdoutOf, holdoutTensors } from "./holdout-state.ts";
import type { RecordsOfItem } from "./item-records.ts";
import { Gatherer } from "./packed/gather.ts";
import type { PackedRecords } from "./packed/records.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";
import { packed } from "./testing/packing.ts";
import { newFolder } from "./testing/rounds.ts";

const trainer = (classWeights: unknown): TrainerConfig => TrainerConfig.parse({ model: "m", classWeights });
const classes = ["a", "b", "c", "d"];
const several = { task: "multi-label", classes: ["a", "b"] } as const;

const named = (names: readonly string[]): RecordsOfItem["names"] => names.map((name) => ({ name, record: 0 }));
function ofClass(labels: readonly number[], holdout: readonly number[] = []): PackedRecords {
  const item = { count: labels.length, shape: [1], features: new Float32Array(labels.length), names: named(classes) };
  return packed({ ...item, labels: Int32Array.from(labels) }, { classes, holdout });
}
/** Of the classes a and b. */
function ofClasses(labels: readonly (readonly number[])[], holdout: readonly number[] = []): PackedRecords {
  const item: RecordsOfItem = {
    count: labels.length,
    shape: [1],
    features: Float32Array.from(labels, (_, i) => 10 + i),
    labels: Int32Array.from(labels.flat()),
    offsets: Int32Array.from([0, ...labels.map((_, i) => labels.slice(0, i + 1).flat().length)]),
    names: named(["b", "a"]), // as they came
  };
  return packed(item, { classes: several.classes, holdout });
}

describe("balanced weights", () => {
  it("of classes: each that has records of the round counts as much as the others, together all of them", () => {
    const records = ofClass([0, 0, 0, 1, 2, 0, 1, 1, 1], [6, 7, 8]); // 4 of a, 1 of b, 1 of c
    const weights = classWeightsOf(trainer("balanced"), { task: "classification", classes }, records)!;
    expect([0, 1, 2].map((label) => weights.of(label, 0))).toEqual([6 / 12, 6 / 3, 6 / 3]);
  });

  it("of labels: in each column those that have the class count as much as those that don't", () => {
    const records = ofClasses([[1], [1], [1, 0], [1], [0]], [4]); // 4 records, all with a, one with b
    const weights = classWeightsOf(trainer("balanced"), several, records)!;
    expect([weights.of(1, 0), weights.of(1, 1), weights.of(0, 1)]).toEqual([4 / 8, 4 / 2, 4 / 6]);
  });
});

it("weights by name: of a class, or of its column; others count 1; one that is no class is an error", () => {
  const records = ofClass([0, 1]);
  const byClass = classWeightsOf(trainer({ b: 3 }), { task: "classification", classes }, records)!;
  expect([byClass.of(0, 0), byClass.of(1, 0)]).toEqual([1, 3]);
  const byColumn = classWeightsOf(trainer({ b: 3 }), { task: "multi-label", classes }, records)!;
  expect([byColumn.of(1, 0), byColumn.of(0, 1), byColumn.of(1, 1)]).toEqual([1, 3, 3]);
  expect(() => classWeightsOf(trainer({ x: 1 }), { task: "classification", classes }, records)).toThrow(
    'trainer.classWeights: "x" is none of the classes a, b, c, d',
  );
  expect(classWeightsOf(trainer(null), { task: "classification", classes }, records)).toBeNull();
});

describe("records of several labels", () => {
  const records = ofClasses([[1], [0], [1, 0], []], [1]);

  it("come into a batch whole, each label with its weight", () => {
    const weights = classWeightsOf(trainer({ b: 3 }), several, records);
    const gathering = { records, normalisation: null, augmentation: null, seed: 0, batchSize: 2 };
    using gatherer = new Gatherer(gathering, null);
    const batch = gatherer.batch(Uint32Array.of(2, 0, 1), { epochIndex: 0, batchIndex: 0 });
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
    expect(holdoutOf(readSafetensors(path, "it"), "it")).toEqual(twice);
  });
});

/** What a model has to end in, by task. */
import { beforeAll, describe, expect, it } from "vitest";
import type { ModelDefinition } from "../protocol/model.ts";
import { buildModel, type Model } from "./model.ts";
import { WITHOUT_NATIVE } from "./testing/backends.ts";
import { loadTf, type Tf } from "./tf.ts";

let tf: Tf;
beforeAll(async () => ({ tf } = await loadTf(WITHOUT_NATIVE)));

let built = 0;
function build(task: "classification" | "multi-label" | "regression", activation: "softmax" | "sigmoid"): Model {
  const definition: ModelDefinition = {
    build: ({ tf: given, classes, inputShape }) =>
      given.sequential({
        layers: [
          given.layers.dense({ units: classes, inputShape: [...inputShape], activation, name: `last${built++}` }),
        ],
      }),
  };
  const classes = task === "regression" ? [] : ["a", "b", "c"];
  return buildModel(
    tf,
    definition,
    { seed: 1, trainer: { trainable: null } },
    { format: 1, task, inputShape: [2], classes, columns: null, label: null },
  );
}

describe("a last layer", () => {
  it.each([
    ["classification", "softmax", "the trainer applies softmax itself"],
    ["multi-label", "sigmoid", "the trainer applies sigmoid itself"],
    ["multi-label", "softmax", "applies softmax: the trainer applies sigmoid itself"],
  ] as const)("of %s that applies %s is refused", (task, activation, message) => {
    expect(() => build(task, activation)).toThrow(message);
  });

  it.each([
    ["classification", "sigmoid", 3],
    ["regression", "sigmoid", 1],
  ] as const)("of %s that applies %s is not", (task, activation, units) => {
    expect(build(task, activation).network.outputs[0]!.shape).toEqual([null, units]);
  });
});

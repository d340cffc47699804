/** What `trainer` may ask for on which data. */
import { expect, it } from "vitest";
import { parseConfig } from "./config.ts";
import { TrainerConfig } from "./trainer-config.ts";
import { lossOfTask } from "./task-config.ts";

const parse = (data: object, trainer: object): unknown =>
  parseConfig({
    pipelines: [{ name: "p", data: { format: "csv", ...data }, trainer: { model: "./model.ts", ...trainer } }],
  });

it.each([
  [{}, { loss: "mse" }, 'trainer.loss: "mse" is no loss of classification: one of cross-entropy'],
  [{ task: "regression" }, { loss: "cross-entropy" }, "is no loss of regression: one of mse, mae, huber"],
  [{ task: "regression" }, { labelSmoothing: 0.1 }, "trainer.labelSmoothing: values have no classes"],
  [{ task: "regression" }, { classWeights: "balanced" }, "trainer.classWeights: values have no classes"],
  [{ labels: ["a", "b"] }, { classWeights: { c: 2 } }, 'trainer.classWeights: "c" is none of the classes a, b'],
  [{}, { weightDecay: 0.1, optimizer: { name: "adamw" } }, "trainer.weightDecay: adamw has a decay of its own"],
  [{ holdout: 0 }, { earlyStopping: {} }, "trainer.earlyStopping: there is no loss to go by with data.holdout: 0"],
])("%j with %j is no config", (data, trainer, message) => {
  expect(() => parse(data, trainer)).toThrow(
    `p: ${message.startsWith("is") ? 'trainer.loss: "cross-entropy" ' : ""}${message}`,
  );
});

it.each([
  [{}, { loss: "cross-entropy", labelSmoothing: 0.1, classWeights: "balanced", earlyStopping: {} }],
  [{ labels: ["a", "b"] }, { classWeights: { b: 2 } }],
  [{ task: "multi-label" }, { loss: "binary-cross-entropy", labelSmoothing: 0.1, classWeights: { b: 2 } }],
  [{ task: "regression" }, { loss: "huber", weightDecay: 0.1, optimizer: { name: "rmsprop" } }],
  [{}, { optimizer: { name: "adamw", weightDecay: 0.1 }, clip: { norm: 1 } }],
])("%j with %j is one", (data, trainer) => {
  expect(() => parse(data, trainer)).not.toThrow();
});

it("the loss is the task's, if nothing is said", () => {
  const trainer = TrainerConfig.parse({ model: "m" });
  expect(lossOfTask("classification", trainer)).toBe("cross-entropy");
  expect(lossOfTask("multi-label", trainer)).toBe("binary-cross-entropy");
  expect(lossOfTask("regression", trainer)).toBe("mse");
  expect(lossOfTask("regression", { loss: "mae" })).toBe("mae");
});

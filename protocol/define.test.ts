import { expect, expectTypeOf, it } from "vitest";
import { defineConfig, defineModel, definePipeline, type ModelContext, type PipelineInput } from "../index.ts";
import { parseConfig } from "./config.ts";

it("returns what it is given, typed, and the schema takes it", () => {
  const digits = definePipeline({
    name: "digits",
    data: { format: "idx" },
    trainer: { model: "./model.ts" },
    trigger: { quietPeriod: "2 min" },
  });
  expectTypeOf(digits).toEqualTypeOf<PipelineInput>();
  const config = defineConfig({ pipelines: [digits] });
  expect(config.pipelines[0]).toBe(digits);
  expect(parseConfig(config).pipelines[0]?.trigger.quietPeriod).toBe(120_000);
});

it("hands build() all of TensorFlow.js, and takes the model that it makes", () => {
  const definition = defineModel({
    build: ({ tf, inputShape, classes, seed }) =>
      tf.sequential({
        layers: [
          tf.layers.flatten({ inputShape: [...inputShape] }),
          tf.layers.dense({ units: classes, kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
        ],
      }),
  });
  expectTypeOf(definition.build).parameter(0).toEqualTypeOf<ModelContext>();
  expectTypeOf<ModelContext["tf"]["tensor"]>().toBeFunction();
});

import { defineConfig } from "@accrete/pipeline";
import { burst, COMPUTE } from "../burst-pipeline.ts";

/** What the chain's tests deploy, beside the demo's. */
export default defineConfig({
  pipelines: [
    {
      name: "digits",
      data: { prefix: "digits/", format: "idx", holdout: 0.15 },
      trainer: {
        model: "../../../examples/digits/model.ts",
        epochs: 6,
        batchSize: 32,
        optimizer: { name: "adam", learningRate: 0.001 },
        saveEverySteps: 100,
      },
      trigger: { quietPeriod: "1 s" },
      gate: { metric: "accuracy", maxDrop: 0.02, onFail: "hold" },
      compute: COMPUTE,
    },
    burst(200),
  ],
  aws: { stage: "chain", image: "accrete-trainer:localstack" },
});

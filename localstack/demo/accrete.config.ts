import { defineConfig } from "@accrete/pipeline";

/** examples/digits, on what this machine has. The image is only named: jobs are processes of the clone's own trainer. */
export default defineConfig({
  pipelines: [
    {
      name: "digits",
      data: { prefix: "digits/", format: "idx", holdout: 0.15 },
      trainer: {
        model: "../../examples/digits/model.ts",
        epochs: 6,
        batchSize: 32,
        optimizer: { name: "adam", learningRate: 0.001 },
        saveEverySteps: 100,
      },
      trigger: { quietPeriod: "5 s" },
      gate: { metric: "accuracy", maxDrop: 0.02, onFail: "hold" },
      compute: { gpus: 0, vcpus: 1, memory: "2 GiB" },
    },
  ],
  aws: { image: "accrete-trainer:localstack", dashboard: true },
});

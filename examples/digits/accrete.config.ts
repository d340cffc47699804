import { defineConfig } from "@accrete/pipeline";

/** Handwritten digits, 28 x 28 grey pixels, as IDX files: an array of pictures, then an array of their labels. */
export default defineConfig({
  pipelines: [
    {
      name: "digits",
      data: { prefix: "digits/", format: "idx", holdout: 0.15 },
      trainer: {
        model: "./model.ts",
        epochs: 6,
        batchSize: 32,
        optimizer: { name: "adam", learningRate: 0.001 },
        saveEverySteps: 100,
      },
      // how long no data may arrive before a round starts: short, as a folder is watched here
      trigger: { quietPeriod: "1 s" },
      gate: { metric: "accuracy", maxDrop: 0.02, onFail: "hold" },
    },
  ],
});

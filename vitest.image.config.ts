/** Tests that need a Docker engine, of the trainer's image and of the small Batch: `npm run test:image`. */
import { defineConfig } from "vitest/config";

const isForGpus = process.env["ACCRETE_IMAGE_GPU"] === "1";

export default defineConfig({
  test: {
    include: isForGpus
      ? ["test/image/**/*.gpu-image.test.ts"]
      : ["test/image/**/*.image.test.ts", "localstack/batch/*.image.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    // each has a container with TensorFlow in it
    maxWorkers: 2,
    maxConcurrency: 2,
  },
});

/** Tests of the trainer's image, which need a Docker engine: `npm run test:image`. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [`test/image/**/*.${process.env["ACCRETE_IMAGE_GPU"] === "1" ? "gpu-image" : "image"}.test.ts`],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    // each has a container with TensorFlow in it
    maxWorkers: 2,
    maxConcurrency: 2,
  },
});

/** Tests of the trainer's image, which need a Docker engine: `npm run test:image`. One at a time, as they share it. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/image/**/*.image.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "forks",
    fileParallelism: false,
  },
});

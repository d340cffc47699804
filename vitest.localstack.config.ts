import { defineConfig } from "vitest/config";

/** What needs LocalStack: npm run test:localstack. One is started for all, with the demo's stacks. */
export default defineConfig({
  test: {
    include: ["localstack/**/*.localstack.test.ts"],
    globalSetup: ["localstack/testing/global-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    // their figures would be each other's
    fileParallelism: false,
  },
});

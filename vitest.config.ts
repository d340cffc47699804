import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{protocol,ledger,adapters,trainer,cli,test,scripts,examples}/**/*.test.ts"],
    // real processes and real files: a busy machine must not fail a test by its clock
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
  },
});

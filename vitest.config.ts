import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "{protocol,ledger,adapters,functions,image,infra,trainer,cli,localstack,test,scripts,examples}/**/*.test.ts",
    ],
    // minutes or gigabytes: with ACCRETE_SLOW=1; a Docker engine: vitest.image.config.ts
    exclude: [
      ...configDefaults.exclude,
      "**/*.{image,gpu-image}.test.ts",
      "**/*.localstack.test.ts",
      ...(process.env["ACCRETE_SLOW"] === "1" ? [] : ["**/*.slow.test.ts"]),
    ],
    // real processes and real files: a busy machine must not fail a test by its clock
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
  },
});

import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** By name, and *.last.* after all others: it judges what they have done. */
class ByName extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = ({ moduleId }: TestSpecification): string => (moduleId.includes(".last.") ? "1" : "0") + moduleId;
    return files.toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
  }
}

/** What needs LocalStack: npm run test:localstack. One is started for all, with the demo's stacks. */
export default defineConfig({
  test: {
    include: ["localstack/**/*.localstack.test.ts"],
    // what takes minutes: npm run full
    exclude: [...configDefaults.exclude, ...(process.env["ACCRETE_SLOW"] !== "1" ? ["**/*.slow.*"] : [])],
    globalSetup: ["localstack/testing/global-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    // their figures would be each other's
    fileParallelism: false,
    sequence: { sequencer: ByName },
  },
});

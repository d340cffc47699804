import { it } from "vitest";
import { cloudOfTests } from "./testing/cloud-of-tests.ts";
import { learnsBurst } from "./testing/burst.ts";
import { deployedPipeline } from "./testing/pipeline-of-tests.ts";

it("learns each of 2,000 contents once, in one round of at most 40 segments", async () => {
  await learnsBurst(await deployedPipeline(cloudOfTests(), "flood", "burst"), 2_000);
}, 600_000);

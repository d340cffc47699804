/** What the pipeline asks of its jobs, by the SDK over HTTP. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBatchJobs } from "../../adapters/batch-jobs.ts";
import type { Jobs } from "../../protocol/ports.ts";
import { jobsKeepTheirPromises } from "../../test/contract/jobs.ts";
import { openProcessRunner } from "./process-runner.ts";
import { clientOf, DEFINITION, openTestBatch, QUEUE } from "./testing/batch.ts";

const BEHAVING = fileURLToPath(new URL("../../test/contract/behaving-job.ts", import.meta.url));

jobsKeepTheirPromises("the Batch server, processes", async () => {
  const batch = await openTestBatch({
    runner: openProcessRunner({ entrypointOf: () => [process.execPath, BEHAVING], env: process.env }),
    secondMs: 10,
  });
  const jobsOf = (): Jobs => {
    const jobs = openBatchJobs({ client: clientOf(batch.server.url), queue: QUEUE, onDemandQueue: "" });
    return {
      ...jobs,
      submit: (request) =>
        jobs.submit({
          ...request,
          jobDefinition: `${DEFINITION}:1`,
          // the shortest time-out is a minute, which is 600 ms here; the other one must not be short
          timeLimitMs: request.timeLimitMs === 500 ? 60_000 : 100_000_000,
        }),
    };
  };
  return {
    jobs: jobsOf(),
    reopen: async () => jobsOf(),
    logFile: ({ log = "" }) => join(batch.options.folder, "attempts", log.split("/").at(-1) ?? "", "log.txt"),
    close: batch.close,
  };
});

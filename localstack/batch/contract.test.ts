/** What the pipeline asks of its jobs, by the SDK over HTTP: the client is the ledger's own, which learns from its environment where Batch is. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BatchClient } from "@aws-sdk/client-batch";
import { vi } from "vitest";
import { awsClientOptions } from "../../adapters/aws-client.ts";
import { openBatchJobs } from "../../adapters/batch-jobs.ts";
import type { Jobs } from "../../protocol/ports.ts";
import { jobsKeepTheirPromises } from "../../test/contract/jobs.ts";
import { clientEnv } from "../environment.ts";
import { openProcessRunner } from "./process-runner.ts";
import { DEFINITION, openTestBatch, QUEUE } from "./testing/batch.ts";

const BEHAVING = fileURLToPath(new URL("../../test/contract/behaving-job.ts", import.meta.url));

jobsKeepTheirPromises("the Batch server, processes", async () => {
  const batch = await openTestBatch({
    runner: openProcessRunner({ entrypointOf: () => [process.execPath, BEHAVING], env: process.env }),
    secondMs: 10,
  });
  for (const [name, value] of Object.entries(clientEnv({ endpoint: "http://127.0.0.1:1", batch: batch.server.url })))
    vi.stubEnv(name, value);
  const jobsOf = (): Jobs => {
    // as functions/compose.ts opens it
    const client = new BatchClient(awsClientOptions({ keepAlive: false }));
    const jobs = openBatchJobs({ client, queue: QUEUE, onDemandQueue: "" });
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
    close: async () => {
      vi.unstubAllEnvs();
      await batch.close();
    },
  };
});

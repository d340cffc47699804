/** A deployed pipeline as a place to type commands, and to look into. */
import { BatchClient } from "@aws-sdk/client-batch";
import { S3Client } from "@aws-sdk/client-s3";
import { openBatchJobs } from "../../adapters/batch-jobs.ts";
import { loadConfigFile } from "../../adapters/config-file.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { bucketOf } from "../../adapters/stack-outputs.ts";
import { readStatus, type Status } from "../../ledger/status.ts";
import type { InspectPorts } from "../../ledger/inspect.ts";
import { until } from "../../scripts/workspace.ts";
import { runCli } from "../../test/run-cli.ts";
import type { DeployedPipeline } from "../deploy.ts";
import { ACCOUNT } from "../environment.ts";
import { clientOptions, type CloudOfTests } from "./cloud-of-tests.ts";
import type { Place } from "./cli-script.ts";

const LOOK_MS = 300;
/** A round of seconds, on a machine that is busy with other things. */
const ROUND_MS_MAX = 120_000;

export async function portsOf(
  cloud: CloudOfTests,
  folder: string,
  { name, stack }: DeployedPipeline,
): Promise<InspectPorts> {
  const { config: file } = await loadConfigFile(folder);
  const config = file.pipelines.find((one) => one.name === name);
  if (config === undefined) throw new Error(`the config has no ${name}`);
  const { StateUrl, JobQueue: queue, OnDemandJobQueue: onDemandQueue } = stack.outputs;
  const client = new S3Client(clientOptions(cloud));
  return {
    config,
    store: openS3Store({ client, ...bucketOf(StateUrl), owner: ACCOUNT }),
    jobs: openBatchJobs({
      client: new BatchClient({ ...clientOptions(cloud), endpoint: cloud.batch }),
      queue,
      onDemandQueue,
    }),
  };
}

export const untilStatus = (ports: InspectPorts, what: string, is: (status: Status) => boolean): Promise<Status> =>
  until(
    `${ports.config.name}: ${what}`,
    ROUND_MS_MAX,
    async () => {
      const status = await readStatus(ports);
      return is(status) ? status : undefined;
    },
    LOOK_MS,
  );

/** Nothing goes on, or nothing can. */
export const hasSettled = ({ next }: Status): boolean => next.is === "idle" || next.is === "blocked";

/** @param broken as writeWorkspace() answers it */
export function stackPlace(at: {
  cloud: CloudOfTests;
  ports: InspectPorts;
  stack: string;
  folder: string;
  broken: string;
}): Place {
  const { cloud, ports, stack, folder, broken } = at;
  return {
    folder,
    broken,
    // named by the environment, so that advice need not
    run: (...args) => runCli(folder, args, { ...cloud.env, ACCRETE_STACK: stack }),
    takenIn: async () => void (await untilStatus(ports, "what was added", ({ waiting }) => waiting !== null)),
    settled: async () => void (await untilStatus(ports, "the end of a round", hasSettled)),
  };
}

/** The same pipeline on a directory; nobody runs the loop but where it is asked to settle. */
export function directoryPlace(at: { pipeline: string; folder: string; broken: string }): Place {
  const { pipeline, folder, broken } = at;
  const run: Place["run"] = (...args) => runCli(folder, [...args, "--pipeline", pipeline]);
  return {
    folder,
    broken,
    run,
    takenIn: async () => undefined,
    settled: async () => void (await run("up", "--once")),
  };
}

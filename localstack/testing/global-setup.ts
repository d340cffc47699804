/** One cloud for all of test:localstack, with the demo's stacks in it. */
import type { TestProject } from "vitest/node";
import { startCloud } from "../cloud.ts";
import { deploy, DEMO } from "../deploy.ts";
import { Phases } from "../phases.ts";
import type { CloudOfTests } from "./cloud-of-tests.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const phases = new Phases();
  const cloud = await startCloud({ phases, graceSeconds: 5, recordsCalls: true });
  try {
    const { assembly, leftOut = [], pipelines } = await deploy({ cloud, phases, config: DEMO });
    const { endpoint, batch, env, folder, pids } = cloud;
    const [pipeline] = pipelines;
    if (pipeline === undefined) throw new Error("the demo has a pipeline");
    const provided: CloudOfTests = {
      endpoint,
      batch,
      env,
      folder,
      pids,
      assembly,
      leftOut,
      outputs: pipeline.stack.outputs,
    };
    project.provide("cloud", provided);
  } catch (error) {
    await cloud.stop();
    throw error;
  }
  return async () => {
    await phases.time("stop", cloud.stop);
    phases.total("in all");
  };
}

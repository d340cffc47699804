/** The stacks of an accrete.config.ts on an AWS of this machine: the same templates as on AWS, deployed as there. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CloudFormationClient } from "@aws-sdk/client-cloudformation";
import { loadConfigFile } from "../adapters/config-file.ts";
import { readStack, type Stack } from "../adapters/stack-outputs.ts";
import { pipelineStackName } from "../infra/names.ts";
import { runCdk } from "./cdk.ts";
import type { Cloud } from "./cloud.ts";
import { ACCOUNT, CREDENTIALS, LEFT_OUT, REGION } from "./environment.ts";
import type { Phases } from "./phases.ts";

/** Digits, on what this machine has. */
export const DEMO = resolve(import.meta.dirname, "demo");

/** What a deploy has to know of a cloud. */
export type CloudPlace = Pick<Cloud, "endpoint" | "env" | "folder" | "pids">;

export interface DeployOptions {
  readonly cloud: CloudPlace;
  readonly phases: Phases;
  /** folder or file of the accrete.config.ts */
  readonly config: string;
  /** of the assembly, in the cloud's folder: for stacks beside others @default "cdk.out" */
  readonly name?: string;
  /** false: an earlier deploy has done it @default true */
  readonly bootstrap?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A pipeline, as its stack's outputs name its things. */
export interface DeployedPipeline {
  readonly name: string;
  readonly stack: Stack;
  /** of its data's keys */
  readonly prefix: string;
}

export interface Deployed {
  readonly pipelines: readonly DeployedPipeline[];
  /** with the templates that were deployed */
  readonly assembly: string;
  /** types of resources that LocalStack passed over, sorted; undefined of one that was not started here */
  readonly leftOut: readonly string[] | undefined;
}

/** @throws {Error} what CDK said last */
export async function deploy(options: DeployOptions): Promise<Deployed> {
  const { cloud, phases, config: path, name = "cdk.out", bootstrap = true, signal } = options;
  const { config } = await loadConfigFile(path);
  const assembly = join(cloud.folder, name);
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const at = { env: cloud.env, folder: cloud.folder, signal: either };
  // at the same time: a synth needs nothing of the account
  await allOf(failed, [
    // where there is no app, which it would run
    ...(bootstrap
      ? [
          phases.time("cdk bootstrap", () =>
            runCdk(["bootstrap", `aws://${ACCOUNT}/${REGION}`], { ...at, cwd: cloud.folder }),
          ),
        ]
      : []),
    phases.time("cdk synth", () => synth(path, assembly, { ...at, env: {} })),
  ]);
  const all = ["deploy", "--all", "--require-approval", "never", "--app", assembly, "--output", assembly];
  await phases.time("cdk deploy", () => runCdk(all, at));
  const leftOut = "LocalStack" in cloud.pids ? leftOutOf(readFileSync(join(cloud.folder, LOG), "utf8")) : undefined;
  const more = leftOut?.filter((type) => !LEFT_OUT.some((one) => one === type)) ?? [];
  if (more.length > 0) throw new Error(`LocalStack has passed over ${more.join(", ")}: it can't make these`);
  const { endpoint } = cloud;
  const client = new CloudFormationClient({ endpoint, region: REGION, credentials: CREDENTIALS });
  const pipelines: DeployedPipeline[] = [];
  for (const { name, data } of config.pipelines)
    pipelines.push({
      name,
      prefix: data.prefix,
      stack: await readStack(client, pipelineStackName(config.aws.stage, name)),
    });
  client.destroy();
  return { assembly, leftOut, pipelines };
}

/** As `npx cdk destroy --all`: what is to outlive its stack stays. @param assembly as deploy() has answered it */
export async function destroy(cloud: CloudPlace, assembly: string): Promise<void> {
  await runCdk(["destroy", "--all", "--force", "--app", assembly], cloud);
}

/** All have ended when it returns, also where one has failed. */
async function allOf(failed: AbortController, acts: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(
    acts.map((act) =>
      act.catch((error: unknown) => {
        failed.abort(error);
        throw failed.signal.reason;
      }),
    ),
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

const LOG = "logs/localstack.log";

/** @param log of LocalStack @returns types, sorted */
export function leftOutOf(log: string): string[] {
  return [...new Set([...log.matchAll(/No resource provider found for "([\w:]+)"/g)].map(([, type]) => type!))].sort();
}

/** The templates, as they are for any account. */
export async function synth(
  config: string,
  assembly: string,
  at: {
    readonly env: Readonly<Record<string, string>>;
    readonly folder: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  await runCdk(["synth", "--quiet", "--all", "--context", `config=${config}`, "--output", assembly], at);
}

/** Names of the templates' files in an assembly, sorted. */
export function templatesOf(assembly: string): string[] {
  return readdirSync(assembly)
    .filter((name) => name.endsWith(".template.json"))
    .sort();
}

/** A deployed pipeline, looked at and fed from outside, as its users do. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CloudFormationClient } from "@aws-sdk/client-cloudformation";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { openS3Store } from "../../adapters/s3-store.ts";
import { bucketOf, readStack, type Stack } from "../../adapters/stack-outputs.ts";
import { pipelineStackName } from "../../infra/names.ts";
import { listInbox, needDocument, readEntry, readHead, readLive } from "../../ledger/read.ts";
import { planKey } from "../../protocol/keys.ts";
import type { Store } from "../../protocol/ports.ts";
import type { Plan, RoundEntry } from "../../protocol/types.ts";
import { until } from "../../scripts/workspace.ts";
import { runCli, type CliResult } from "../../test/run-cli.ts";
import { deploy } from "../deploy.ts";
import { ACCOUNT } from "../environment.ts";
import { Phases } from "../phases.ts";
import { clientOptions, type CloudOfTests } from "./cloud-of-tests.ts";

const LOOK_MS = 250;

/**
 * A pipeline beside the demo's, which is other tests' too: deployed into the cloud of all tests by the first one that asks for it.
 * @param config a folder beside this file, named as its stage @param name of the pipeline
 */
export async function deployedPipeline(cloud: CloudOfTests, config: string, name: string): Promise<PipelineOfTests> {
  const path = join(import.meta.dirname, config);
  const folder = join(cloud.folder, config);
  const done = join(folder, "deployed.json");
  if (!existsSync(done)) {
    for (const each of ["logs", "home"]) mkdirSync(join(folder, each), { recursive: true });
    const at = { ...cloud, folder, pids: {} };
    await deploy({ cloud: at, phases: new Phases(), config: path, bootstrap: false });
    writeFileSync(done, "");
  }
  const client = new CloudFormationClient(clientOptions(cloud));
  const stack = await readStack(client, pipelineStackName(config, name));
  client.destroy();
  return new PipelineOfTests(cloud, path, stack);
}

export class PipelineOfTests {
  readonly outputs: Stack["outputs"];
  readonly store: Store;
  readonly s3: S3Client;
  /** name */
  readonly data: string;
  readonly #cloud: CloudOfTests;
  readonly #config: string;
  readonly #stack: string;

  constructor(cloud: CloudOfTests, config: string, stack: Stack) {
    this.#cloud = cloud;
    this.#config = config;
    this.#stack = stack.name;
    this.outputs = stack.outputs;
    this.s3 = new S3Client(clientOptions(cloud));
    this.data = bucketOf(stack.outputs.DataUrl).bucket;
    this.store = openS3Store({ client: this.s3, ...bucketOf(stack.outputs.StateUrl), owner: ACCOUNT });
  }

  async put(key: string, body: Uint8Array | string): Promise<void> {
    await this.s3.send(new PutObjectCommand({ Bucket: this.data, Key: key, Body: body }));
  }

  async seq(): Promise<number> {
    return (await readHead(this.store)).head.seq;
  }

  /** Waits for its commit and what follows it, which deletes its segments. @throws after `limitMs` */
  async round(round: number, limitMs: number): Promise<{ readonly entry: RoundEntry; readonly plan: Plan }> {
    await until(
      `the commit of round ${round}`,
      limitMs,
      async () => ((await readLive(this.store)).live.seq >= round ? true : undefined),
      LOOK_MS,
    );
    const { document: entry } = await readEntry(this.store, round);
    if (entry.kind !== "round") throw new Error(`entry ${round} is a ${entry.kind}`);
    const { document: plan } = await needDocument(this.store, "plan", planKey(round), `round ${round}`);
    return { entry, plan };
  }

  /** sha256 of the files of an entry's checkpoint, by their names. */
  async digests({ checkpoint, seq }: RoundEntry): Promise<Record<string, string>> {
    if (checkpoint === null) throw new Error(`entry ${seq} has no checkpoint`);
    const { document } = await needDocument(this.store, "manifest", checkpoint.manifest, `entry ${seq}`);
    return Object.fromEntries(document.files.map(({ name, sha256 }) => [name, sha256]));
  }

  /** Segments that wait. */
  async waiting(): Promise<number> {
    return (await listInbox(this.store)).segments.length;
  }

  /** `accrete --stack ... ` */
  accrete(...args: readonly string[]): Promise<CliResult> {
    return runCli(this.#config, [...args, "--stack", this.#stack], this.#cloud.env);
  }
}

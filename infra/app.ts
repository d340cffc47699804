/** What `npx cdk` runs: the stacks of the user's accrete.config.ts, or of examples/digits where there is none yet. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { App } from "aws-cdk-lib";
import { loadConfigFile } from "../adapters/config-file.ts";
import { AccreteError } from "../protocol/errors.ts";
import { pipelineCode, trainerImage } from "./assets.ts";
import type { PipelineCode } from "./code.ts";
import { checkByNag } from "./nag.ts";
import { addStacks } from "./stacks.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

const app = new App();
try {
  checkByNag(app);
  const { config, folder } = await loadConfigFile(configPath(app.node.tryGetContext("config")));
  const codes = new Map<string, PipelineCode>();
  for (const pipeline of config.pipelines) codes.set(pipeline.name, await pipelineCode({ pipeline, folder }));
  // an image that is there needs no digest of the trainer's sources
  const image = config.aws.image === null ? await trainerImage({ pipelines: config.pipelines, ...baseOf(app) }) : {};
  addStacks(app, config, codes, image);
  app.synth();
  // CDK's CLI logs in to the repository by Docker's before it runs what builds: where there is none, that never comes to say so
  if (Object.keys(image).length > 0 && !hasDocker())
    console.error(
      "No Docker here: `cdk deploy` stops before it changes anything, unless the repository has the trainer's image already. " +
        "Install Docker, or name an image in compute.image or aws.image: docs/operations.md",
    );
} catch (error) {
  if (!(error instanceof AccreteError)) throw error;
  console.error(`${error.code}: ${error.message}\n${error.advice}`);
  process.exitCode = 1;
}

/** Whether the program is there that CDK's CLI would run; asks no engine. */
function hasDocker(): boolean {
  return spawnSync(process.env["CDK_DOCKER"] ?? "docker", ["--version"], { stdio: "ignore" }).error === undefined;
}

/** `-c base=REFERENCE`: what the trainer's image is built on, such as a mirror's copy. */
function baseOf(app: App): { readonly base?: string } {
  const base: unknown = app.node.tryGetContext("base");
  return typeof base === "string" ? { base } : {};
}

/** `-c config=PATH`, else accrete.config.ts here, else the example. */
function configPath(named: unknown): string {
  if (typeof named === "string") return resolve(named);
  const own = ["ts", "mts", "js", "mjs"].some((end) => existsSync(`accrete.config.${end}`));
  return own ? process.cwd() : join(ROOT, "examples/digits");
}

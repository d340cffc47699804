/** What `npx cdk` runs: the stacks of the user's accrete.config.ts, or of examples/digits where there is none yet. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { App } from "aws-cdk-lib";
import { loadConfigFile } from "../adapters/config-file.ts";
import { AccreteError } from "../protocol/errors.ts";
import { pipelineCode } from "./assets.ts";
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
  addStacks(app, config, codes);
  app.synth();
} catch (error) {
  if (!(error instanceof AccreteError)) throw error;
  console.error(`${error.code}: ${error.message}\n${error.advice}`);
  process.exitCode = 1;
}

/** `-c config=PATH`, else accrete.config.ts here, else the example. */
function configPath(named: unknown): string {
  if (typeof named === "string") return resolve(named);
  const own = ["ts", "mts", "js", "mjs"].some((end) => existsSync(`accrete.config.${end}`));
  return own ? process.cwd() : join(ROOT, "examples/digits");
}

/** Templates of a config, made once for a test file; the functions' code is a stand-in of a few bytes, the trainer's image a name. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { parseConfig, type ConfigInput, type PipelineInput } from "../../protocol/config.ts";
import { checkByNag } from "../nag.ts";
import { pipelineStackName, platformStackName } from "../names.ts";
import { addStacks } from "../stacks.ts";

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Condition?: string;
}

export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, { readonly Value: unknown }>>;
  readonly Parameters?: Readonly<Record<string, unknown>>;
}

export interface Synthesised {
  readonly folder: string;
  readonly platform: Template;
  /** by the pipeline's name */
  readonly pipelines: Readonly<Record<string, Template>>;
}

export const IMAGES = {
  cpu: { digest: "c".repeat(64), executable: ["/node", "/image/build.ts"] },
  gpu: { digest: "9".repeat(64), executable: ["/node", "/image/build.ts", "--gpu"] },
} as const;

export function pipeline(input: Partial<PipelineInput> = {}): PipelineInput {
  return {
    name: "digits",
    data: { prefix: "digits/", format: "idx" },
    trainer: { model: "./model.ts", epochs: 1, batchSize: 32 },
    ...input,
  };
}

/**
 * Synthesises as `npx cdk synth` does, with the feature flags of cdk.json and cdk-nag as a plugin: a finding makes it throw.
 * @param folder where the templates and the code go
 */
export function synthesise(folder: string, input: ConfigInput): Synthesised {
  const config = parseConfig(input);
  const { stage } = config.aws;
  const code = (name: string): string => {
    const made = join(folder, "code", name);
    mkdirSync(made, { recursive: true });
    writeFileSync(join(made, "index.mjs"), "export const handler = () => {};\n");
    return made;
  };
  const app = new App({
    outdir: join(folder, "out"),
    context: { ...context(), "aws:cdk:disable-version-reporting": true },
  });
  checkByNag(app);
  addStacks(
    app,
    config,
    new Map(
      config.pipelines.map(({ name }) => [
        name,
        { intake: code(`${name}-intake`), ledger: code(`${name}-ledger`), version: "0.0.0" },
      ]),
    ),
    IMAGES,
  );
  app.synth();
  const template = (name: string): Template =>
    JSON.parse(readFileSync(join(folder, "out", `${name}.template.json`), "utf8"));
  return {
    folder: join(folder, "out"),
    platform: template(platformStackName(stage)),
    pipelines: Object.fromEntries(config.pipelines.map(({ name }) => [name, template(pipelineStackName(stage, name))])),
  };
}

function context(): Record<string, unknown> {
  const parsed: { context: Record<string, unknown> } = JSON.parse(
    readFileSync(new URL("../../cdk.json", import.meta.url), "utf8"),
  );
  return parsed.context;
}

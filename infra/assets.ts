/** The code of a pipeline's functions, as folders that CDK takes for assets: bundles, the config, and the model's module. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { bundleModel } from "../adapters/config-file.ts";
import type { PipelineConfig, PipelineInput } from "../protocol/config.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { checkedPipelines } from "./checked-pipelines.ts";
import type { PipelineCode } from "./code.ts";

/**
 * Bundles the functions and the model of a pipeline. The same sources give the same bytes.
 * @param options.folder that of accrete.config.ts: `trainer.model` is relative to it
 * @param options.out where the folders are made @default a temporary folder, removed when the process ends
 * @throws {AccreteError} CONFIG_INVALID, MODEL_NOT_LOADABLE
 */
export async function pipelineCode(options: {
  readonly pipeline: PipelineInput | PipelineConfig;
  readonly folder: string;
  readonly out?: string;
}): Promise<PipelineCode> {
  const [pipeline] = checkedPipelines([options.pipeline]);
  if (pipeline === undefined) throw new Error("one pipeline was checked");
  const out = options.out ?? temporaryFolder();
  const [intake, ledger, model] = await Promise.all([
    bundleFunction("intake"),
    bundleFunction("ledger"),
    bundleModel(options.folder, pipeline),
  ]);
  const config = canonicalJson(pipeline);
  return {
    intake: written(join(out, pipeline.name, "intake"), { "index.mjs": intake, "config.json": config }),
    ledger: written(join(out, pipeline.name, "ledger"), {
      "index.mjs": ledger,
      "config.json": config,
      "model.mjs": model.body,
    }),
  };
}

function written(folder: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, body] of Object.entries(files)) writeFileSync(join(folder, name), body);
  return folder;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "accrete-code-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function bundleFunction(name: "intake" | "ledger"): Promise<Uint8Array> {
  const end = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../functions/${name}.${end}`, import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node24",
    mainFields: ["module", "main"], // the SDK's CommonJS is half as large again
    legalComments: "none",
    logLevel: "silent",
    banner: { js: 'import{createRequire}from"node:module";const require=createRequire(import.meta.url);' },
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error(`nothing was bundled for ${name}`);
  return output.contents;
}

/** The code of a pipeline's functions, as folders that CDK takes for assets: bundles, the config, and the model's module. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleFunction } from "../adapters/bundle-function.ts";
import { bundleModel } from "../adapters/config-file.ts";
import { openStartWeights } from "../adapters/start-weights.ts";
import { version } from "../adapters/version.ts";
import type { PipelineConfig, PipelineInput } from "../protocol/config.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { checkedPipelines } from "./checked-pipelines.ts";
import type { PipelineCode } from "./code.ts";

/** Lambda takes 250 MB of code, unpacked. */
const START_BYTES_MAX = 200_000_000;

/**
 * Bundles the functions and the model of a pipeline. The same sources give the same bytes.
 * @param options.folder that of accrete.config.ts: `trainer.model` is relative to it
 * @param options.out where the folders are made @default a temporary folder, removed when the process ends
 * @throws {AccreteError} CONFIG_INVALID, MODEL_NOT_LOADABLE, START_NOT_READABLE, START_NOT_MATCHING
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
  const code: PipelineCode = {
    intake: written(join(out, pipeline.name, "intake"), { "index.mjs": intake, "config.json": config }),
    ledger: written(join(out, pipeline.name, "ledger"), {
      "index.mjs": ledger,
      "config.json": config,
      "model.mjs": model.body,
    }),
    version: version(),
  };
  const { start } = pipeline.trainer;
  if (start !== null) {
    await using weights = await openStartWeights(options.folder, start).read();
    const { size } = statSync(weights.path);
    if (size > START_BYTES_MAX)
      throw new AccreteError(
        "START_NOT_READABLE",
        `${start.from}: ${size} bytes of weights: with the ledger's function at most ${START_BYTES_MAX} can be deployed`,
      );
    copyFileSync(weights.path, join(code.ledger, "start.safetensors"));
  }
  return code;
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

/** What CDK's CLI brings to AWS beside the templates: the code of a pipeline's functions, as folders, and the trainer's image. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleFunction } from "../adapters/bundle-function.ts";
import { bundleModel } from "../adapters/config-file.ts";
import { openStartWeights } from "../adapters/start-weights.ts";
import { version } from "../adapters/version.ts";
import { imageDigest } from "../image/digest.ts";
import type { PipelineConfig, PipelineInput } from "../protocol/config.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { checkedPipelines } from "./checked-pipelines.ts";
import type { PipelineCode } from "./code.ts";
import { imageKind, type ImageAsset, type TrainerImage } from "./image.ts";

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

const BUILD = fileURLToPath(
  new URL(`../image/build.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url),
);

/**
 * The image of the project's trainer, for the pipelines that name none. Nothing is built here and Docker isn't asked for: CDK's CLI does that before
 * it changes a stack, where the bootstrap's repository doesn't have the image. It is tagged with the digest of all it is made of; models are not in it.
 * @param options.base reference of the image that it is built on @default Debian's
 */
export async function trainerImage(options: {
  readonly pipelines: readonly (PipelineInput | PipelineConfig)[];
  readonly base?: string;
}): Promise<TrainerImage> {
  const { base } = options;
  const kinds = new Set(
    checkedPipelines(options.pipelines)
      .filter(({ compute }) => compute.image === null)
      .map(imageKind),
  );
  const assetOf = async (kind: keyof TrainerImage): Promise<ImageAsset> => {
    const digest = await imageDigest({ gpu: kind === "gpu" }, base);
    const options = [...(kind === "gpu" ? ["--gpu"] : []), ...(base === undefined ? [] : ["--base", base])];
    return { digest, executable: [process.execPath, BUILD, ...options, "--digest", digest] };
  };
  return {
    ...(kinds.has("cpu") ? { cpu: await assetOf("cpu") } : {}),
    ...(kinds.has("gpu") ? { gpu: await assetOf("gpu") } : {}),
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

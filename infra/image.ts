/** Which image a pipeline's jobs run in, and where it is pulled from. */
import { Annotations, ArnFormat, Stack, Token } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { gpusOf, imageFault } from "../protocol/aws-config.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { AccreteError } from "../protocol/errors.ts";

/** An image that CDK's CLI has made and pushed before it changes a stack, unless the repository has it. */
export interface ImageAsset {
  /** of what it is made of, 64 hex: its tag */
  readonly digest: string;
  /** the program that makes it and says its name on standard output, with its arguments */
  readonly executable: readonly string[];
}

/** The image of the project's own trainer, in the kinds that some pipelines need: `trainerImage()` makes it. */
export interface TrainerImage {
  readonly cpu?: ImageAsset;
  readonly gpu?: ImageAsset;
}

/** What of a TrainerImage the pipeline's jobs run in. */
export function imageKind({ compute }: Pick<PipelineConfig, "compute">): keyof TrainerImage {
  return gpusOf(compute) > 0 ? "gpu" : "cpu";
}

export interface PipelineImage {
  readonly uri: string;
  /** ARN of its repository in ECR; null: it is elsewhere, and needs no permission */
  readonly repository: string | null;
}

/** Account, region and repository of an image in ECR. */
const ECR = /^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([a-z0-9._/-]+?)(?:[:@].*)?$/;

/**
 * The image of a pipeline's jobs: the one that its config names, else the given one. An asset becomes one of the stack, which is how CDK's
 * CLI comes to push it before it changes that stack.
 * @throws {AccreteError} CONFIG_INVALID
 */
export function imageOf(
  stack: Stack,
  pipeline: PipelineConfig,
  image: string | TrainerImage | undefined,
): PipelineImage {
  const named = pipeline.compute.image ?? image;
  if (typeof named === "string") return namedImage(stack, named);
  const kind = imageKind(pipeline);
  const asset = named?.[kind];
  if (asset === undefined)
    throw new AccreteError(
      "CONFIG_INVALID",
      `${pipeline.name}: compute.image: there is no image for its jobs: name one, or give the constructs \`image: await trainerImage({ pipelines })\``,
    );
  const { imageUri, repositoryName } = stack.synthesizer.addDockerImageAsset({
    sourceHash: asset.digest,
    executable: [...asset.executable],
    displayName: `the trainer's image for ${kind === "gpu" ? "GPUs" : "processors"}`,
  });
  return { uri: imageUri, repository: repositoryArn(stack, stack.account, stack.region, repositoryName) };
}

/** ARNs without repetitions. */
export function imageRepositories(images: readonly PipelineImage[]): string[] {
  return [...new Set(images.flatMap(({ repository }) => repository ?? []))];
}

/** A tag can be moved to another image at any time: what trains is then not what the round's plan has. */
export function warnOfTag(scope: Construct, name: string, { compute }: PipelineConfig, image: unknown): void {
  const named = compute.image ?? image;
  if (typeof named !== "string" || Token.isUnresolved(named) || named.includes("@sha256:")) return;
  Annotations.of(scope).addWarningV2(
    "accrete:image-by-tag",
    `${name}: ${named} is an image by its tag, which may become another one between two rounds: name it by its digest, ${named.replace(TAG, "")}@sha256:...`,
  );
}

const TAG = /:[^:/]*$/;

function namedImage(stack: Stack, named: string): PipelineImage {
  // another construct's, known when the stack is deployed: any repository of this account
  if (Token.isUnresolved(named))
    return { uri: named, repository: repositoryArn(stack, stack.account, stack.region, "*") };
  const fault = imageFault(named);
  if (fault !== undefined) throw new AccreteError("CONFIG_INVALID", `image: ${fault}`);
  const [, account, region, repository] = ECR.exec(named) ?? [];
  const inEcr = account !== undefined && region !== undefined && repository !== undefined;
  return { uri: named, repository: inEcr ? repositoryArn(stack, account, region, repository) : null };
}

function repositoryArn(stack: Stack, account: string, region: string, repository: string): string {
  return stack.formatArn({
    service: "ecr",
    account,
    region,
    resource: "repository",
    resourceName: repository,
    arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
  });
}

/** An image from nothing: prepared, built and named, unless it is there. */
import { join } from "node:path";
import { mkdir, rm } from "node:fs/promises";
import { makePart, removeLeftParts } from "../adapters/native-part.ts";
import { imageInputs } from "./digest.ts";
import { buildImage, findDocker, inspectImage, tagImage, type BuiltImage } from "./docker.ts";
import { asNotBuilt, notBuilt } from "./errors.ts";
import { BASE, imageName, type ImageKind } from "./kind.ts";
import { imageCache, prepareContext } from "./prepare.ts";

export interface MakeOptions {
  readonly kind: ImageKind;
  /** what it is built on @default BASE */
  readonly base?: string | undefined;
  /** 64 hex: what its inputs were when the image was named; it would be kept under that name for ever */
  readonly digest?: string | undefined;
  /** one more name for it */
  readonly tag?: string | undefined;
  /** told what is done, as it begins */
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Made {
  readonly name: string;
  /** 64 hex, of the inputs */
  readonly digest: string;
  readonly image: BuiltImage;
  /** milliseconds; null: the image was there */
  readonly took: { readonly prepareMs: number; readonly buildMs: number } | null;
}

/** @throws {AccreteError} DOCKER_MISSING, IMAGE_NOT_BUILT @throws what `signal` aborts with */
export async function makeImage({ kind, base = BASE, digest, tag, say, signal }: MakeOptions): Promise<Made> {
  const [inputs] = await Promise.all([imageInputs(kind, base), findDocker(signal)]);
  if (digest !== undefined && digest !== inputs.digest)
    throw notBuilt("the sources of the image have changed since the app was synthesised: run `npx cdk deploy` again");
  const name = imageName(kind, inputs.digest);
  const there = await inspectImage(name, signal);
  const made =
    there === undefined
      ? await make({ kind, base, name, inputs, say, signal })
      : { name, digest: inputs.digest, image: there, took: null };
  if (tag !== undefined) await tagImage(name, tag, signal);
  return made;
}

interface Making extends Omit<MakeOptions, "tag" | "digest"> {
  readonly base: string;
  readonly name: string;
  readonly inputs: Awaited<ReturnType<typeof imageInputs>>;
}

async function make({ kind, base, name, inputs, say, signal }: Making): Promise<Made> {
  const root = imageCache();
  let part: string | undefined;
  try {
    await mkdir(root, { recursive: true });
    await removeLeftParts(root);
    part = await makePart(root);
    const began = performance.now();
    const context = await prepareContext({ kind, base, out: join(part, "context"), say, signal, inputs });
    const prepared = performance.now();
    say(`build ${name}`);
    const image = await buildImage({ context: context.folder, base, name, signal });
    const took = { prepareMs: prepared - began, buildMs: performance.now() - prepared };
    return { name, digest: inputs.digest, image, took };
  } catch (error) {
    throw asNotBuilt(error);
  } finally {
    if (part !== undefined) await rm(part, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The trainer's image, put together as compose.ts does the rest. */
import { BASE, type ImageKind } from "../image/kind.ts";
import { buildArguments } from "../image/docker.ts";
import { makeImage, type Made, type MakeOptions } from "../image/make.ts";
import { prepareContext, type Context, type PrepareOptions } from "../image/prepare.ts";

export type { ImageKind };

export interface Images {
  /** what an image is built on if nothing else is named */
  readonly base: string;
  /** what `docker` is called with to build a context */
  buildArguments: typeof buildArguments;
  /** @throws {AccreteError} IMAGE_NOT_BUILT */
  prepare(options: PrepareOptions): Promise<Context>;
  /** @throws {AccreteError} DOCKER_MISSING, IMAGE_NOT_BUILT */
  make(options: MakeOptions): Promise<Made>;
}

export function openImages(): Images {
  return { base: BASE, buildArguments, prepare: prepareContext, make: makeImage };
}

/** Which image of the trainer, and on what. */

export interface ImageKind {
  /** with CUDA's libraries */
  readonly gpu: boolean;
}

/** Debian with glibc, by its digest: the same bytes at any time. The Dockerfile names it too. */
export const BASE =
  "public.ecr.aws/docker/library/debian:bookworm-20260824-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171";

/** Two images of one name have the same inputs. @param digest of imageDigest() */
export function imageName({ gpu }: ImageKind, digest: string): string {
  return `accrete-trainer:${gpu ? "gpu" : "cpu"}-${digest.slice(0, 16)}`;
}

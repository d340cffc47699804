/**
 * What an image is made of, as digests, before any of it is fetched: the pins of what comes from elsewhere, and the bytes of what is ours. They are
 * the same in each folder and on each machine, so that an image which is there already can be found by its name.
 */
import { readFile } from "node:fs/promises";
import { bundleTrainer } from "../adapters/bundle-trainer.ts";
import { addonSources, FLAGS } from "../adapters/native-compile.ts";
import { BUILDS } from "../adapters/native-pins.ts";
import { KEPT } from "../adapters/native-wheel.ts";
import { version } from "../adapters/version.ts";
import { canonicalJson, sha256 } from "../protocol/digest.ts";
import { BASE, type ImageKind } from "./kind.ts";
import { MODULES, NODE } from "./pins.ts";

/** The folders of a context, from those that change rarely to those that change often. */
export const LAYERS = ["cuda", "tensorflow", "node", "modules", "app"] as const;
export type Layer = (typeof LAYERS)[number];

export const DOCKERFILE = new URL("Dockerfile", import.meta.url);

export interface ImageInputs {
  /** 64 hex, of all below, the Dockerfile and the base */
  readonly digest: string;
  /** 64 hex, of each layer */
  readonly layers: Readonly<Record<Layer, string>>;
  /** the trainer: JavaScript by file names */
  readonly trainer: ReadonlyMap<string, Uint8Array>;
}

/** `accrete pull` runs it, not the trainer. */
const NOT_IN_IMAGE = "export.js";

/** In about a second; without Docker and the network. */
export async function imageInputs(kind: ImageKind, base = BASE): Promise<ImageInputs> {
  const [bundled, addon, dockerfile] = await Promise.all([bundleTrainer(), addonSources(), readFile(DOCKERFILE)]);
  const trainer = new Map([...bundled].filter(([name]) => name !== NOT_IN_IMAGE));
  const wheels = BUILDS.filter(({ platform, gpu }) => platform === "linux-x64" && gpu === kind.gpu)
    .flatMap((build) => build.wheels)
    .map(({ name, version: of, sha256: digest }) => [name, of, digest] as const);
  const isCuda = ([name]: readonly [string, ...unknown[]]): boolean => name.startsWith("nvidia-");
  const tensorflow = digestOf([KEPT, wheels.filter((wheel) => !isCuda(wheel))]);
  const layers = {
    cuda: digestOf([KEPT, wheels.filter(isCuda)]),
    tensorflow,
    node: digestOf(NODE),
    modules: digestOf(MODULES),
    app: digestOf({
      version: version(),
      trainer: digestsOf(trainer),
      addon: { tensorflow, flags: FLAGS, sources: digestsOf(addon) },
    }),
  };
  return { digest: digestOf({ kind, base, dockerfile: sha256(dockerfile), layers }), layers, trainer };
}

/** 64 hex. @param base what the image is built on @default BASE */
export async function imageDigest(kind: ImageKind, base = BASE): Promise<string> {
  return (await imageInputs(kind, base)).digest;
}

function digestsOf(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...files].map(([name, body]) => [name, sha256(body)]));
}

function digestOf(value: unknown): string {
  return sha256(canonicalJson(value));
}

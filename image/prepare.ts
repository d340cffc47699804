/**
 * The context of a build: all that the Dockerfile copies, a folder for each layer, in which files lie as they will in the image. Modes and times
 * depend on nothing but the inputs, so that a layer that has not changed has the same digest wherever it is made.
 */
import { constants } from "node:fs";
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import * as z from "zod/mini";
import { installNative, PLATFORM } from "../adapters/native-install.ts";
import { cacheRoot, nativeAt, nativeRoot } from "../adapters/native-library.ts";
import { makePart, putInPlace, removeLeftParts } from "../adapters/native-part.ts";
import { lastLine, runProgram } from "../adapters/native-tools.ts";
import { version } from "../adapters/version.ts";
import { DOCKERFILE, imageInputs, LAYERS, type ImageInputs, type Layer } from "./digest.ts";
import { asNotBuilt, notBuilt } from "./errors.ts";
import { BASE, imageName, type ImageKind } from "./kind.ts";
import { fetchPackages } from "./npm.ts";
import { MODULES, NODE } from "./pins.ts";

export interface PrepareOptions {
  readonly kind: ImageKind;
  /** where the context will be: there is nothing yet, or an older context */
  readonly out: string;
  /** told what is done, as it begins */
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** what the image is built on, a part of the digest @default BASE */
  readonly base?: string;
  /** if they are known already */
  readonly inputs?: ImageInputs;
}

export interface Context {
  readonly folder: string;
  /** of the image that it makes */
  readonly name: string;
  readonly digest: string;
  /** bytes of its files */
  readonly sizes: Readonly<Record<Layer, number>>;
  /** false: it was there */
  readonly prepared: boolean;
}

/** What says that a folder is a context, and of what. */
const ABOUT = "context.json";
const About = z.strictObject({
  format: z.literal(1),
  digest: z.string(),
  sizes: z.strictObject({
    cuda: z.number(),
    tensorflow: z.number(),
    node: z.number(),
    modules: z.number(),
    app: z.number(),
  }),
});

/** Under each layer's folder; the image has it at its root. */
const PLACE = "opt/accrete";

/** Of packages, what only compilers and shells use. */
const UNUSED = ["src", "install", "bin", "lib/glib-2.0"].map((name) => `--exclude=package/${name}`);
UNUSED.push("--exclude=*.d.ts", "--exclude=*.d.?ts");

/** @throws {AccreteError} IMAGE_NOT_BUILT: one sentence that says what is missing @throws what `signal` aborts with */
export async function prepareContext(options: PrepareOptions): Promise<Context> {
  if (PLATFORM !== "linux-x64")
    throw notBuilt(`the trainer's image is made on Linux on x64, and this is ${PLATFORM}: make it on such a machine`);
  const { kind, say, signal, base = BASE } = options;
  const inputs = options.inputs ?? (await imageInputs(kind, base));
  const folder = resolve(options.out);
  try {
    const there = await aboutOf(folder);
    const context = { folder, name: imageName(kind, inputs.digest), digest: inputs.digest };
    if (there?.digest === inputs.digest) return { ...context, sizes: there.sizes, prepared: false };
    if (await hasOthers(folder, there !== undefined))
      throw notBuilt(`${folder} has other files in it: name another folder, or an empty one`);
    await mkdir(dirname(folder), { recursive: true });
    await removeLeftParts(dirname(folder));
    const part = await makePart(dirname(folder));
    try {
      const sizes = await fill(part, { kind, say, signal, inputs });
      await writeFile(join(part, ABOUT), `${JSON.stringify({ format: 1, digest: inputs.digest, sizes })}\n`);
      if (!(await putInPlace(part, folder))) throw notBuilt(`another process has made ${folder} at the same moment`);
      return { ...context, sizes, prepared: true };
    } finally {
      await rm(part, { recursive: true, force: true, maxRetries: 3 });
    }
  } catch (error) {
    throw asNotBuilt(error);
  }
}

async function aboutOf(folder: string): Promise<z.infer<typeof About> | undefined> {
  try {
    const parsed = z.safeParse(About, JSON.parse(await readFile(join(folder, ABOUT), "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** What lies there is taken away for the new one: nothing of somebody else's may be. @throws {AccreteError} IMAGE_NOT_BUILT: it is no folder */
async function hasOthers(folder: string, isContext: boolean): Promise<boolean> {
  const found = await lstat(folder).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found === undefined) return false;
  if (!found.isDirectory()) throw notBuilt(`${folder} is no folder: name another one`);
  const ours: readonly string[] = isContext ? [...LAYERS, "scratch", "Dockerfile", ABOUT] : [];
  return (await readdir(folder)).some((name) => !ours.includes(name));
}

/** What has been fetched for images is kept there. */
export function imageCache(): string {
  return join(cacheRoot(), "image");
}

interface Filling extends Pick<PrepareOptions, "kind" | "say" | "signal"> {
  readonly inputs: ImageInputs;
}

/** @returns bytes of each layer's files */
async function fill(part: string, filling: Filling): Promise<Record<Layer, number>> {
  const at = (layer: Layer): string => join(part, layer, PLACE);
  // none is empty, though CUDA is not in each image: Docker's older builder then loses layers ("layer does not exist")
  for (const layer of LAYERS) await mkdir(at(layer), { recursive: true });
  await mkdir(join(part, "scratch"));
  await chmod(join(part, "scratch"), EXECUTABLE); // whatever the umask is
  await copyFile(DOCKERFILE, join(part, "Dockerfile"));
  await placeNative(at, filling);
  await placePackages(part, at, filling);
  await mkdir(join(at("app"), "app"), { recursive: true });
  for (const [name, body] of filling.inputs.trainer) await writeFile(join(at("app"), "app", name), body);
  // Node takes the trainer's files for modules by it
  const about = { name: "@accrete/pipeline", version: version(), type: "module" };
  await writeFile(join(at("app"), "package.json"), `${JSON.stringify(about)}\n`);
  const sizes = { cuda: 0, tensorflow: 0, node: 0, modules: 0, app: 0 };
  for (const layer of LAYERS) sizes[layer] = await settle(join(part, layer), stampOf(filling.inputs.layers[layer]));
  return sizes;
}

/**
 * TensorFlow's library as `accrete native` makes it: most of a context, so its files are not copied if that can be. Where that has not been asked
 * for, it is put where this machine's own trainings do not find it: one for GPUs would be theirs from then on.
 */
async function placeNative(at: (layer: Layer) => string, { kind, say, signal }: Filling): Promise<void> {
  const root = nativeAt(kind) === undefined ? join(imageCache(), "native") : nativeRoot();
  const { library } = await installNative({ gpu: kind.gpu, say, signal, root });
  for (const name of await readdir(library.folder)) {
    const layer = name.startsWith("nvidia") ? "cuda" : name.startsWith("tensorflow") ? "tensorflow" : "app";
    const to = join(at(layer), "native", basename(library.folder), name);
    // the addon is small, and its layer's time is another one after each change: that of the cache's file stays
    await placeAll(join(library.folder, name), to, layer === "app" ? copyFile : linkOrCopy);
  }
}

/** The headers are needed no more. */
const HEADERS = "include";

async function placeAll(from: string, to: string, place: (from: string, to: string) => Promise<void>): Promise<void> {
  if (!(await lstat(from)).isDirectory()) {
    await mkdir(dirname(to), { recursive: true });
    return place(from, to);
  }
  for (const name of await readdir(from)) if (name !== HEADERS) await placeAll(join(from, name), join(to, name), place);
}

/** A link shares times and modes with the file in the cache, so only where they may be set. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    const { mode, uid } = await stat(from);
    if ((mode & 0o7777) === MODE && uid === process.getuid?.()) return await link(from, to);
  } catch {
    // on another disk, or a file system without links
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE);
}

async function placePackages(part: string, at: (layer: Layer) => string, { say, signal }: Filling): Promise<void> {
  const [node, ...modules] = await fetchPackages([NODE, ...MODULES], {
    cache: join(imageCache(), "npm"),
    part,
    say,
    signal,
  });
  if (node === undefined) throw new Error("as many tarballs as pins");
  const unpacked = join(part, "unpacked");
  await unpack(node, unpacked, ["package/bin/node", "package/LICENSE"], signal);
  await mkdir(join(at("node"), "bin"), { recursive: true });
  const stripped = await runProgram("strip", [join(unpacked, "bin/node")], { signal });
  if (!stripped.ok) say("strip is missing (apt-get install binutils): Node takes 13 MB more");
  for (const [from, to] of [
    ["bin/node", "node"],
    ["LICENSE", "node.LICENSE"],
  ] as const)
    await rename(join(unpacked, from), join(at("node"), "bin", to));
  for (const [index, { name }] of MODULES.entries()) {
    const to = join(at("modules"), "node_modules", name);
    await unpack(modules[index] ?? "", to, UNUSED, signal);
  }
  await rm(unpacked, { recursive: true });
}

/** @param which members of the tarball, or what tar takes for a choice of them */
async function unpack(tarball: string, to: string, which: readonly string[], signal?: AbortSignal): Promise<void> {
  await mkdir(to, { recursive: true });
  const args = ["-xzf", tarball, "-C", to, "--strip-components=1", "--no-same-owner", ...which];
  const ran = await runProgram("tar", args, { signal });
  if (!ran.ok) throw notBuilt(`${basename(tarball)} can't be unpacked (tar: ${lastLine(ran.said)})`);
}

const MODE = 0o644;
const EXECUTABLE = 0o755;

/** One mode for files and one for programs and folders, one time for all. @returns bytes of the files */
async function settle(path: string, at: Date): Promise<number> {
  const found = await lstat(path);
  let size = found.size;
  if (found.isDirectory()) {
    size = 0;
    for (const name of await readdir(path)) size += await settle(join(path, name), at);
  }
  const mode = found.isDirectory() || basename(path) === "node" ? EXECUTABLE : MODE;
  if ((found.mode & 0o7777) !== mode) await chmod(path, mode);
  await utimes(path, at, at);
  return size;
}

/**
 * Of all of a layer's files. It is another one if the layer is another: BuildKit takes a file for the one that it has seen in the same
 * place if size and time are the same.
 * @param digest 64 hex
 */
function stampOf(digest: string): Date {
  return new Date((Number.parseInt(digest.slice(0, 8), 16) >>> 2) * 1_000);
}

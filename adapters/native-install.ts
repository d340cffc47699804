/**
 * Puts TensorFlow's C library on this machine: out of the wheel that TensorFlow publishes, with tfjs-node's addon over it. All is made in a folder
 * beside its place, tried, and moved there at once: a kill leaves nothing half, and two at a time do no harm.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkNative, type NativeCheck } from "./native-check.ts";
import { compileAddon, stripLibrary } from "./native-compile.ts";
import { ADDON, nativeAt, nativeFolder, nativeRoot, TENSORFLOW, type NativeLibrary } from "./native-library.ts";
import { makePart, putInPlace, removeLeftParts } from "./native-part.ts";
import { BUILDS, type NativeBuild } from "./native-pins.ts";
import { findTools, notBuilt } from "./native-tools.ts";
import { fetchWheel, megabytes } from "./native-wheel.ts";

export interface InstallOptions {
  /** with CUDA; undefined: if this machine has a GPU of NVIDIA's and there is a library for it */
  readonly gpu?: boolean | undefined;
  /** told what is done, as it begins */
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** @default nativeRoot() */
  readonly root?: string;
}

export interface Installed {
  readonly library: NativeLibrary;
  readonly check: Extract<NativeCheck, { works: true }>;
  /** false: it was there, and works */
  readonly built: boolean;
}

export const PLATFORM = `${process.platform}-${process.arch}`;

/** The driver's device, or its program. */
export function hasNvidia(): boolean {
  return (
    existsSync("/dev/nvidiactl") ||
    (process.env["PATH"] ?? "").split(":").some((one) => existsSync(join(one, "nvidia-smi")))
  );
}

/** @throws {AccreteError} NATIVE_NOT_BUILT: one sentence that says what is missing @throws what `signal` aborts with */
export async function installNative({ gpu, say, signal, root = nativeRoot() }: InstallOptions): Promise<Installed> {
  const build = chooseBuild(gpu);
  await removeLeftParts(root);
  const there = nativeAt(build, root);
  if (there !== undefined) {
    const check = await checkNative(there);
    if (check.works) return { library: there, check, built: false };
    say(`what is in ${there.folder} does not work: ${check.problem}`);
  }
  const tools = await findTools(signal);
  const part = await roomFor(build, root);
  try {
    for (const wheel of build.wheels) {
      say(`fetch ${wheel.name} ${wheel.version}, ${megabytes(wheel.size)}`);
      await fetchWheel(wheel, { tools, build, part, say, signal });
    }
    if (!(await stripLibrary(part, signal))) say("strip is missing: the library takes 220 MB more");
    say(`compile the addon with ${tools.compiler.join(" ")}`);
    await compileAddon(part, tools, signal);
    say("try it");
    const check = await checkNative({ addon: join(part, ADDON), gpu: build.gpu });
    if (!check.works) throw notBuilt(`TensorFlow's library does not work on this machine: ${check.problem}`);
    const about = { format: 1, tensorflow: TENSORFLOW, platform: PLATFORM, gpu: build.gpu };
    await writeFile(join(part, "native.json"), `${JSON.stringify(about)}\n`, { flush: true });
    await putInPlace(part, nativeFolder(build, root));
    const library = nativeAt(build, root);
    if (library === undefined) throw notBuilt(`${nativeFolder(build, root)} was taken away at the same moment`);
    return { library, check, built: true };
  } finally {
    await rm(part, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** @throws {AccreteError} NATIVE_NOT_BUILT if there is none */
export function chooseBuild(gpu: boolean | undefined, platform_ = PLATFORM): NativeBuild {
  if (process.platform === "linux" && !hasGlibc())
    throw notBuilt("there is no TensorFlow for a Linux without glibc, such as Alpine: use one with it, such as Debian");
  const here = BUILDS.filter(({ platform }) => platform === platform_);
  const wanted = gpu ?? (hasNvidia() && here.some((build) => build.gpu));
  const build = here.find((one) => one.gpu === wanted);
  if (build !== undefined) return build;
  const for_ = BUILDS.filter((one) => one.gpu === wanted).map(({ platform }) => platform);
  throw notBuilt(
    `there is no TensorFlow ${TENSORFLOW}${wanted ? " for GPUs" : ""} for ${platform_}: there is one for ${for_.join(", ")}`,
  );
}

function hasGlibc(): boolean {
  Object.assign(process.report, { excludeNetwork: true }); // it would look up names
  const report: unknown = process.report.getReport();
  const header = typeof report === "object" && report !== null && "header" in report ? report.header : undefined;
  return typeof header === "object" && header !== null && "glibcVersionRuntime" in header;
}

/** A folder to make it in, on a disk that has room: pip has a wheel twice for a moment. */
export async function roomFor(build: NativeBuild, root: string): Promise<string> {
  const kept = build.wheels.reduce((sum, wheel) => sum + wheel.kept, 0);
  const needed = kept + 2 * Math.max(...build.wheels.map(({ size }) => size));
  try {
    await mkdir(root, { recursive: true });
    const { bavail, bsize } = await statfs(root);
    if (bavail * bsize < needed)
      throw notBuilt(
        `${root} has ${megabytes(bavail * bsize)} of free disk space, ${megabytes(needed)} are needed: free some, or name another folder in ACCRETE_NATIVE_DIR`,
      );
    return await makePart(root);
  } catch (error) {
    if (error instanceof Error && "syscall" in error)
      throw notBuilt(`${root} can't be written (${error.message}): name another folder in ACCRETE_NATIVE_DIR`, error);
    throw error;
  }
}

/** What is installed here, each tried. */
export async function checkInstalled(root = nativeRoot()): Promise<{ library: NativeLibrary; check: NativeCheck }[]> {
  const found = [true, false].flatMap((gpu) => nativeAt({ gpu }, root) ?? []);
  return Promise.all(found.map(async (library) => ({ library, check: await checkNative(library) })));
}

/** Takes away what was installed for this platform, of any version. @returns the folders */
export async function removeNative(root = nativeRoot()): Promise<string[]> {
  await removeLeftParts(root);
  const names = await readdir(root).catch(() => []);
  const ours = names.filter((name) => /^tensorflow-[\d.]+-/.test(name) && name.includes(`-${PLATFORM}`));
  for (const name of ours) {
    // a kill in the middle leaves a part, which nobody takes for a library
    const part = await makePart(root);
    await rename(join(root, name), join(part, name));
    await rm(part, { recursive: true, force: true });
  }
  return ours.map((name) => join(root, name));
}

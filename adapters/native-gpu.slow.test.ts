/**
 * The list of protocol/gpu-libraries.ts against what TensorFlow itself looks for, with a driver that claims a GPU. Needs Linux, cc and the library for
 * GPUs (3 GB: `npm run native -- --gpu`, or what `npm run image -- --gpu` has made an image of), and skips without.
 */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { imageCache } from "../image/prepare.ts";
import { CUDA_LIBRARIES, GPU_LIBRARIES, missingForGpu } from "../protocol/gpu-libraries.ts";
import { CAN_COMPILE, writeFakeDriver } from "../test/fake-gpu.ts";
import { CUDA_FOLDER, unopenedLibraries } from "./native-gpu.ts";
import { ADDON, nativeAt } from "./native-library.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-gpu-slow-"));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const library = nativeAt({ gpu: true }) ?? nativeAt({ gpu: true }, join(imageCache(), "native"));
if (library === undefined) console.warn("skipped: TensorFlow's library for GPUs is not here (npm run native -- --gpu)");

/** Of the system and of TensorFlow, wherever the program runs. */
const OTHERS = /^(lib(dl|m|c|gcc_s|pthread|rt|z|stdc\+\+)\.so\.\d+|ld-linux.*|libtensorflow_(cc|framework)\.so\.2)$/;
/** What TensorFlow or cudnn say as one is missing. */
const SKIPS = /Skipping registering GPU devices|GPU will not be used|Cannot load symbol cudnnGetProperty/;

/** The folder without bytes of its own. */
function linked(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linked(source, target);
    else
      try {
        linkSync(source, target);
      } catch {
        symlinkSync(source, target); // on another disk
      }
  }
}

describe.skipIf(library === undefined || !CAN_COMPILE)("TensorFlow with a driver that claims a GPU", () => {
  const driver = writeFakeDriver(join(temporary, "driver"));
  const env = { ...process.env, LD_LIBRARY_PATH: driver };

  /** What it says, and the names that the loader was asked for. It may end badly: the GPU can't compute. */
  function start(addon: string): { said: string; names: Set<string> } {
    const log = mkdtempSync(join(temporary, "log-"));
    const { stderr } = spawnSync(process.execPath, [join(import.meta.dirname, "native-self-test.ts"), addon], {
      encoding: "utf8",
      env: { ...env, NODE_OPTIONS: "", TF_CPP_MIN_LOG_LEVEL: "0", LD_DEBUG: "libs", LD_DEBUG_OUTPUT: join(log, "of") },
    });
    const text = readdirSync(log).map((name) => readFileSync(join(log, name), "utf8"));
    const names = [...text.join("").matchAll(/find library=(\S+)/g)].map(([, name]) => name!);
    // cudnn asks for libcudnn_graph.so.9.28.0 first
    const asked = names.map((name) => name.replace(/(\.so\.\d+)[.\d]*$/, "$1")).filter((name) => !OTHERS.test(name));
    return { said: stderr, names: new Set(asked) };
  }

  it("looks for the libraries of the list, and for no other", () => {
    const { said, names } = start(library!.addon);
    expect([...names].sort()).toEqual([...GPU_LIBRARIES].sort());
    expect(said).not.toMatch(SKIPS);
  });

  it("has CUDA's libraries beside it, each of which can be opened", async () => {
    const names = readdirSync(join(library!.folder, CUDA_FOLDER));
    expect(names).toEqual(expect.arrayContaining([...CUDA_LIBRARIES]));
    expect(await unopenedLibraries(library!.addon, env, names)).toEqual([]);
  });

  const copy = join(temporary, "copy");
  it.each(CUDA_LIBRARIES)("does without the GPU if %s is missing, and that is what we name", async (name) => {
    if (!readdirSync(temporary).includes("copy")) linked(library!.folder, copy);
    const [path, away] = [join(copy, CUDA_FOLDER, name), join(temporary, "away")];
    renameSync(path, away);
    try {
      expect(start(join(copy, ADDON)).said).toMatch(SKIPS);
      const missing = missingForGpu(await unopenedLibraries(join(copy, ADDON), env));
      expect(missing).toMatch(`TensorFlow skips the GPU without ${name}: `);
    } finally {
      renameSync(away, path);
    }
  });
});

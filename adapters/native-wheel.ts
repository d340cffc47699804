/** Wheels by pip, as the user has set it up, and out of them the libraries that are needed. */
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NativeBuild, Wheel } from "./native-pins.ts";
import { lastLine, notBuilt, runProgram, type Tools } from "./native-tools.ts";

/** TensorFlow's wheels are made for a version of Python; its library is the same in all of them. */
const PYTHON_OF_WHEEL = ["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312"];

/** Where TensorFlow itself looks for CUDA's libraries. They have each other beside them; its own list of folders lacks one for cusolver. */
const CUDA_FOLDER = "nvidia/cuda_runtime/lib";

/** What is kept of a wheel: names in it, and the folder that they go to; null: the one that they come from. */
export const KEPT: readonly (readonly [pattern: string, folder: string | null])[] = [
  [String.raw`tensorflow/libtensorflow_(cc|framework)\.(so\.2|2\.dylib)`, null],
  [
    String.raw`tensorflow/include/(tensorflow/c/.*|tensorflow/core/platform/ctstring\w*|tsl/platform/ctstring\w*|xla/tsl/c/.*)\.h`,
    null,
  ],
  [String.raw`nvidia/\w+/lib/lib(?!cusolverMg|nvblas|cufftw)[\w-]+\.so\.[\d.]+`, CUDA_FOLDER],
  [String.raw`[^/]+\.dist-info/(licenses/)?(LICENSE|License\.txt|NOTICE)`, null],
];

/** A zip file is read from its end, piece by piece: what is not kept is never written. */
const EXTRACT = `
import json, os, re, shutil, sys, zipfile
kept = [(re.compile(pattern), folder) for pattern, folder in json.loads(sys.argv[3])]
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        for pattern, folder in kept:
            if pattern.fullmatch(name):
                path = os.path.join(sys.argv[2], folder or os.path.dirname(name), os.path.basename(name))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with wheel.open(name) as source, open(path, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
`;

export interface FetchOptions {
  readonly tools: Tools;
  readonly build: NativeBuild;
  /** the libraries go there, and for a while the wheel */
  readonly part: string;
  readonly say: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const SAY_EVERY_MS = 10_000;

/** Fetches one wheel, its sha256 checked by pip, and leaves what is kept of it in `part`. @throws {AccreteError} NATIVE_NOT_BUILT */
export async function fetchWheel(wheel: Wheel, { tools, build, part, say, signal }: FetchOptions): Promise<void> {
  const folder = join(part, "wheels");
  const temporary = join(part, "tmp");
  await mkdir(folder, { recursive: true });
  await mkdir(temporary, { recursive: true });
  const requirement = join(part, "requirement.txt");
  await writeFile(requirement, `${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}\n`);
  const progress = setInterval(() => {
    void sizeOf(part, ["wheels", "tmp"]).then((size) =>
      say(
        `${wheel.name}: ${Math.min(99, Math.round((100 * size) / wheel.size))} % of ${megabytes(wheel.size)} fetched`,
      ),
    );
  }, SAY_EVERY_MS);
  try {
    const args = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    args.push("--no-cache-dir", "--no-input", "--disable-pip-version-check", ...PYTHON_OF_WHEEL);
    args.push(...build.tags.flatMap((tag) => ["--platform", tag]), "--requirement", requirement, "--dest", folder);
    // pip's own temporary files on the disk that was asked for room, and gone with the part
    const ran = await runProgram(tools.python, args, { env: { TMPDIR: temporary }, signal });
    if (!ran.ok) throw notBuilt(whyNotFetched(wheel, ran.said));
  } finally {
    clearInterval(progress);
  }
  const file = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (file === undefined) throw notBuilt(`pip has left no wheel of ${wheel.name}`);
  const ran = await runProgram(tools.python, ["-c", EXTRACT, join(folder, file), part, JSON.stringify(KEPT)], {
    signal,
  });
  if (!ran.ok) throw notBuilt(whyNotFetched(wheel, ran.said));
  for (const path of [folder, temporary, requirement]) await rm(path, { recursive: true, force: true });
}

export function megabytes(size: number): string {
  return `${Math.round(size / 1e6)} MB`;
}

function whyNotFetched({ name, version }: Wheel, said: string): string {
  const wheel = `the wheel ${name} ${version}`;
  const because = `pip: ${lastLine(said)}`;
  if (/No space left|Errno 28|Disk quota/i.test(said)) return `the disk is full: ${wheel} finds no room`;
  if (/DO NOT MATCH THE HASHES|HashMismatch/i.test(said))
    return `${wheel} is not the one that is pinned: its sha256 is another. The index of pip gives another file, or it was changed on the way`;
  if (
    /Failed to establish|Connection|timed out|Temporary failure|name resolution|SSLError|ProxyError|Could not fetch URL/i.test(
      said,
    )
  )
    return `${wheel} can't be fetched: pip finds no way to its index; look at the network, proxy and certificate settings of pip (${because})`;
  if (/No matching distribution|Could not find a version/i.test(said))
    return `the index of pip has no wheel ${name} ${version} for this platform, or pip is too old: \`python3 -m pip index versions ${name}\` says what it has (${because})`;
  return `${wheel} can't be fetched (${because})`;
}

/** Bytes of what is in these folders, as far as it can be told while they change. */
async function sizeOf(root: string, folders: readonly string[]): Promise<number> {
  let size = 0;
  for (const folder of folders) {
    const names = await readdir(join(root, folder), { recursive: true }).catch(() => []);
    for (const name of names)
      size += await stat(join(root, folder, name)).then(
        (found) => (found.isFile() ? found.size : 0),
        () => 0,
      );
  }
  return size;
}

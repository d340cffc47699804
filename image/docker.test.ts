/** What Docker says, with a program `docker` that says it: an engine that fails in these ways can't be had. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { buildImage, findDocker, inspectImage, tagImage } from "./docker.ts";
import { makeImage } from "./make.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-docker-"));
const path = process.env["PATH"] ?? "";
afterEach(() => void (process.env["PATH"] = path));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A `docker` that says this on stderr and ends with `code`; its arguments are kept. */
async function dockerSays(text: string, code = 1): Promise<void> {
  await writeFile(join(folder, "said"), text);
  const program = `#!/bin/sh\necho "$@" >> ${folder}/calls\ncat ${folder}/said >&2\nexit ${code}\n`;
  await writeFile(join(folder, "docker"), program);
  await chmod(join(folder, "docker"), 0o755);
  process.env["PATH"] = `${folder}${delimiter}${path}`;
}

const build = () =>
  buildImage({ context: "/a/context", base: "registry.example/team/base:1", name: "accrete-trainer:x" });

it("is the program that CDK's CLI pushes with", async () => {
  await dockerSays("", 0);
  process.env["PATH"] = "/nowhere";
  process.env["CDK_DOCKER"] = join(folder, "docker");
  try {
    await findDocker();
  } finally {
    delete process.env["CDK_DOCKER"];
  }
});

it("is not made under the name that other sources had given it", async () => {
  await dockerSays("", 0);
  const made = makeImage({ kind: { gpu: false }, digest: "0".repeat(64), say: () => undefined });
  await expect(made).rejects.toMatchObject({
    code: "IMAGE_NOT_BUILT",
    message: expect.stringContaining("have changed since the app was synthesised"),
  });
});

describe("without Docker", () => {
  it("there is no program", async () => {
    process.env["PATH"] = "/nowhere";
    const failure = {
      code: "DOCKER_MISSING",
      message: expect.stringMatching(/^there is no program docker .*docker\.io/),
    };
    await expect(findDocker()).rejects.toMatchObject(failure);
    await expect(inspectImage("x")).rejects.toMatchObject(failure);
  });

  it.each([
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    "error during connect: this error may indicate that the docker daemon is not running: Get ...",
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running",
  ])("no engine answers: %s", async (text) => {
    await dockerSays(text);
    const message = expect.stringMatching(/^no Docker engine answers: start it .*DOCKER_HOST/);
    await expect(findDocker()).rejects.toMatchObject({ code: "DOCKER_MISSING", message });
  });

  it.each([
    "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: permission denied",
    "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
  ])("this user may not: %s", async (text) => {
    await dockerSays(text);
    const message = expect.stringMatching(/^this user may not use Docker's socket: .*usermod -aG docker/);
    await expect(findDocker()).rejects.toMatchObject({ code: "DOCKER_MISSING", message });
  });

  it("whatever else keeps it from answering is told", async () => {
    await dockerSays('context "far": context not found: open /home/x/.docker: no such file');
    const message =
      'Docker does not answer (docker version: context "far": context not found: open /home/x/.docker: no such file)';
    await expect(findDocker()).rejects.toMatchObject({ code: "DOCKER_MISSING", message });
  });
});

describe("an image that is not built", () => {
  it.each([
    'Get "https://registry.example/v2/": dial tcp: lookup registry.example on 10.0.0.1:53: no such host',
    "pull access denied for registry.example/team/base, repository does not exist or may require 'docker login'",
    "ERROR: failed to solve: registry.example/team/base:1: failed to resolve source metadata for registry.example/team/base:1: not found",
    "manifest for registry.example/team/base:1 not found: manifest unknown: manifest unknown",
    "Error response from daemon: Get https://registry.example/v2/: x509: certificate signed by unknown authority",
  ])("the base can't be pulled, and its registry is not named: %s", async (text) => {
    await dockerSays(`Step 2/15 : FROM registry.example/team/base:1\n${text}\n`);
    const failure: unknown = await build().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "IMAGE_NOT_BUILT",
      message: expect.stringMatching(/^the base image team\/base:1 can't be pulled: .*--base \(docker build: ./),
    });
    expect(String(failure)).not.toMatch(/registry\.example|10\.0\.0\.1/);
  });

  it("the engine's disk is full", async () => {
    await dockerSays("Error processing tar file(exit status 1): write /opt/accrete/x: no space left on device");
    const message = expect.stringMatching(/^the disk of the Docker engine is full: .*docker system prune/);
    await expect(build()).rejects.toMatchObject({ code: "IMAGE_NOT_BUILT", message });
  });

  it("the last line of anything else is told", async () => {
    await dockerSays("Step 3/15 : COPY cuda/ /\nCOPY failed: file not found in build context: stat cuda/\n");
    const message = "docker build has failed: COPY failed: file not found in build context: stat cuda/";
    await expect(build()).rejects.toMatchObject({ code: "IMAGE_NOT_BUILT", message });
  });

  it("an engine that goes away in the middle is Docker's fault, not the image's", async () => {
    await dockerSays("Cannot connect to the Docker daemon at tcp://x:1. Is the docker daemon running?");
    await expect(build()).rejects.toMatchObject({ code: "DOCKER_MISSING" });
  });

  it("a build that leaves no image is none", async () => {
    await dockerSays("", 0);
    await expect(build()).rejects.toMatchObject({
      code: "IMAGE_NOT_BUILT",
      message: expect.stringContaining("there is no image accrete-trainer:x"),
    });
  });

  it("a name that Docker refuses", async () => {
    await dockerSays('Error parsing reference: "A" is not a valid repository/tag');
    await expect(tagImage("accrete-trainer:x", "A")).rejects.toMatchObject({
      code: "IMAGE_NOT_BUILT",
      message: expect.stringContaining("the image can't be called A (docker tag: Error parsing reference"),
    });
  });
});

it("an image is built without a network, on the base that is asked for", async () => {
  await dockerSays(`sha256:${"0".repeat(64)} 839140218`, 0);
  expect(await build()).toEqual({ id: `sha256:${"0".repeat(64)}`, size: 839_140_218 });
  expect((await readFile(join(folder, "calls"), "utf8")).split("\n")).toContain(
    "build --network none --build-arg BASE=registry.example/team/base:1 --tag accrete-trainer:x /a/context",
  );
});

/**
 * `npx cdk deploy` of the example: CDK's own CLI against an AWS on loopback, whose ECR has no image. Where it can't be made, nothing may be changed,
 * and the words have to say what to do. A real engine builds in test/image/.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageDigest } from "../image/digest.ts";
import { MINISTACK_ACCOUNT, ministackFault, startMinistack, type Ministack } from "../scripts/ministack.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const REPOSITORY = "127.0.0.1:1/repository";
const fault = await ministackFault();

describe.skipIf(fault !== undefined)(`the trainer's image${fault === undefined ? "" : `: ${fault}`}`, () => {
  const root = mkdtempSync(join(tmpdir(), "accrete-deploy-"));
  let ministack: Ministack;
  let ecr: Server;
  let asked: string[];

  beforeAll(async () => {
    ministack = await startMinistack("s3,cloudformation,ssm,iam,ecr,sts,ec2,kms");
    ecr = await emptyEcr((operation) => asked.push(operation));
    asked = [];
    const { code, said } = await cdk(["bootstrap", `aws://${MINISTACK_ACCOUNT}/us-east-1`], programs("none"));
    if (code !== 0) throw new Error(said);
  }, 300_000);
  afterAll(async () => {
    ecr.close();
    await ministack.close();
    rmSync(root, { recursive: true, force: true });
  });

  it("no Docker: nothing is changed, and it says to install it or to name an image", async () => {
    const { code, said } = await cdk(["deploy", "--all", "--require-approval", "never"], programs("none"));
    expect(code).toBe(1);
    expect(said).toMatch(/No Docker here: .* Install Docker, or name an image in compute.image or aws.image/);
    expect(said).toContain("Failed to find and execute 'docker'");
    expect(await stacks()).toEqual(["CDKToolkit"]);
  }, 300_000);

  it("no engine: nothing is changed, and what the program that builds has said is what is read", async () => {
    const folder = programs("no engine");
    // its log-in is the command line's own; all else asks the engine, and the time that takes is enough for a stack that doesn't wait for the image
    docker(
      folder,
      '[ "$1" = login ] || [ "$1" = --version ] && exit 0; /bin/sleep 3; echo "Cannot connect to the Docker daemon" >&2; exit 1',
    );
    asked = [];
    const { code, said } = await cdk(["deploy", "--all", "--require-approval", "never"], folder);
    expect(code).toBe(1);
    expect(said).toMatch(/DOCKER_MISSING: .*/);
    expect(said).toMatch(/Install Docker.*compute.image.*aws.image/);
    expect(said).not.toContain("No Docker here");
    expect(asked).toContain("DescribeImages");
    expect(await stacks()).toEqual(["CDKToolkit"]);
  }, 300_000);

  it("an image that is here is pushed by its digest, once for both stacks and before the first is changed", async () => {
    const folder = programs("an image");
    const calls = join(folder, "calls");
    docker(
      folder,
      `echo "$*" >> "${calls}"; [ "$1" = image ] && echo "sha256:${"0".repeat(64)} 1000"; [ "$1" != inspect ] || exit 1`,
    );
    const { said } = await cdk(["deploy", "--all", "--require-approval", "never"], folder);
    const digest = await imageDigest({ gpu: true });
    const done = readFileSync(calls, "utf8").split("\n");
    expect(done).toContain(`tag accrete-trainer:gpu-${digest.slice(0, 16)} ${REPOSITORY}:${digest}`);
    expect(done.filter((call) => call.startsWith("push"))).toEqual([`push ${REPOSITORY}:${digest}`]);
    const [published, changed] = ["Published the trainer's image", "creating CloudFormation changeset"].map((text) =>
      said.indexOf(text),
    );
    expect(published, said).toBeGreaterThan(-1);
    expect(changed, said).toBeGreaterThan(published!);
    // this AWS has no Batch, so the platform ends there
    expect(await stacks()).toEqual(["CDKToolkit", "accrete-prod-platform"]);
  }, 300_000);

  /** What stands in for Docker's command line: a script of the shell. */
  function docker(folder: string, script: string): void {
    writeFileSync(join(folder, "docker"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, "docker"), 0o755);
  }

  /** A PATH of its own: Node's and the system's programs, but for Docker's. */
  function programs(name: string): string {
    const folder = join(root, name);
    mkdirSync(folder, { recursive: true });
    for (const program of ["sh", "uname"]) {
      rmSync(join(folder, program), { force: true });
      symlinkSync(`/bin/${program}`, join(folder, program));
    }
    rmSync(join(folder, "node"), { force: true });
    symlinkSync(process.execPath, join(folder, "node"));
    return folder;
  }

  async function cdk(args: readonly string[], path: string): Promise<{ code: unknown; said: string }> {
    const address = ecr.address();
    if (typeof address !== "object" || address === null) throw new Error("no address");
    const out = join(root, "out");
    const child = spawn(process.execPath, ["node_modules/aws-cdk/bin/cdk", ...args, "--no-notices", "--output", out], {
      cwd: ROOT,
      env: {
        ...ministack.env,
        AWS_ENDPOINT_URL_ECR: `http://127.0.0.1:${address.port}`,
        CDK_DISABLE_CLI_TELEMETRY: "true",
        HOME: root,
        PATH: path,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    const [code]: unknown[] = await once(child, "close");
    return { code, said };
  }

  async function stacks(): Promise<unknown> {
    const client = new CloudFormationClient({
      endpoint: ministack.url,
      region: "us-east-1",
      credentials: { accessKeyId: MINISTACK_ACCOUNT, secretAccessKey: "test" },
    });
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({}));
    client.destroy();
    return Stacks.map(({ StackName }) => StackName);
  }
});

/** ministack's has every image that it is asked for. */
async function emptyEcr(hear: (operation: string) => void): Promise<Server> {
  const token = Buffer.from("AWS:secret").toString("base64");
  const server = createServer((request, response) => {
    const operation = String(request.headers["x-amz-target"]).split(".").at(-1) ?? "";
    hear(operation);
    response.setHeader("content-type", "application/x-amz-json-1.1");
    if (operation === "DescribeRepositories")
      response.end(JSON.stringify({ repositories: [{ repositoryUri: REPOSITORY }] }));
    else if (operation === "GetAuthorizationToken")
      response.end(
        JSON.stringify({ authorizationData: [{ authorizationToken: token, proxyEndpoint: "https://127.0.0.1:1" }] }),
      );
    else response.writeHead(400).end(JSON.stringify({ __type: "ImageNotFoundException", message: "no image" }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

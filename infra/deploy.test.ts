/**
 * `npx cdk deploy` of the example where its image can't be made: CDK's own CLI against an AWS on loopback, whose ECR has no image. What has to be
 * true there is that nothing was changed, and that the words say what to do.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MINISTACK_ACCOUNT, ministackFault, startMinistack, type Ministack } from "../scripts/ministack.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const fault = await ministackFault();

describe.skipIf(fault !== undefined)(`without an image${fault === undefined ? "" : `: ${fault}`}`, () => {
  const root = mkdtempSync(join(tmpdir(), "accrete-deploy-"));
  let ministack: Ministack;
  let ecr: Server;
  let asked: string[];

  beforeAll(async () => {
    ministack = await startMinistack("s3,cloudformation,ssm,iam,ecr,sts,ec2,kms");
    ecr = await emptyEcr((operation) => asked.push(operation));
    asked = [];
    const { code, said } = await cdk(["bootstrap", `aws://${MINISTACK_ACCOUNT}/us-east-1`], programs("none"));
    expect(code, said).toBe(0);
  }, 120_000);
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
  }, 120_000);

  it("no engine: nothing is changed, and what the program that builds has said is what is read", async () => {
    const folder = programs("no engine");
    // its log-in is the command line's own; all else asks the engine, and the time that takes is enough for a stack that doesn't wait for the image
    const docker =
      '#!/bin/sh\n[ "$1" = login ] || [ "$1" = --version ] && exit 0\n/bin/sleep 3\necho "Cannot connect to the Docker daemon" >&2\nexit 1\n';
    writeFileSync(join(folder, "docker"), docker);
    chmodSync(join(folder, "docker"), 0o755);
    asked = [];
    const { code, said } = await cdk(["deploy", "--all", "--require-approval", "never"], folder);
    expect(code).toBe(1);
    expect(said).toMatch(/DOCKER_MISSING: .*/);
    expect(said).toMatch(/Install Docker.*compute.image.*aws.image/);
    expect(said).not.toContain("No Docker here");
    expect(asked).toContain("DescribeImages");
    expect(await stacks()).toEqual(["CDKToolkit"]);
  }, 120_000);

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
      response.end(JSON.stringify({ repositories: [{ repositoryUri: "127.0.0.1:1/repository" }] }));
    else if (operation === "GetAuthorizationToken")
      response.end(
        JSON.stringify({ authorizationData: [{ authorizationToken: token, proxyEndpoint: "https://127.0.0.1:1" }] }),
      );
    else response.writeHead(400).end(JSON.stringify({ __type: "ImageNotFoundException", message: "no image" }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

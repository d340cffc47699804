/** The Docker engine that tests of the image use: the one that `docker` finds, with a base image in it. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findDocker, inspectImage } from "../../image/docker.ts";
import { messageOf } from "../../protocol/errors.ts";

const run = promisify(execFile);

/** What the image is built on in tests: glibc and libstdc++, from wherever this machine gets its packages. */
export const TEST_BASE = process.env["ACCRETE_IMAGE_BASE"] || "accrete-base:bookworm";

/** Why no image can be built here; undefined if it can. With ACCRETE_IMAGE_REQUIRED=1 nothing is a reason. */
export async function engineFault(): Promise<string | undefined> {
  const fault = await findDocker().then(
    async () => ((await inspectImage(TEST_BASE)) === undefined ? `there is no image ${TEST_BASE}` : undefined),
    messageOf,
  );
  if (fault !== undefined && process.env["ACCRETE_IMAGE_REQUIRED"] === "1") throw new Error(fault);
  return fault;
}

/** @returns stdout, trimmed @throws with what it says on stderr and its exit code as `code` */
export async function docker(...args: readonly string[]): Promise<string> {
  return (await run("docker", args, { maxBuffer: 2 ** 24 })).stdout.trim();
}

/** How a job's container is locked down. */
export const LOCKED = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"].concat(
  "--security-opt",
  "no-new-privileges",
);

/**
 * Jobs as containers, where a Docker engine answers and has the image that ACCRETE_TEST_IMAGE names: one with a shell and coreutils.
 * Nothing is pulled.
 */
import { TerminateJobCommand, type BatchClient, type ContainerProperties, type JobDetail } from "@aws-sdk/client-batch";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { openBatchJobs } from "../../adapters/batch-jobs.ts";
import type { Jobs } from "../../protocol/ports.ts";
import { jobsKeepTheirPromises } from "../../test/contract/jobs.ts";
import { createWords, dockerFault, openDockerRunner } from "./docker-runner.ts";
import type { TaskRequest } from "./runner.ts";
import {
  around,
  clientOf,
  define,
  DEFINITION,
  makeQueue,
  openTestBatch,
  QUEUE,
  type TestBatch,
} from "./testing/batch.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const IMAGE = process.env["ACCRETE_TEST_IMAGE"] ?? "";
const REQUIREMENTS = [
  { type: "VCPU" as const, value: "1" },
  { type: "MEMORY" as const, value: "256" },
];

async function imageFault(): Promise<string | undefined> {
  if (IMAGE === "") return "ACCRETE_TEST_IMAGE is not set";
  const fault = await dockerFault();
  if (fault !== undefined) return fault;
  return promisify(execFile)("docker", ["image", "inspect", IMAGE]).then(
    () => undefined,
    () => `no image ${IMAGE}`,
  );
}

describe("how a container is made", () => {
  it("is what the definition says, and nothing that it doesn't", () => {
    const container: TaskRequest["container"] = {
      image: "a:1",
      command: ["x"],
      user: "1:2",
      readonlyRootFilesystem: true,
      resourceRequirements: [...REQUIREMENTS, { type: "GPU", value: "1" }],
      linuxParameters: {
        initProcessEnabled: true,
        sharedMemorySize: 64,
        tmpfs: [{ containerPath: "/tmp", size: 16, mountOptions: ["rw", "nosuid"] }],
        devices: [{ hostPath: "/dev/fuse", permissions: ["READ", "WRITE"] }],
      },
      volumes: [{ name: "scratch", host: { sourcePath: "/scratch" } }],
      mountPoints: [{ sourceVolume: "scratch", containerPath: "/s", readOnly: true }],
      ulimits: [{ name: "nofile", softLimit: 1, hardLimit: 2 }],
    };
    expect(createWords({ id: "0", folder: "", container, environment: { A: "1 2" } })).toEqual([
      "create",
      "--name=accrete-batch-0",
      "--pull=never",
      "--network=host",
      "--cpu-shares=1024",
      "--memory=256m",
      "--gpus",
      "1",
      "--user",
      "1:2",
      "--read-only",
      "--init",
      "--shm-size",
      "64m",
      "--tmpfs",
      "/tmp:rw,nosuid,size=16m",
      "--device",
      "/dev/fuse:/dev/fuse:rw",
      "--ulimit",
      "nofile=1:2",
      "--volume",
      "/scratch:/s:ro",
      "--env",
      "A=1 2",
      "--",
      "a:1",
      "x",
    ]);
  });
});

const fault = await imageFault();

describe.skipIf(fault !== undefined)(`containers${fault === undefined ? "" : ` (${fault})`}`, () => {
  // a node that runs in it, and the suite's job
  const programs = mkdtempSync(join(tmpdir(), "accrete-image-"));
  copyFileSync(process.execPath, join(programs, "node"));
  mkdirSync(join(programs, "test"));
  const behaving = fileURLToPath(new URL("../../test/contract/behaving-job.ts", import.meta.url));
  copyFileSync(behaving, join(programs, "test/behaving-job.ts"));
  const PROGRAMS: ContainerProperties = {
    image: IMAGE,
    command: ["/programs/node", "/programs/test/behaving-job.ts"],
    volumes: [{ name: "programs", host: { sourcePath: programs } }],
    mountPoints: [{ sourceVolume: "programs", containerPath: "/programs", readOnly: true }],
    resourceRequirements: REQUIREMENTS,
    // else a signal that it sends to itself is nothing to the first process
    linuxParameters: { initProcessEnabled: true },
  };
  afterAll(() => rmSync(programs, { recursive: true, force: true }));

  jobsKeepTheirPromises("the Batch server, containers", async () => {
    const batch = await openTestBatch({ runner: openDockerRunner(), secondMs: 30, graceMs: 1_000 });
    await define(batch.client, PROGRAMS);
    const jobsOf = (): Jobs => {
      const jobs = openBatchJobs({ client: clientOf(batch.server.url), queue: QUEUE, onDemandQueue: "" });
      const timeLimitOf = (ms: number): number => (ms === 500 ? 60_000 : 100_000_000);
      return {
        ...jobs,
        submit: (request) =>
          jobs.submit({ ...request, jobDefinition: `${DEFINITION}:2`, timeLimitMs: timeLimitOf(request.timeLimitMs) }),
      };
    };
    return {
      jobs: jobsOf(),
      reopen: async () => jobsOf(),
      logFile: ({ log = "" }) => join(batch.options.folder, "attempts", log.split("/").at(-1) ?? "", "log.txt"),
      close: batch.close,
    };
  });

  describe("as the definition says", () => {
    let batch: TestBatch | undefined;
    afterEach(async () => {
      await batch?.close();
      batch = undefined;
    });
    const run = async (container: ContainerProperties): Promise<JobDetail> => {
      batch ??= await openTestBatch({ runner: openDockerRunner(), graceMs: 1_000 });
      await define(batch.client, { image: IMAGE, resourceRequirements: REQUIREMENTS, ...container });
      return batch.ended(await batch.submit("", { containerOverrides: { command: undefined } }));
    };
    const said = ({ container }: JobDetail): string => {
      const path = join(
        batch!.options.folder,
        "attempts",
        container?.logStreamName?.split("/").at(-1) ?? "",
        "log.txt",
      );
      return existsSync(path) ? readFileSync(path, "utf8") : "";
    };

    it("user, read-only root, tmpfs, shared memory, volumes, init and environment", async () => {
      const folder = mkdtempSync(join(tmpdir(), "accrete-volume-"));
      chmodSync(folder, 0o777);
      const script = [
        "id -u; id -g",
        "touch /x 2>&1 | tail -1; touch /tmp/x && echo tmp",
        "echo kept > /data/file",
        "df -m /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2",
        "tr '\\0' ' ' < /proc/1/cmdline | cut -d ' ' -f 1",
        'echo "$A $AWS_BATCH_JOB_ATTEMPT"',
      ].join("; ");
      const job = await run({
        command: ["sh", "-c", script],
        user: "10001:10002",
        readonlyRootFilesystem: true,
        environment: [{ name: "A", value: "b c" }],
        linuxParameters: {
          initProcessEnabled: true,
          sharedMemorySize: 33,
          tmpfs: [{ containerPath: "/tmp", size: 16, mountOptions: ["rw"] }],
        },
        volumes: [{ name: "data", host: { sourcePath: folder } }],
        mountPoints: [{ sourceVolume: "data", containerPath: "/data" }],
      });
      try {
        expect([job.status, job.container?.reason]).toEqual(["SUCCEEDED", undefined]);
        expect(said(job).trim().split("\n")).toEqual([
          "10001",
          "10002",
          expect.stringContaining("Read-only file system"),
          "tmp",
          "33",
          "/sbin/docker-init",
          "b c 1",
        ]);
        expect(readFileSync(join(folder, "file"), "utf8")).toBe("kept\n");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });

    it("memory: more of it is said to be too much", async () => {
      const job = await run({
        ...PROGRAMS,
        command: ["/programs/node", "-e", "const kept = []; for (;;) kept.push(Buffer.alloc(8_000_000, 1))"],
        resourceRequirements: [REQUIREMENTS[0]!, { type: "MEMORY", value: "96" }],
      });
      expect(job).toMatchObject({
        status: "FAILED",
        statusReason: "Essential container in task exited",
        container: { exitCode: 137, reason: "OutOfMemoryError: Container killed due to memory usage" },
      });
    });

    it("an image or a program that isn't there", async () => {
      expect(await run({ image: "accrete-none:1", command: ["x"] })).toMatchObject({
        status: "FAILED",
        statusReason: "Task failed to start",
        container: { reason: expect.stringMatching(/^CannotPullContainerError: .*accrete-none:1/) },
      });
      expect(await run({ command: ["/none"] })).toMatchObject({
        status: "FAILED",
        statusReason: "Task failed to start",
        container: { reason: expect.stringMatching(/^CannotStartContainerError: .*\/none/) },
      });
    });

    it("goes on after the server was killed, and leaves no container", async () => {
      const folder = mkdtempSync(join(tmpdir(), "accrete-batch-"));
      const start = async (): Promise<{ child: ChildProcess; client: BatchClient }> => {
        const words = [MAIN, "--runner", "docker", "--state", folder, "--grace", "1"];
        const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
        const [url] = await once(child.stdout.setEncoding("utf8"), "data");
        return { child, client: clientOf(String(url).trim()) };
      };
      const first = await start();
      let last = first;
      try {
        await makeQueue(first.client);
        await define(first.client, { image: IMAGE, resourceRequirements: REQUIREMENTS });
        const command = ["sh", "-c", "echo one; trap 'echo two; exit 75' TERM; while true; do sleep 0.1; done"];
        const id = await around(first.client).submit("", { containerOverrides: { command } });
        const running = await around(first.client).job(id, ({ status }) => status === "RUNNING");
        const task = running.container?.logStreamName?.split("/").at(-1) ?? "";
        const log = join(folder, "attempts", task, "log.txt");
        await expect.poll(() => existsSync(log) && readFileSync(log, "utf8"), { timeout: 30_000 }).toBe("one\n");
        const killed = once(first.child, "exit");
        first.child.kill("SIGKILL");
        await killed;
        last = await start();
        expect((await around(last.client).job(id)).status).toBe("RUNNING");
        await last.client.send(new TerminateJobCommand({ jobId: id, reason: "enough" }));
        const job = await around(last.client).ended(id);
        expect(job).toMatchObject({ statusReason: "enough", attempts: [{ container: { exitCode: 75 } }] });
        expect(readFileSync(log, "utf8")).toBe("one\ntwo\n");
        const { stdout } = await promisify(execFile)("docker", ["ps", "--all", "--format", "{{.Names}}"]);
        expect(stdout.split("\n")).not.toContain(`accrete-batch-${task}`);
      } finally {
        const ended = once(last.child, "exit");
        last.child.kill("SIGTERM");
        if (last.child.exitCode === null && last.child.signalCode === null) await ended;
        rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
      }
    });
  });
});

/**
 * Jobs as containers of a Docker engine, as ECS runs them on a machine: the image's entry point, user, read-only root, tmpfs, memory,
 * volumes of the host, and Docker's own capabilities. By the `docker` program, which knows how its engine is reached.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod/mini";
import type { Handle } from "./job-record.ts";
import { LOG, TaskNotStarted, type PreparedTask, type Runner, type RunningTask, type TaskRequest } from "./runner.ts";
import { resourcesOf } from "./validate.ts";

const Inspected = z.tuple([
  z.object({ State: z.object({ ExitCode: z.int(), OOMKilled: z.boolean(), Status: z.string(), Error: z.string() }) }),
]);

async function docker(...words: string[]): Promise<string> {
  return (await promisify(execFile)("docker", words, { maxBuffer: 16 * 1_048_576 })).stdout.trim();
}

/** Why there can be no containers here; undefined if there can. */
export async function dockerFault(): Promise<string | undefined> {
  return docker("version", "--format", "{{.Server.Version}}").then(
    () => undefined,
    (error: unknown) => `no Docker engine answers: ${faultOf(error)}`,
  );
}

export function openDockerRunner(): Runner {
  return {
    async prepare(request) {
      let id: string;
      try {
        id = await docker(...createWords(request));
      } catch (error) {
        const said = faultOf(error);
        throw new TaskNotStarted(
          /no such image/i.test(said) ? `CannotPullContainerError: ${said}` : `CannotCreateContainerError: ${said}`,
        );
      }
      return prepared(id, request);
    },
    async resume(request: TaskRequest, handle: Handle) {
      if (handle.kind !== "container" || (await stateOf(handle.id)) === undefined)
        return { ended: Promise.resolve({ lost: true }), signal: async () => undefined };
      // what was between its making and its start
      if ((await stateOf(handle.id))?.Status === "created") return prepared(handle.id, request).begin();
      return running(handle.id, request);
    },
  };
}

function prepared(id: string, request: TaskRequest): PreparedTask {
  return {
    handle: { kind: "container", id },
    async begin() {
      try {
        await docker("start", id);
      } catch (error) {
        await docker("rm", "--force", id).catch(() => undefined);
        return {
          ended: Promise.resolve({ reason: `CannotStartContainerError: ${faultOf(error)}` }),
          signal: async () => undefined,
        };
      }
      return running(id, request);
    },
    discard: async () => void (await docker("rm", "--force", id)),
  };
}

function running(id: string, { folder }: TaskRequest): RunningTask {
  async function toItsEnd(): Promise<Awaited<RunningTask["ended"]>> {
    // from its beginning: the log's own bytes say how much of it has been sent already
    const log = openSync(join(folder, LOG), "w");
    const follower = spawn("docker", ["logs", "--follow", id], { stdio: ["ignore", log, log] });
    const logged = once(follower, "exit").catch(() => undefined);
    closeSync(log);
    await docker("wait", id).catch(() => undefined);
    await logged;
    const state = await stateOf(id);
    await docker("rm", "--force", "--volumes", id).catch(() => undefined);
    if (state === undefined) return { lost: true };
    return {
      exitCode: state.ExitCode,
      ...(state.OOMKilled ? { reason: "OutOfMemoryError: Container killed due to memory usage" } : {}),
    };
  }
  return {
    ended: toItsEnd(),
    async signal(name) {
      await docker("kill", "--signal", name, id).catch(() => undefined); // it has ended
    },
  };
}

async function stateOf(id: string): Promise<z.infer<typeof Inspected>[0]["State"] | undefined> {
  const said = await docker("inspect", "--type", "container", id).catch(() => undefined);
  return said === undefined ? undefined : Inspected.parse(JSON.parse(said))[0].State;
}

/** As the ECS agent makes a container of a task definition. Exported for its test. */
export function createWords({ id, container, environment }: TaskRequest): string[] {
  const { linuxParameters = {}, volumes = [], mountPoints = [], ulimits = [] } = container;
  const { devices = [], tmpfs = [], sharedMemorySize, maxSwap, swappiness, initProcessEnabled } = linuxParameters;
  const { vcpus, memoryMiB, gpus } = resourcesOf(container);
  const sourceOf = (name: string | undefined): string =>
    volumes.find((volume) => volume.name === name)?.host?.sourcePath ?? `accrete-${id}-${name}`;
  return [
    "create",
    `--name=accrete-batch-${id}`,
    "--pull=never",
    // as jobs on machines have it
    "--network=host",
    `--cpu-shares=${Math.round(vcpus * 1_024)}`,
    `--memory=${memoryMiB}m`,
    ...(gpus > 0 ? ["--gpus", String(gpus)] : []),
    ...(container.user === undefined ? [] : ["--user", container.user]),
    ...(container.readonlyRootFilesystem === true ? ["--read-only"] : []),
    ...(container.privileged === true ? ["--privileged"] : []),
    ...(initProcessEnabled === true ? ["--init"] : []),
    ...(sharedMemorySize === undefined ? [] : ["--shm-size", `${sharedMemorySize}m`]),
    ...(maxSwap === undefined ? [] : ["--memory-swap", `${memoryMiB + maxSwap}m`]),
    ...(swappiness === undefined ? [] : ["--memory-swappiness", String(swappiness)]),
    ...tmpfs.flatMap(({ containerPath, size, mountOptions = [] }) => [
      "--tmpfs",
      `${containerPath}:${[...mountOptions, `size=${size}m`].join(",")}`,
    ]),
    ...devices.flatMap(({ hostPath, containerPath, permissions = ["READ", "WRITE", "MKNOD"] }) => [
      "--device",
      `${hostPath}:${containerPath ?? hostPath}:${permissions.map((one) => one.slice(0, 1).toLowerCase()).join("")}`,
    ]),
    ...ulimits.flatMap(({ name, softLimit, hardLimit }) => ["--ulimit", `${name}=${softLimit}:${hardLimit}`]),
    ...mountPoints.flatMap(({ sourceVolume, containerPath, readOnly }) => [
      "--volume",
      `${sourceOf(sourceVolume)}:${containerPath}${readOnly === true ? ":ro" : ""}`,
    ]),
    ...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    "--",
    container.image ?? "",
    ...(container.command ?? []),
  ];
}

/** What the engine says, or the last that its program does. */
function faultOf(error: unknown): string {
  const said = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
  const lines = said.trim().split("\n");
  return lines.find((line) => line.startsWith("Error response")) ?? lines.at(-1) ?? "";
}

/** Jobs as processes of this machine: no image, no user, no limit; the command of an image is what the server is told. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod/mini";
import { identityOf, isAlive, kill, type ProcessIdentity } from "../../adapters/process-alive.ts";
import type { Handle } from "./job-record.ts";
import { LOG, TaskNotStarted, type RunningTask, type Runner, type TaskEnd, type TaskRequest } from "./runner.ts";

const KEEPER = fileURLToPath(new URL("process-keeper.ts", import.meta.url));
const EXIT = "exit.json";
/** Between two looks at a process that another server has started: its end can't be waited for. */
const LOOK_MS = 200;
const KILLED = 128 + 9;
const TERMINATED = 128 + 15;

const Exit = z.union([z.strictObject({ exitCode: z.int() }), z.strictObject({ error: z.string() })]);

export interface ProcessRunnerOptions {
  /** program and arguments in the place of an image's ENTRYPOINT; undefined: there is no such image */
  readonly entrypointOf: (image: string) => readonly string[] | undefined;
  /** what an image would have in its ENV; the job's own comes on top */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** a folder for each task is made in it, named by ACCRETE_SCRATCH whatever the job says, and removed at its end */
  readonly scratch?: string | undefined;
}

export function openProcessRunner({ entrypointOf, env, scratch }: ProcessRunnerOptions): Runner {
  const scratchOf = (id: string): string | undefined => (scratch === undefined ? undefined : join(scratch, id));

  function endOf(request: TaskRequest, otherwise: TaskEnd): TaskEnd {
    const own = scratchOf(request.id);
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
    const path = join(request.folder, EXIT);
    if (!existsSync(path)) return otherwise;
    const exit = Exit.parse(JSON.parse(readFileSync(path, "utf8")));
    return "exitCode" in exit ? exit : { reason: `CannotStartContainerError: ${exit.error}` };
  }

  return {
    async prepare(request) {
      const { id, folder, container } = request;
      const entrypoint = entrypointOf(container.image ?? "");
      if (entrypoint === undefined) throw new TaskNotStarted(`CannotPullContainerError: no image ${container.image}`);
      const command = [...entrypoint, ...(container.command ?? [])];
      if (command.length === 0) throw new TaskNotStarted("CannotStartContainerError: No command specified");
      const own = scratchOf(id);
      if (own !== undefined) mkdirSync(own, { recursive: true });
      const log = openSync(join(folder, LOG), "a");
      const child = spawn(process.execPath, [KEEPER, join(folder, EXIT), ...command], {
        // a group of its own, which outlives this server
        detached: true,
        stdio: ["pipe", log, log],
        env: { ...env, ...request.environment, ...(own === undefined ? {} : { ACCRETE_SCRATCH: own }) },
      });
      closeSync(log);
      const exited = once(child, "exit");
      const { pid, stdin } = child;
      if (pid === undefined || stdin === null)
        throw new TaskNotStarted(
          `CannotStartContainerError: ${await exited.then(String, (error: unknown) => String(error))}`,
        );
      // its end is seen by `exited`
      stdin.on("error", () => {});
      const identity = await identityOf(pid);
      if (identity === undefined) throw new TaskNotStarted("CannotStartContainerError: it ended at once");
      // a keeper that was killed itself has left no word
      const ended = exited.then(([, signal]) =>
        endOf(request, { exitCode: signal === "SIGTERM" ? TERMINATED : KILLED }),
      );
      return {
        handle: { kind: "process", process: identity },
        async begin() {
          stdin.end("1");
          return running(identity, ended);
        },
        async discard() {
          kill(-pid, "SIGKILL");
          await ended;
        },
      };
    },

    async resume(request: TaskRequest, handle: Handle) {
      if (handle.kind !== "process") return { ended: Promise.resolve({ lost: true }), signal: async () => undefined };
      return running(
        handle.process,
        gone(handle.process).then(() => endOf(request, { lost: true })),
      );
    },
  };
}

function running(identity: ProcessIdentity, ended: Promise<TaskEnd>): RunningTask {
  return {
    ended,
    async signal(name) {
      if (await isAlive(identity)) kill(-identity.pid, name);
    },
  };
}

async function gone(identity: ProcessIdentity): Promise<void> {
  while (await isAlive(identity)) await sleep(LOOK_MS);
}

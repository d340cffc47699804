/** Whether a process still runs. A pid alone does not tell: it is given again. With the time of its start it does. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import * as z from "zod/mini";

export const ProcessIdentity = z.strictObject({
  pid: z.int().check(z.gte(1)),
  /** opaque; two processes of one pid never have the same */
  start: z.string().check(z.minLength(1), z.maxLength(256)),
});
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

/** The process that has this pid now; undefined if there is none, or only what is left of one until it is waited for. */
export async function identityOf(pid: number): Promise<ProcessIdentity | undefined> {
  const start = process.platform === "linux" ? await startByProc(pid) : await startByPs(pid);
  return start === undefined ? undefined : { pid, start };
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await identityOf(identity.pid))?.start === identity.start;
}

/** Sends a signal if the process is still the one that is meant; false if it has ended. */
export async function signalProcess(identity: ProcessIdentity, signal: "SIGTERM" | "SIGKILL"): Promise<boolean> {
  return (await isAlive(identity)) && kill(identity.pid, signal);
}

/** SIGKILL for a process that leads a group and for all that it has started in it; false if the process has ended. */
export async function killGroup(leader: ProcessIdentity): Promise<boolean> {
  return (await isAlive(leader)) && kill(-leader.pid, "SIGKILL");
}

/** process.kill, false if there is no such process, or no group with a process that still runs (EPERM on macOS). */
export function kill(pid: number, signal: "SIGTERM" | "SIGKILL"): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ESRCH" || (pid < 0 && error.code === "EPERM")))
      return false;
    throw error;
  }
}

/** Field 22 of /proc/<pid>/stat counts from the boot, so the boot's id belongs to it: see proc_pid_stat(5). */
async function startByProc(pid: number): Promise<string | undefined> {
  let stat: string;
  let boot: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
    boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
  // the name of the program is in parentheses and may hold spaces and parentheses itself: field 3 follows the last one
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const start = fields[22 - 3];
  if (start === undefined || state === "Z" || state === "X") return undefined;
  return `${boot.trim()}/${start}`;
}

/** @returns undefined for a zombie as well. For the systems without /proc; exported for its test */
export async function startByPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "stat=,lstart=", "-p", String(pid)], {
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
    });
    const [state, ...start] = stdout.trim().split(/\s+/);
    return state === undefined || state === "" || state.startsWith("Z") || start.length === 0
      ? undefined
      : start.join(" ");
  } catch (error) {
    // ps answers 1 if there is no such process
    if (error instanceof Error && "code" in error && error.code === 1) return undefined;
    throw error;
  }
}

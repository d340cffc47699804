/** Who listens where, as Linux itself says it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** @returns addresses as 127.0.0.1:80 that processes of these process groups listen on, sorted */
export function listenersOf(groups: readonly number[]): string[] {
  return listenersOfProcesses(groups.flatMap(processesOf));
}

/** The same of these processes. */
export function listenersOfProcesses(pids: readonly number[]): string[] {
  const sockets = new Set(pids.flatMap(socketsOf));
  const listening = ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode = ""]) => state === "0A" && sockets.has(inode))
      .map(([, local = ""]) => addressOf(local)),
  );
  return [...new Set(listening)].sort();
}

/** Ids of the processes of a process group. */
export function processesOf(group: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      // after the name, which may have brackets and spaces: state, parent, group
      const [, , found] = readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1)!.split(" ");
      return /^\d+$/.test(name) && Number(found) === group ? [Number(name)] : [];
    } catch {
      return []; // no process, or none any more
    }
  });
}

/** What a process was started with: its program with its arguments, and its environment as NAME=VALUE. */
export interface Started {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly env: readonly string[];
}

/**
 * Processes that were told of a folder, and all that they have started: of a run, LocalStack, the Batch server, functions, jobs with what they
 * start, cdk with its app.
 */
export function processesToldOf(folder: string): Started[] {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? startedAs(Number(name)) : []));
  const told = all.filter(({ command, env }) => [command, ...env].some((text) => text.includes(folder)));
  const found = new Map(told.map((one) => [one.pid, one]));
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const one of all) if (found.has(one.parent)) found.set(one.pid, one);
  }
  found.delete(process.pid); // the test itself may be told
  return [...found.values()];
}

/** Whether it is a trainer itself, not who was told how to start one. */
export const isTrainer = ({ command }: Started): boolean => /^\S+ \S*trainer\/main\.ts/.test(command);

function startedAs(pid: number): Started[] {
  try {
    const parts = (name: string): string[] => readFileSync(`/proc/${pid}/${name}`, "utf8").split("\0");
    const [, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
    return [{ pid, parent: Number(parent), command: parts("cmdline").join(" ").trim(), env: parts("environ") }];
  } catch {
    return []; // none any more, or one of another user
  }
}

function socketsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** 0100007F:0050 -> 127.0.0.1:80; of IPv6 as it is. */
function addressOf(local: string): string {
  const [address = "", port = ""] = local.split(":");
  const shown = address.length === 8 ? [...Buffer.from(address, "hex")].reverse().join(".") : address;
  return `${shown}:${Number.parseInt(port, 16)}`;
}

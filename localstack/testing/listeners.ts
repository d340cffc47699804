/** Who listens where, as Linux itself says it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** @returns addresses as 127.0.0.1:80 that processes of these process groups listen on, sorted */
export function listenersOf(groups: readonly number[]): string[] {
  const sockets = new Set(groups.flatMap(processesOf).flatMap(socketsOf));
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

/**
 * How many processors a container may use. Node asks the kernel how many this process may run on, and of cgroups of version 2 for the quota; those of
 * version 1 it does not see, so that a container with one processor would start threads for all of its machine's.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";

export interface CgroupPlaces {
  /** where the cgroups are mounted */
  readonly root: string;
  /** which of them this process is in */
  readonly self: string;
}

const PLACES: CgroupPlaces = { root: "/sys/fs/cgroup", self: "/proc/self/cgroup" };

/** From 1: a quota of 1.5 processors is 2. */
export function usableProcessors(places: CgroupPlaces = PLACES, seen: number = availableParallelism()): number {
  const quota = cpuQuota(places);
  return quota === undefined ? seen : Math.min(seen, Math.max(1, Math.ceil(quota)));
}

/** Processors' worth of time: the least that this process's cgroup and those around it are given. undefined: there is no quota. */
function cpuQuota({ root, self }: CgroupPlaces): number | undefined {
  const quotas = (read(self) ?? "").split("\n").flatMap((line) => {
    // "0::/a/b" of version 2, "1:cpu,cpuacct:/a/b" of version 1
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === "") return around(path).map((at) => ofVersion2(join(root, at)));
    return controllers.split(",").includes("cpu") ? around(path).map((at) => ofVersion1(join(root, "cpu", at))) : [];
  });
  const set = quotas.filter((quota) => quota !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}

/** The path and those above it. In a container the names are the host's, and only the topmost one is there: its own. */
function around(path: string): string[] {
  return path === "/" ? ["/"] : [path, ...around(dirname(path))];
}

function ofVersion2(folder: string): number | undefined {
  const [, quota, period] = /^(\d+) (\d+)$/.exec(read(join(folder, "cpu.max")) ?? "") ?? []; // "max 100000": none
  return quotient(quota, period);
}

function ofVersion1(folder: string): number | undefined {
  return quotient(read(join(folder, "cpu.cfs_quota_us")), read(join(folder, "cpu.cfs_period_us"))); // -1: none
}

function quotient(quota: string | undefined, period: string | undefined): number | undefined {
  const each = Number(quota) / Number(period);
  return Number.isFinite(each) && each > 0 ? each : undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { usableProcessors, type CgroupPlaces } from "./cgroup.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-cgroup-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
/** Cgroups with these files, and a process that is in these of them. */
function cgroups(self: string, files: Record<string, string>): CgroupPlaces {
  const root = join(folder, String(made++));
  const all = { "self-cgroup": `${self}\n`, ...files };
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
  return { root, self: join(root, "self-cgroup") };
}

const V1 = "2:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab";

it.each<[processors: number, of: string, self: string, files: Record<string, string>]>([
  [8, "without cgroups", "", {}],
  [8, "version 2 without a quota", "0::/", { "cpu.max": "max 100000" }],
  [2, "version 2 in a container", "0::/", { "cpu.max": "150000 100000" }],
  [
    3,
    "version 2, of a slice around it",
    "0::/a.slice/b",
    { "a.slice/cpu.max": "300000 100000", "a.slice/b/cpu.max": "max 100000" },
  ],
  [1, "version 2, less than a processor", "0::/", { "cpu.max": "20000 100000" }],
  [8, "a quota of more processors than there are", "0::/", { "cpu.max": "6400000 100000" }],
  [8, "version 1 without a quota", V1, { "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000" }],
  [4, "version 1 in a container", V1, { "cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000" }],
  [
    1,
    "version 1 on the host",
    V1,
    {
      "cpu/cpu.cfs_quota_us": "-1",
      "cpu/cpu.cfs_period_us": "100000",
      "cpu/docker/ab/cpu.cfs_quota_us": "50000",
      "cpu/docker/ab/cpu.cfs_period_us": "50000",
    },
  ],
  [8, "what is no number", "0::/", { "cpu.max": "many" }],
])("%d of 8 processors: %s", (processors, _, self, files) => {
  expect(usableProcessors(cgroups(self, files), 8)).toBe(processors);
});

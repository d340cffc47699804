import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { expect, it } from "vitest";
import { until } from "../scripts/workspace.ts";
import { startCloud } from "./cloud.ts";
import { Phases } from "./phases.ts";
import { ROOT } from "./root.ts";
import { cloudOfTests } from "./testing/cloud-of-tests.ts";
import { listenersOf, processesOf } from "./testing/listeners.ts";

const first = cloudOfTests();
const SOON_MS = 10_000;

it("starts beside another one, and leaves nothing: no process, no port, no folder", async () => {
  const lines: string[] = [];
  const cloud = await startCloud({ phases: new Phases((line) => lines.push(line)) });
  const groups = Object.values(cloud.pids);
  expect(listenersOf(groups)).toEqual([cloud.endpoint, cloud.batch].map((url) => new URL(url).host).sort());
  expect([cloud.endpoint, cloud.batch]).not.toContain(first.endpoint);
  await cloud.stop();
  expect(groups.flatMap(processesOf)).toEqual([]);
  expect(existsSync(cloud.folder)).toBe(false);
  expect((await fetch(`${first.endpoint}/_localstack/health`)).ok).toBe(true);
  expect(lines.map((line) => line.replace(/^ *[\d.]+ s {2}/, "")).sort()).toEqual([
    "install LocalStack",
    "start Batch",
    "start LocalStack",
  ]);
});

const PROGRAM = `
import { startCloud } from ${JSON.stringify(`${ROOT}localstack/cloud.ts`)};
import { Phases } from ${JSON.stringify(`${ROOT}localstack/phases.ts`)};
const cloud = await startCloud({ phases: new Phases(() => {}) });
console.log(JSON.stringify({ groups: Object.values(cloud.pids), folder: cloud.folder }));
if (process.argv[1] === "throw") throw new Error("a failed test");
await new Promise((resolve) => setTimeout(resolve, 600_000));
`;

it.each(["throw", "SIGKILL", "SIGTERM"] as const)(
  "ends with whoever started it, however that one ends: %s",
  async (how) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM, how], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    const ended = once(child, "exit");
    await until("its start", 60_000, async () => (said.endsWith("\n") ? true : undefined));
    const { groups } = JSON.parse(said) as { groups: number[] };
    expect(groups).toHaveLength(2);
    if (how !== "throw") child.kill(how);
    await ended;
    await until("the end of all", SOON_MS, async () => (groups.flatMap(processesOf).length === 0 ? true : undefined));
  },
);

it("says in one sentence what a LocalStack of one's own lacks, and starts only that", async () => {
  const quiet = new Phases(() => {});
  await expect(startCloud({ phases: quiet, endpoint: first.endpoint })).rejects.toThrow(
    /has no AWS Batch: start it with/,
  );
  const cloud = await startCloud({ phases: quiet, endpoint: first.endpoint, batch: first.batch });
  expect(cloud.pids).toEqual({});
  expect(cloud.env).toEqual(first.env);
  await cloud.stop();
  expect((await fetch(`${first.endpoint}/_localstack/health`)).ok).toBe(true);
});

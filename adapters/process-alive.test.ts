import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { identityOf, isAlive, kill, killGroup, signalProcess, startByPs } from "./process-alive.ts";

it("knows a process by its pid and start, the same each time it looks", async () => {
  const self = await identityOf(process.pid);
  if (self === undefined) throw new Error("not listed");
  expect(await identityOf(process.pid)).toEqual(self);
  expect(await isAlive(self)).toBe(true);
  expect(await isAlive({ ...self, start: `${self.start}1` })).toBe(false);
});

it("has no identity for a process that has ended, and signals nothing then", async () => {
  const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 600000)"], { stdio: "ignore", detached: true });
  const identity = await identityOf(child.pid ?? 0);
  if (identity === undefined) throw new Error("not listed");
  expect(await signalProcess({ ...identity, start: "another" }, "SIGKILL")).toBe(false);
  const exit = once(child, "exit");
  expect(await killGroup(identity)).toBe(true);
  expect(await exit).toEqual([null, "SIGKILL"]);
  expect(await isAlive(identity)).toBe(false);
  expect(await signalProcess(identity, "SIGTERM")).toBe(false);
  expect(await killGroup(identity)).toBe(false);
  expect(kill(identity.pid, "SIGTERM")).toBe(false);
});

it("counts a process that has ended but is not waited for as ended", async () => {
  // the shell becomes a program that never waits for the child it has
  const parent = spawn("/bin/sh", ["-c", "sleep 0.1 & echo $!; exec sleep 600"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const [line] = await once(parent.stdout, "data");
    const pid = Number(String(line));
    for (
      const untilMs = performance.now() + 30_000;
      performance.now() < untilMs && (await identityOf(pid)) !== undefined;
    )
      await sleep(20);
    expect(await identityOf(pid)).toBeUndefined();
    expect(await startByPs(pid)).toBeUndefined();
    // it is still listed
    expect(() => process.kill(pid, 0)).not.toThrow();
  } finally {
    parent.kill("SIGKILL");
  }
});

it("tells the start by ps as well, where there is no /proc", async () => {
  const start = await startByPs(process.pid);
  expect(start).toMatch(/\d\d:\d\d:\d\d/);
  expect(await startByPs(process.pid)).toBe(start);
  expect(await startByPs(2_000_000_000)).toBeUndefined();
});

/** A full disk: a small file system of its own holds the state, the data or the trainer's files. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli, type CliResult } from "../run-cli.ts";
import { csv, drop, expectFailure, expectSafe, whereIs } from "./workspace.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-disk-"));
const mounts: string[] = [];
afterAll(async () => {
  for (const path of mounts) execFileSync("umount", [path]);
  await rm(folder, { recursive: true, force: true });
});

/** Undefined where this user may not mount. */
async function smallDisk(name: string, size: string): Promise<string | undefined> {
  const path = join(folder, name);
  await mkdir(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  mounts.push(path);
  return path;
}
const probe = await smallDisk("probe", "64k");

/** Leaves about so many bytes. */
async function fill(disk: string, leaveBytes: number): Promise<string> {
  const { bavail, bsize } = await statfs(disk);
  const path = join(disk, ".fill");
  await writeFile(path, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
  return path;
}

describe.skipIf(probe === undefined)("a full disk (needs the right to mount one)", { concurrent: true }, () => {
  it("of the state: the disk is named, no half file counts, and with space again all is trained once", async () => {
    const disk = (await smallDisk("state", "3m"))!;
    const dir = await initWorkspace(folder, "state-full", [["epochs: 5,", "epochs: 2,"]]);
    const accrete = (...args: string[]): Promise<CliResult> => runCli(dir, args, { ACCRETE_STATE: disk });
    const all = async (): Promise<unknown> => JSON.parse((await accrete("log", "--json")).out);
    await drop(dir, "1.csv", csv(1));
    expect(await accrete("up", "--once")).toMatchObject({ code: 0, err: "" });

    // nothing can be written at all
    let filled = await fill(disk, 0);
    await drop(dir, "2.csv", csv(2));
    expectFailure(await accrete("up", "--once"), 1, "OUT_OF_DISK", `(in ${join(disk, "flowers")})`);
    expect(await accrete("status")).toMatchObject({ code: 0, out: expect.stringContaining("model  round 1") });
    await rm(filled);
    expect(await accrete("up", "--once")).toMatchObject({ code: 0, err: "" });
    expect(await all()).toMatchObject([
      { round: 2, items: 1 },
      { round: 1, items: 1 },
    ]);

    // a plan and an attempt can, a checkpoint can't
    filled = await fill(disk, 40_000);
    await drop(dir, "3.csv", csv(3));
    const up = await accrete("up", "--once");
    expectSafe(up);
    expect(up.code).toBe(1);
    // the trainer's error, or the ledger's own where even its small files find no space any more
    expect(up.err).toMatch(/^error (ATTEMPTS_USED_UP: .*exit code 70: )?OUT_OF_DISK: .*no space left/);
    expect(up.err).toMatch(/\nwhat to do: [^\n]+\n$/);
    const status = await accrete("status");
    expect(status).toMatchObject({ code: 0, err: "" });
    expect((await accrete("verify")).out).toContain("all whole");
    await rm(filled);
    const blocked = status.out.includes("blocked: ATTEMPTS_USED_UP");
    if (blocked) expect(await accrete("retry")).toMatchObject({ code: 0 });
    expect(await accrete("up", "--once")).toMatchObject({ code: 0, err: "" });
    expect(await all()).toMatchObject([{ round: 3, items: 1 }, { round: 2 }, { round: 1 }]);
    expect(await accrete("verify")).toMatchObject({ code: 0, err: "" });
    expect(await readdir(join(disk, "flowers", ".tmp"))).toEqual([]);
  });

  it("of the data: add says so and leaves no half file", async () => {
    const disk = (await smallDisk("data", "64k"))!;
    const dir = await initWorkspace(folder, "data-full");
    await writeFile(join(dir, "large.csv"), csv(1, 8_000));
    const accrete = (...args: string[]): Promise<CliResult> => runCli(dir, args, { ACCRETE_DATA: disk });
    expectFailure(await accrete("add", "large.csv"), 1, "OUT_OF_DISK", `large.csv: no space is left in ${disk}`);
    expect(await readdir(join(disk, "flowers"))).toEqual([]);
    await writeFile(join(dir, "small.csv"), csv(1));
    expect(await accrete("add", "small.csv")).toMatchObject({ code: 0, err: "" });
  });

  it("of the trainer's files: status says it, and after a retry all is trained once", async () => {
    const disk = (await smallDisk("jobs", "256k"))!;
    const dir = await initWorkspace(folder, "jobs-full", [
      ["epochs: 5,", "epochs: 2,"],
      ["trigger:", "jobs: { attempts: 2 },\n      trigger:"],
    ]);
    await mkdir(join(dir, ".accrete", "jobs"), { recursive: true });
    execFileSync("mount", ["--bind", disk, join(dir, ".accrete", "jobs")]);
    mounts.unshift(join(dir, ".accrete", "jobs"));
    await drop(dir, "large.csv", csv(1, 20_000));
    const up = await runCli(dir, ["up", "--once"]);
    expectFailure(up, 1, "ATTEMPTS_USED_UP", /exit code 70: OUT_OF_DISK: flowers\/large\.csv: ENOSPC: .*\(in \//);
    const status = await runCli(dir, ["status"]);
    expect(status.out).toMatch(/blocked: ATTEMPTS_USED_UP: .*OUT_OF_DISK[^]*what to do: .*accrete retry/);
    execFileSync("mount", ["-o", "remount,size=8m", disk]);
    expect(await runCli(dir, ["retry"])).toMatchObject({ code: 0, err: "" });
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 0, err: "" });
    expect(await whereIs(dir, "large.csv")).toEqual(["learned 1"]);
    expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0, err: "" });
  });
});

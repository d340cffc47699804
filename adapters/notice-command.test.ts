import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commandChannel } from "./notice-command.ts";

let folder: string;
beforeAll(async () => void (folder = await realpath(await mkdtemp(join(tmpdir(), "accrete-command-")))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const NOTICE = { kind: "blocked", pipeline: "cats", body: '{"format":1}' };
const shell = (script: string) => commandChannel(["/bin/sh", "-c", script, "sh"], { folder });

describe("a command", () => {
  it("gets the JSON as a line, kind and pipeline, and runs in the config's folder", async () => {
    const script = 'cat >got.txt; printf "%s %s %s" "$ACCRETE_NOTICE_KIND" "$ACCRETE_NOTICE_PIPELINE" "$PWD" >>got.txt';
    expect(await shell(script).send(NOTICE)).toEqual({ outcome: "delivered" });
    expect(await readFile(join(folder, "got.txt"), "utf8")).toBe(`{"format":1}\nblocked cats ${folder}`);
  });

  it("is run without a shell, by a path relative to that folder too", async () => {
    await writeFile(join(folder, "tell"), '#!/bin/sh\nprintf "%s" "$1" >"args.txt"\n', { mode: 0o755 });
    expect(await commandChannel(["./tell", "$(id) *"], { folder }).send(NOTICE)).toEqual({ outcome: "delivered" });
    expect(await readFile(join(folder, "args.txt"), "utf8")).toBe("$(id) *");
  });

  it.each([
    ["exit 3", "exit code 3"],
    ["echo one; echo two >&2; exit 1", "exit code 1: two"],
    ["kill -9 $$", "SIGKILL"],
  ])("that ends otherwise has failed, with its last line: %s", async (script, error) => {
    expect(await shell(script).send(NOTICE)).toEqual({ outcome: "failed", error });
  });

  it("that can't be started is refused", async () => {
    const sent = await commandChannel(["./nowhere"], { folder }).send(NOTICE);
    expect(sent).toMatchObject({ outcome: "refused", error: expect.stringContaining("ENOENT") });
    await writeFile(join(folder, "no-program"), "");
    expect(await commandChannel(["./no-program"], { folder }).send(NOTICE)).toMatchObject({ outcome: "refused" });
  });

  it("that does not end is ended at its time limit, with what it has started", async () => {
    const sent = await shell("sleep 600 & echo $! >pid.txt; wait").send(NOTICE, { limitMs: 500 });
    expect(sent).toEqual({ outcome: "failed", error: "ended after 0.5 s" });
    const pid = Number(await readFile(join(folder, "pid.txt"), "utf8"));
    // killed, and maybe not yet waited for by init
    await expect
      .poll(() =>
        readFile(`/proc/${pid}/stat`, "utf8").then(
          (stat) => stat.split(") ")[1]?.[0],
          () => "gone",
        ),
      )
      .toMatch(/gone|Z/);
  });

  it("need not read, and what it leaves running is not waited for", async () => {
    const large = { ...NOTICE, body: "x".repeat(1_000_000) };
    expect(await shell("exit 0").send(large)).toEqual({ outcome: "delivered" });
    const beganMs = performance.now();
    expect(await shell("sleep 20 & exit 0").send(NOTICE)).toEqual({ outcome: "delivered" });
    expect(performance.now() - beganMs).toBeLessThan(15_000);
  });
});

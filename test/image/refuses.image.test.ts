/** What ends the container at once, with a word about it: what the machine lacks that the job was promised. */
import { chownSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { newFolder } from "../../trainer/testing/rounds.ts";
import { AS_USER, SKIPPED, WHY, start, stored } from "./container.ts";
import { docker } from "./engine.ts";

describe.skipIf(SKIPPED)(`the container's scratch${WHY}`, () => {
  it("as a named volume belongs to the image's user, and is used", async () => {
    const name = `accrete-test-${process.pid}-${Date.now()}`;
    await docker("volume", "create", name);
    try {
      const container = await start(await stored(), { args: ["-v", `${name}:/scratch`] });
      const { exit, log } = await container.ended();
      expect(exit, log).toBe(0);
      await docker("rm", container.id);
    } finally {
      await docker("volume", "rm", name);
    }
  });

  it.skipIf(AS_USER.length > 0)("as a folder of root's ends it with 69, and says whose it has to be", async () => {
    const folder = newFolder();
    chownSync(folder, 0, 0);
    const at = await stored();
    const { exit, log } = await (await start(at, { args: ["-v", `${folder}:/scratch`] })).ended();
    expect(exit, log).toBe(69);
    expect(log).toMatch(
      /SCRATCH_NOT_WRITABLE: the trainer \(user 10001\) .*EACCES.*'\/scratch\/.*\nwhat to do: .*`chown 10001`/,
    );
    expect(await at.place.failure(1)).toMatchObject({ code: "SCRATCH_NOT_WRITABLE", exit: 69 });

    // as it is told to
    chownSync(folder, 10_001, 10_001);
    const again = await start(at, { args: ["-v", `${folder}:/scratch`], env: { ACCRETE_ATTEMPT: "2" } });
    expect(await again.ended()).toMatchObject({ exit: 0 });
  });
});

describe.skipIf(SKIPPED)(`a backend that the image has not${WHY}`, () => {
  it("ends it with a word about it", async () => {
    const { exit, log } = await (await start(await stored(), { env: { ACCRETE_BACKEND: "wasm" } })).ended();
    expect(exit, log).not.toBe(0);
    expect(log).toMatch(/BACKEND_NOT_USABLE: ACCRETE_BACKEND=wasm can't be used: .*the trainer's image has none/);
  });
});

describe.skipIf(SKIPPED)(`a job that was promised a GPU${WHY}`, () => {
  it("and sees none ends with 69 and a failure record, and trains nothing", async () => {
    const at = await stored();
    const { exit, log } = await (await start(at, { env: { ACCRETE_GPUS: "1" } })).ended();
    expect(exit, log).toBe(69);
    expect(log).toContain("GPU_NOT_SEEN");
    expect(await at.place.failure(1)).toMatchObject({ code: "GPU_NOT_SEEN", exit: 69 });
    expect(await at.place.keys("rounds/")).not.toContainEqual(expect.stringContaining("result"));
  });
});

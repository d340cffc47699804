/** What a stranger who got into the trainer's container could do with it. */
import { describe, expect, it } from "vitest";
import { SKIPPED, WHY, IMAGE, stored, start, UID } from "./container.ts";
import { docker, TEST_BASE } from "./engine.ts";

/** What /proc says of the trainer, and what writing answers where. */
const LOOK = `
  const fs = require("fs"), os = require("os");
  const status = fs.readFileSync("/proc/1/status", "utf8");
  const field = (name) => status.match(new RegExp("^" + name + ":\\\\s*(\\\\S+)", "m"))[1];
  const write = (path) => { try { fs.writeFileSync(path, "x"); fs.rmSync(path); return "written"; } catch (error) { return error.code; } };
  let user; try { user = os.userInfo().username; } catch { user = null; }
  console.log(JSON.stringify({
    user, uid: field("Uid"), gid: field("Gid"), capabilities: field("CapEff"), bounding: field("CapBnd"), noNewPrivileges: field("NoNewPrivs"),
    root: write("/x"), code: write("/opt/accrete/app/x"), node: write("/opt/accrete/bin/node"), data: write("/data/x"),
    tmp: write("/tmp/x"), scratch: write("/scratch/x"), state: write("/state/x"),
  }));`;

const LONG = { trainer: { epochs: 100_000 } } as const;

describe.skipIf(SKIPPED)(`the trainer's container, locked down${WHY}`, () => {
  it("trains as a user that is in no passwd file, with no capability, and writes to /tmp, /scratch and the state alone", async () => {
    const container = await start(await stored(LONG));
    await container.says(/epoch 2\//);
    expect(JSON.parse(await container.node(LOOK))).toEqual({
      user: null,
      uid: String(UID),
      gid: expect.any(String),
      capabilities: "0000000000000000",
      bounding: "0000000000000000",
      noNewPrivileges: "1",
      root: "EROFS",
      code: "EROFS",
      node: "EROFS",
      data: "EROFS",
      tmp: "written",
      scratch: "written",
      state: "written",
    });
    await container.signal("KILL");
  });

  it("leaves nothing in its root file system but mount points after a training", async () => {
    const from = performance.now();
    const at = await stored();
    const container = await start(at);
    await container.says(/epoch 1\//);
    console.log(`  from docker run to the end of the first epoch, 4 steps: ${Math.round(performance.now() - from)} ms`);
    expect(await container.ended()).toMatchObject({ exit: 0, outOfMemory: false });
    expect((await at.place.result()).attempt).toMatch(/^1\./);
    const changed = (await container.changes()).map((line) => line.replace(/^[AC] /, ""));
    for (const path of changed)
      expect(["/data", "/state", "/tmp", "/scratch", "/dev", "/etc", "/proc", "/sys"]).toContain(path);
  });

  it("has no file with setuid or setgid of its own, and outside of its two folders all is as in the base", async () => {
    const list = (image: string, ...where: string[]): Promise<string> =>
      docker(
        "run",
        "--rm",
        "--network=none",
        "--user=0",
        "--entrypoint=/usr/bin/find",
        image,
        ...where,
        "-printf",
        "%M %U:%G %p\\n",
      );
    const rest = [
      "/",
      "-xdev",
      "(",
      "-path",
      "/opt/accrete",
      "-o",
      "-path",
      "/scratch",
      ")",
      "-prune",
      "-o",
      "-type",
      "f",
    ];
    expect(await list(IMAGE, ...rest)).toBe(await list(TEST_BASE, ...rest));
    expect(await list(IMAGE, "/opt/accrete", "/scratch", "-perm", "/6000")).toBe("");
    // nobody but root may change what is run
    expect(
      await list(IMAGE, "/opt/accrete", "(", "-not", "-user", "0", "-o", "-perm", "/022", ")", "-not", "-type", "l"),
    ).toBe("");
  });
});

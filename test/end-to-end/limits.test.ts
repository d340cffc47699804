/** A machine that is at its limits: `up` says so and goes on. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { initWorkspace, startCli } from "../run-cli.ts";
import { csv, drop } from "./workspace.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-limits-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A user namespace has limits of its own. */
const noWatches = (program: string): string[] => [
  "unshare",
  "-Ur",
  "sh",
  "-c",
  `echo 0 > /proc/sys/user/max_inotify_watches && ${program}`,
  "sh",
];
function isPermitted(): boolean {
  try {
    const [program = "", ...args] = noWatches("true");
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("limits", () => {
  it.skipIf(!isPermitted())(
    "without a watch of the system's left (needs a user namespace), what is there is learned all the same",
    async () => {
      const dir = await initWorkspace(folder, "no-watches", [["epochs: 5,", "epochs: 2,"]]);
      await drop(dir, "1.csv", csv(1));
      const up = startCli(dir, ["up"], {}, { under: noWatches('exec "$@"') });
      await up.says(/round 1 has learned 1 item/);
      expect(up.out().match(/error .*WATCH_FAILED: \S+\/\.accrete\/(data|jobs)/g)).toHaveLength(2);
      up.process.kill("SIGINT");
      expect(await up.ended).toMatchObject({ code: 0, err: "" });
    },
  );
});

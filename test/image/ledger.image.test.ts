/** The ledger with the image's containers as its jobs: the loop of `accrete up`, whose job's command is `docker run`. */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openProcessJobs } from "../../adapters/process-jobs.ts";
import { openLocalPipeline } from "../../cli/compose-local.ts";
import { startLoop, type Done } from "../../cli/loop.ts";
import { Progress } from "../../cli/progress.ts";
import type { Jobs } from "../../protocol/ports.ts";
import { allDigits, idxFile } from "../../scripts/digits.ts";
import { checkpointDigest, DigitsWorkspace } from "../../scripts/workspace.ts";
import { runCli } from "../run-cli.ts";
import { SKIPPED, WHY, runCommand, THREADS } from "./container.ts";

let folder = "";
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "accrete-image-")));
  chmodSync(folder, 0o755); // the container's user has to get through
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The loop until nothing is left to do, each of its jobs a container. @param args of `docker run` */
async function upOnce(workspace: DigitsWorkspace, args: readonly string[] = []): Promise<Done> {
  const pipeline = await openLocalPipeline({ dir: workspace.folder });
  const { stateFolder, dataFolder } = pipeline.workspace;
  const state = join(stateFolder, pipeline.config.name);
  const jobs: Jobs = openProcessJobs({
    folder: pipeline.jobsFolder,
    command: runCommand({ state, data: dataFolder }, args),
    env: { ACCRETE_STATE: pathToFileURL(state).href, ACCRETE_DATA: pathToFileURL(dataFolder).href },
  });
  const loop = await startLoop({ ...pipeline, jobs }, { progress: new Progress([]), once: true });
  try {
    return await loop.untilDone();
  } finally {
    await loop.stop();
  }
}

const digits = allDigits();
const DELIVERIES = [idxFile(digits.slice(0, 500)), idxFile(digits.slice(500, 2_000))];

async function digestOf(workspace: DigitsWorkspace, round: number): Promise<string> {
  const entry = (await workspace.entries()).at(round - 1);
  if (entry?.kind !== "round" || entry.round !== round) throw new Error(`entry ${round} is not round ${round}`);
  return checkpointDigest(await workspace.digests(entry));
}

describe.skipIf(SKIPPED)(`the ledger with containers as its jobs${WHY}`, () => {
  it("trains two rounds to the same bits as the trainer outside, and what is stored is whole", async () => {
    const [inside, outside] = [
      new DigitsWorkspace(join(folder, "inside")),
      new DigitsWorkspace(join(folder, "outside")),
    ];
    for (const [i, delivery] of DELIVERIES.entries()) {
      inside.drop(`digits-${i + 1}.idx`, delivery);
      outside.drop(`digits-${i + 1}.idx`, delivery);
      expect(await upOnce(inside)).toMatchObject({ is: "done", status: { round: i + 1, next: { is: "idle" } } });
      const env = { ACCRETE_BACKEND: "native", ACCRETE_THREADS: THREADS };
      const up = await runCli(outside.folder, ["up", "--once"], env);
      expect(up.code, up.err).toBe(0);
      expect(await digestOf(inside, i + 1)).toBe(await digestOf(outside, i + 1));
    }
    const [first, second] = await inside.entries();
    expect(second?.checkpoint?.step).toBeGreaterThan(first?.checkpoint?.step ?? Infinity);
    expect(await inside.problems()).toBeUndefined();
  });

  it("that get too little memory are killed: another attempt, then the round is blocked, and status says what to do", async () => {
    const workspace = new DigitsWorkspace(join(folder, "memory"), (config) =>
      config.replace("gate:", "jobs: { attempts: 2 },\n      gate:"),
    );
    workspace.drop("digits-1.idx", DELIVERIES[0]!);
    const done = await upOnce(workspace, ["--memory=64m", "--memory-swap=64m"]);
    expect(done).toMatchObject({ is: "obstacle", obstacle: { code: "ATTEMPTS_USED_UP" } });

    const status = await runCli(workspace.folder, ["status"]);
    const why =
      /exit code 137: killed, as happens when it runs out of memory: give it more memory \(on AWS `compute\.memory`\)/;
    expect(status.out).toMatch(/blocked/);
    expect(status.out).toMatch(/2 attempts without progress; the last one: exit code 137/);
    expect(status.out).toMatch(why);
    expect(status.out).toContain("then `accrete retry`");
    const show = await runCli(workspace.folder, ["show", "1"]);
    expect(show.out.match(new RegExp(why, "g"))).toHaveLength(2);

    // as it is told to
    expect((await runCli(workspace.folder, ["retry", "--yes"])).code).toBe(0);
    expect(await upOnce(workspace)).toMatchObject({ is: "done", status: { round: 1, next: { is: "idle" } } });
  });
});

/** `accrete up` beside another one, killed and interrupted: real processes, the real trainer. */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli, startCli } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-up-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.concurrent("up", () => {
  /** By another name first, so that a file appears whole. */
  async function drop(dir: string, name: string, seed: number): Promise<void> {
    const data = join(dir, ".accrete", "data", "flowers");
    await mkdir(data, { recursive: true });
    await writeFile(join(dir, name), sampleCsv(100, seed));
    await rename(join(dir, name), join(data, name));
  }
  const entries = async (dir: string): Promise<unknown> => JSON.parse((await runCli(dir, ["log", "--json"])).out);

  it("two of them on one directory train no round twice and meet no error", async () => {
    const dir = await initWorkspace(folder, "both");
    const ups = [startCli(dir, ["up"]), startCli(dir, ["up"])];
    const said = (): string => ups.map((up) => up.out()).join("");
    try {
      await Promise.all(ups.map((up) => up.says(/Ctrl-C stops it/)));
      for (const round of [1, 2, 3]) {
        await drop(dir, `day-${round}.csv`, round);
        for (let looks = 0; !said().includes(`round ${round} has learned 1 item`); looks++) {
          if (looks > 1_000) throw new Error(said());
          await new Promise((resolve) => setTimeout(resolve, 25));
        }
      }
    } finally {
      for (const up of ups) up.process.kill("SIGINT");
    }
    const ended = await Promise.all(ups.map((up) => up.ended));
    expect(ended).toMatchObject([
      { code: 0, err: "" },
      { code: 0, err: "" },
    ]);
    expect(said()).not.toMatch(/error|warning/);
    for (const round of [1, 2, 3]) expect(said().match(new RegExp(`round ${round}: attempt`, "g"))).toHaveLength(1);
    expect(await entries(dir)).toMatchObject([
      { round: 3, items: 1 },
      { round: 2, items: 1 },
      { round: 1, items: 1 },
    ]);
    expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0 });
  });

  it("takes in a folder of more files than may be open at once", async () => {
    const dir = await initWorkspace(folder, "many", [["minItems: 1", "minItems: 1_000"]]);
    await mkdir(join(dir, "beside"));
    for (let i = 0; i < 400; i++) await writeFile(join(dir, "beside", `day-${i}.csv`), sampleCsv(1, i));
    const up = startCli(dir, ["up"], {}, { under: ["sh", "-c", 'ulimit -n 100 && exec "$@"', "sh"] });
    await up.says(/Ctrl-C stops it/);
    await mkdir(join(dir, ".accrete/data/flowers"), { recursive: true });
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // its first sweeps are over: only the watcher tells
    await rename(join(dir, "beside"), join(dir, ".accrete/data/flowers/many"));
    await up.says(/arrived +400 items/);
    up.process.kill("SIGINT");
    const { out } = await up.ended;
    expect(out).not.toContain("error");
  });

  it("killed in the middle of a training, the next one finds the job; Ctrl-C lets it save, and the next goes on from there", async () => {
    const dir = await initWorkspace(folder, "killed", [["epochs: 5,", "epochs: 150,"]]);
    await drop(dir, "day-1.csv", 1);
    const first = startCli(dir, ["up"]);
    await first.says(/round 1 {4}epoch /);
    first.process.kill("SIGKILL");
    await first.ended;
    const second = startCli(dir, ["up"]);
    await second.says(/round 1 {4}epoch /);
    expect(second.out()).not.toContain("submitted");
    second.process.kill("SIGINT");
    const stopped = await second.ended;
    expect(stopped).toMatchObject({ code: 0, err: "" });
    expect(stopped.out).toMatch(/stopping {3}the training is asked to save and end[^]*stopped {4}the next/);
    const third = await runCli(dir, ["up", "--once"]);
    expect(third).toMatchObject({ code: 0, err: "" });
    expect(third.out).toMatch(/round 1: attempt 2 started[^]*committed/);
    expect(JSON.parse((await runCli(dir, ["show", "1", "--json"])).out)).toMatchObject({
      attempts: [
        { attempt: 1, job: { exitCode: 75 } },
        { attempt: 2, job: { exitCode: 0 } },
      ],
      result: { epochsAdded: 150 },
    });
  });

  it("in the middle of a training, status says how far it is", async () => {
    const dir = await initWorkspace(folder, "far", [
      ["epochs: 5,", "epochs: 100000,"],
      ["trainer:", "budget: { pricePerHour: 3_600 },\n      trainer:"],
    ]);
    await drop(dir, "day-1.csv", 1);
    const up = startCli(dir, ["up"]);
    await up.says(/round 1 {4}epoch /);
    const status = await runCli(dir, ["status"]);
    up.process.kill("SIGINT");
    await up.ended;
    expect(status.out).toMatch(
      /\n +epoch \d+\/100000 step \d+\/\d+ loss \S+ rate \S+ \d+ examples\/s, .* left\n +.* s of jobs so far, \$\d+\.\d\d\n +next +attempt 1 is training\n/,
    );
    expect((await runCli(dir, ["status"])).out).not.toContain("/100000 step");
  });

  it("ends with the reason where the state can't be read, and leaves nothing behind that keeps it alive", async () => {
    const dir = await initWorkspace(folder, "unreadable");
    await mkdir(join(dir, ".accrete", "state"), { recursive: true });
    await writeFile(join(dir, ".accrete", "state", "flowers"), "not a folder");
    for (const args of [["up"], ["up", "--once"], ["status"]]) {
      expect(await runCli(dir, args)).toMatchObject({
        code: 1,
        err: expect.stringContaining("error STORE_UNREADABLE: "),
      });
    }
  });
});

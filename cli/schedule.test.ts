/** A schedule and a budget as a user meets them: real processes, the real trainer. */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli, startCli } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-schedule-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function drop(dir: string, name: string, seed: number): Promise<void> {
  const data = join(dir, ".accrete", "data", "flowers");
  await mkdir(data, { recursive: true });
  await writeFile(join(data, name), sampleCsv(100, seed));
}

describe.concurrent("a config with", () => {
  it("a budget: train --dry-run says what it will cost; used up, up --once ends and says so, and status, too", async () => {
    // a tenth of a second of training, beyond the minute below which nothing is left
    const budget = `budget: { perDay: 60.1, pricePerHour: 3_600 },\n      trainer:`;
    const dir = await initWorkspace(folder, "budget", [["trainer:", budget]]);
    await drop(dir, "day-1.csv", 1);
    expect(await runCli(dir, ["train", "--dry-run"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /^flowers: round 1 would learn 1 item .*: how long is not known before the first round[^]*flowers\/day-1\.csv[^]*Nothing was taken in/,
      ),
    });
    expect((await runCli(dir, ["status"])).out).toContain("nothing waits");
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 0 });

    await drop(dir, "day-2.csv", 2);
    const dry = (await runCli(dir, ["train", "--dry-run"])).out;
    expect(dry).toMatch(/round 2 would learn 1 item .*: about .* s, about \$\d+\.\d\d, judged by the last round/);
    expect((await runCli(dir, ["log"])).out).toMatch(/; accuracy .*; [\d.]+ s, \$\d+\.\d\d, [\d,]+ examples\/s/);
    const shown = (await runCli(dir, ["show", "1"])).out;
    expect(shown).toMatch(
      /\ntime {2}[\d.]+ s, \$\d+\.\d\d of jobs\n {2}stage .* train .*, evaluate .*\n {2}[\d,]+ examples\/s, a step \S+ \/ \S+ \/ \S+ ms \(median \/ p90 \/ p99\)\n {2}peak memory \d+\.\d MB\n/,
    );
    expect(shown).not.toContain("run.");
    expect(JSON.parse((await runCli(dir, ["show", "1", "--json"])).out)).toMatchObject({
      jobMs: expect.any(Number),
      dollars: expect.any(Number),
    });
    expect(dry).toContain("Its job would not start yet: the budget of $60.10 a day is used up");
    const once = await runCli(dir, ["up", "--once"]);
    expect(once).toMatchObject({ code: 0 });
    expect(once.out).toMatch(/budget +round 2 waits: the budget of \$60\.10 a day is used up/);
    expect(once.out).toMatch(
      /ends before round 2 is trained: the budget of .* is used up .*: goes on in .*, or raise budget/,
    );
    const status = JSON.parse((await runCli(dir, ["status", "--json"])).out) as { spent: { day: number } };
    expect(status).toMatchObject({ next: { is: "waiting", for: "budget", per: "day", limit: 60.1 } });
    expect(status.spent.day).toBeGreaterThan(0.1);
    expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0 });
  });

  it("a budget that is used up by a blocked round: a retry says that it made none, and fails", async () => {
    const budget = `budget: { perDay: 60.05, pricePerHour: 3_600 },\n      trainer:`;
    const dir = await initWorkspace(folder, "blocked", [["trainer:", budget]]);
    await writeFile(join(dir, "model.ts"), 'export default { build() { throw new Error("not yet"); } };');
    await drop(dir, "day-1.csv", 1);
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 1 });
    const retry = await runCli(dir, ["retry"]);
    expect(retry).toMatchObject({
      code: 1,
      out: expect.stringMatching(
        /^flowers: round 1 stays blocked, as the budget of \$60\.05 a day is used up .*: retry it from/,
      ),
    });
    expect(await runCli(dir, ["status"])).toMatchObject({ out: expect.stringContaining("blocked") });
  });

  it("a schedule: up makes up what was missed, below the minimum, and says when the next is due", async () => {
    const changes = [
      ["trainer:", `schedule: { every: "1 day" },\n      trainer:`],
      ["minItems: 1", "minItems: 5"],
    ] as const;
    const dir = await initWorkspace(folder, "schedule", changes);
    await drop(dir, "day-1.csv", 1);
    expect((await runCli(dir, ["up", "--once"])).out).toContain("1 item of at least 5 wait for more");
    // as if it had waited for two days
    const inbox = join(dir, ".accrete", "state", "flowers", "inbox");
    const before = new Date(Date.now() - 2 * 86_400_000);
    for (const name of await readdir(inbox)) await utimes(join(inbox, name), before, before);
    const up = startCli(dir, ["up"]);
    try {
      await up.says(/retrains what waits at \d{4}-\d\d-\d\d /);
      await up.says(/round 1: 1 item planned/);
      await up.says(/round 1 has learned 1 item/);
    } finally {
      up.process.kill("SIGINT");
    }
    await up.ended;
    expect((await runCli(dir, ["status"])).out).toMatch(/retrains +what waits at .* \(in .*\); needs `accrete up`/);
  });
});

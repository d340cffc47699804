/** data.since as a user meets it: what `up` passes over, what `add` makes of an old file, and what `why` says. */
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { initWorkspace, runCli } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-since-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const in2019 = new Date("2019-06-01T00:00:00Z");

it("files that are older than data.since are not learned; an added copy of one is new", async () => {
  const dir = await initWorkspace(folder, "old", [["holdout: 0.1,", 'holdout: 0.1, since: "2020-01-01",']]);
  const data = join(dir, ".accrete", "data", "flowers");
  await mkdir(data, { recursive: true });
  await writeFile(join(data, "lying.csv"), sampleCsv(60, 1));
  await writeFile(join(dir, "added.csv"), sampleCsv(60, 2));
  for (const file of [join(data, "lying.csv"), join(dir, "added.csv")]) await utimes(file, in2019, in2019);
  expect(await runCli(dir, ["why", "flowers/lying.csv"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("it does not count: it was last written before data.since"),
  });
  expect(await runCli(dir, ["add", "added.csv"])).toMatchObject({ code: 0 });
  expect(await runCli(dir, ["up", "--once"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("round 1 has learned 1 item"),
  });
  expect((await runCli(dir, ["why", "flowers/added.csv"])).out).toContain("learned by round 1");
  expect((await runCli(dir, ["why", "flowers/lying.csv"])).out).toContain("it does not count");
  // the plan has carried the time into the state, and the state reads it again
  expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0 });
});

it("add copies nothing that would not count, as the time is still to come", async () => {
  const dir = await initWorkspace(folder, "to-come", [["holdout: 0.1,", 'holdout: 0.1, since: "2999-01-01",']]);
  expect(await runCli(dir, ["add", "sample/flowers-1.csv"])).toMatchObject({
    code: 64,
    err: expect.stringContaining("data.since is a time that is still to come"),
  });
});

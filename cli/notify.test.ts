/** Notices as they reach people: real rounds, a server on this machine, a program. */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deadUrl, openLoopback } from "../test/loopback.ts";
import { initWorkspace, runCli, startCli } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-notify-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const withNotify = (name: string, notify: string): Promise<string> =>
  initWorkspace(folder, name, [["keep: {", `notify: ${notify},\n      keep: {`]]);
const TELL = '["/bin/sh", "-c", "cat >>told.txt"]';

async function drop(dir: string, name: string, body: string): Promise<void> {
  const data = join(dir, ".accrete", "data", "flowers");
  await mkdir(data, { recursive: true });
  await writeFile(join(dir, name), body);
  await rename(join(dir, name), join(data, name));
}
const lines = async (dir: string): Promise<unknown[]> =>
  (await readFile(join(dir, "told.txt"), "utf8").catch(() => ""))
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => JSON.parse(text) as unknown);
const kinds = (bodies: readonly unknown[]): unknown[] => bodies.map((body) => (body as { kind: unknown }).kind);

describe.concurrent("notices", () => {
  it("of a commit come by webhook and command with the metrics, once, whatever starts again", async () => {
    const place = await openLoopback();
    try {
      const dir = await withNotify(
        "commit",
        `{ webhook: { url: "${place.url}", headers: { authorization: "Bearer hunter2" } }, command: ${TELL} }`,
      );
      await drop(dir, "a.csv", sampleCsv(100, 1));
      for (let starts = 0; starts < 2; starts++) {
        const up = await runCli(dir, ["up", "--once"]);
        expect(up).toMatchObject({ code: 0, err: "" });
        expect(up.out).not.toContain("hunter2");
      }
      const expected = {
        format: 1,
        kind: "committed",
        pipeline: "flowers",
        seq: 1,
        round: 1,
        metrics: { accuracy: expect.any(Number) },
        message: expect.stringContaining("round 1 has learned 1 item"),
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      };
      expect(place.got.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject([expected]);
      expect(place.got[0]?.headers).toMatchObject({
        authorization: "Bearer hunter2",
        "user-agent": expect.stringMatching(/^accrete\/\d/),
      });
      expect(await lines(dir)).toMatchObject([expected]);
      expect(JSON.parse((await runCli(dir, ["status", "--json"])).out)).toMatchObject({ notices: [] });
    } finally {
      await place.close();
    }
  });

  it("a place that is away or does not answer stops no round; killed, the next start tells what was not told", async () => {
    const place = await openLoopback();
    try {
      place.answer("hang");
      const dir = await withNotify("away", `{ webhook: { url: "${place.url}" } }`);
      const up = startCli(dir, ["up"]);
      await up.says(/Ctrl-C stops it/);
      for (const round of [1, 2]) {
        await drop(dir, `${round}.csv`, sampleCsv(100, round));
        await up.says(new RegExp(`round ${round} has learned`));
      }
      up.process.kill("SIGKILL");
      await up.ended;
      expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0 });
      place.answer(200);
      const before = place.got.length;
      expect(await runCli(dir, ["up", "--once"])).toMatchObject({ code: 0, err: "" });
      const after = place.got.slice(before).map(({ body }) => (JSON.parse(body) as { seq: number }).seq);
      expect(after.sort()).toEqual([1, 2]);
    } finally {
      await place.close();
    }
  });

  it("of a blocked round come once, and again after a retry; what can't be reached is shown by status", async () => {
    const dead = await deadUrl();
    const dir = await withNotify(
      "blocked",
      `{ webhook: { url: "${dead}/T0/secret" }, command: ${TELL}, on: ["blocked"] }`,
    );
    await drop(dir, "a.csv", sampleCsv(100, 1));
    await writeFile(
      join(dir, "model.ts"),
      'import { defineModel } from "@accrete/pipeline";\nexport default defineModel({ build: () => { throw new Error("broken \\u001b[2J"); } });\n',
    );
    for (let starts = 0; starts < 2; starts++) {
      const up = await runCli(dir, ["up", "--once"]);
      expect(up).toMatchObject({ code: 1, err: expect.stringContaining("flowers is blocked") });
      expect(up.out + up.err).not.toMatch(/\u001b|secret/);
      expect(up.out).toMatch(
        /warning .*takes no notices, they wait and are sent again: can't be reached: ECONNREFUSED/,
      );
    }
    expect(await lines(dir)).toMatchObject([
      { kind: "blocked", round: 1, attempt: 1, message: expect.stringContaining("broken \u001b[2J") },
    ]);
    expect(await readFile(join(dir, "told.txt"), "utf8")).not.toMatch(/\u001b/);
    const status = (await runCli(dir, ["status"])).out;
    expect(status).toMatch(/1 notice waits for the webhook: can't be reached: ECONNREFUSED; `accrete doctor --notify`/);
    expect(JSON.parse((await runCli(dir, ["status", "--json"])).out)).toMatchObject({
      notices: [{ channel: "webhook", waiting: 1, givenUp: 0 }],
    });
    expect((await runCli(dir, ["retry"])).code).toBe(0);
    await runCli(dir, ["up", "--once"]);
    expect(await lines(dir)).toMatchObject([{ attempt: 1 }, { attempt: 2 }]);
  });

  it("of a command that makes one tick and leaves are tried once, and say on stderr if they wait", async () => {
    const dir = await withNotify(
      "short",
      `{ webhook: { url: "${await deadUrl()}" }, command: ${TELL}, on: ["planned"] }`,
    );
    await drop(dir, "a.csv", sampleCsv(100, 1));
    const train = await runCli(dir, ["train", "--json"]);
    expect(train).toMatchObject({ code: 0, err: expect.stringMatching(/^warning: the webhook .*ECONNREFUSED\n$/) });
    expect(JSON.parse(train.out)).toMatchObject({ pipeline: "flowers" });
    expect(kinds(await lines(dir))).toEqual(["planned"]);
    await runCli(dir, ["up", "--once"]); // the training ends with the test
  });

  it("can be tested: doctor says where they go, sends one, and says what came back", async () => {
    const place = await openLoopback();
    try {
      const dir = await withNotify("doctor", `{ webhook: { url: "${place.url}" }, command: ["./nowhere"] }`);
      const before = await runCli(dir, ["doctor"]);
      expect(before.out).toMatch(/info +notices +flowers: webhook http:\/\/127\.0\.0\.1:\d+, on committed, held/);
      expect(place.got).toEqual([]);
      const failing = await runCli(dir, ["doctor", "--notify"]);
      expect(failing.code).toBe(1);
      expect(failing.out).toMatch(/ok +notices +flowers: webhook http:\/\/127\.0\.0\.1:\d+ took a test notice/);
      expect(failing.out).toMatch(
        /missing +notices +flowers: command \.\/nowhere did not take a test notice: can't be/,
      );
      expect(JSON.parse(place.got[0]!.body)).toMatchObject({ format: 1, kind: "test", pipeline: "flowers" });
      await writeFile(join(dir, "nowhere"), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
      expect((await runCli(dir, ["doctor", "--notify"])).code).toBe(0);
    } finally {
      await place.close();
    }
  });

  it.each([
    [{ from: "https://user:hunter2@example.com/", says: "that belongs into headers" }],
    [{ from: "http://[", says: "not an address" }],
    [{ from: "example.com", says: 'a webhook is an "https://..." address' }],
  ])("of a wrong address are found by the config, case %#", async ({ from, says }) => {
    const dir = await withNotify(`wrong-${from.length}`, `{ webhook: { url: "${from}" } }`);
    const status = await runCli(dir, ["status"]);
    expect(status).toMatchObject({ code: 78, err: expect.stringContaining(says) });
    expect(status.err).not.toContain("hunter2");
  });
});

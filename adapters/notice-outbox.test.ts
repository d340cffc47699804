import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { noticeBody } from "../protocol/notices.ts";
import type { Notice } from "../protocol/ports.ts";
import { openLoopback, type Loopback } from "../test/loopback.ts";
import type { NoticeChannel, Sent } from "./notice-channel.ts";
import { commandChannel } from "./notice-command.ts";
import { NoticeFolder } from "./notice-folder.ts";
import { openNoticeOutbox, type NoticeOutbox, type NoticeOutboxOptions } from "./notice-outbox.ts";
import { webhookChannel } from "./notice-webhook.ts";

let folder: string;
let place: Loopback;
let said: string[];
const opened: NoticeOutbox[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-outbox-"));
  place = await openLoopback();
  said = [];
});
afterEach(async () => {
  await place.close();
  await Promise.all(opened.splice(0).map((outbox) => outbox.stop()));
  await rm(folder, { recursive: true, force: true });
});

const words = {
  warn: (about: string, message: string) => void said.push(`${about}: ${message}`),
  passed: () => undefined,
};
const webhook = (): NoticeChannel => webhookChannel({ url: place.url, headers: {}, userAgent: "accrete/1" });
function open(options: Partial<NoticeOutboxOptions> = {}): NoticeOutbox {
  const outbox = openNoticeOutbox({ folder, channels: [webhook()], on: ["blocked", "damaged"], words, ...options });
  opened.push(outbox);
  return outbox;
}
const blocked = (round: number): Notice => ({
  kind: "blocked",
  pipeline: "cats",
  round,
  attempt: 1,
  message: `round ${round} is blocked`,
});
const rounds = (): unknown[] => place.got.map(({ body }) => (JSON.parse(body) as { round: number }).round);
const names = (channel = "webhook"): Promise<string[]> =>
  readdir(join(folder, channel)).then((all) => all.filter((name) => !name.startsWith(".")).sort());
const ends = async (): Promise<string[]> => (await names()).map((name) => name.slice(name.indexOf(".")));

/** A small file system of its own needs root, and the right to mount. */
const mayMount = ((): boolean => {
  try {
    execFileSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", tmpdir()], { stdio: "ignore" });
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
})();

/** However slow the machine is. */
function poll<T>(look: () => T) {
  return expect.poll(look, { timeout: 20_000 });
}

describe("an outbox", () => {
  it("delivers each notice once, however often it is told, by this process and the next", async () => {
    for (let start = 0; start < 3; start++) {
      const outbox = open();
      outbox.start(words);
      for (let ticks = 0; ticks < 3; ticks++) {
        await outbox.notify(blocked(1));
        await outbox.notify(blocked(2));
      }
      await outbox.stop();
    }
    expect(rounds()).toEqual([1, 2]);
    expect(await ends()).toEqual([".delivered", ".json", ".delivered", ".json"]);
    expect(said).toEqual([]);
    expect(await open().undelivered()).toEqual([]);
  });

  it("passes on only the kinds that are asked for", async () => {
    const outbox = open();
    outbox.start(words);
    await outbox.notify({ kind: "planned", pipeline: "cats", round: 1, message: "1 item" });
    await outbox.notify(blocked(1));
    await outbox.stop();
    expect(rounds()).toEqual([1]);
  });

  it("tries again what may pass, and says once that notices wait", async () => {
    place.answer(500, 503, 200);
    const outbox = open();
    outbox.start(words);
    await outbox.notify(blocked(1));
    await poll(ends).toEqual([".delivered", ".json"]);
    expect(rounds()).toEqual([1, 1, 1]);
    expect(said[0]).toMatch(/^webhook: the webhook http:\/\/127\.0\.0\.1:\d+ takes no notices.*: HTTP 500$/);
  });

  it("gives up at once what will not pass, says so, and goes on with the others", async () => {
    place.answer(404, 200);
    const outbox = open();
    outbox.start(words);
    await outbox.notify(blocked(1));
    await poll(() => said).toHaveLength(1);
    await outbox.notify(blocked(2));
    await outbox.stop();
    expect(said[0]).toMatch(/did not get "blocked: round 1 is blocked": HTTP 404$/);
    expect(rounds()).toEqual([1, 2]);
    expect(await open().undelivered()).toEqual([{ channel: "webhook", waiting: 0, givenUp: 1, error: "HTTP 404" }]);
  });

  it("has its channels apart: one that does not answer keeps nothing from the other", async () => {
    place.answer("hang");
    const command = commandChannel(["/bin/sh", "-c", "cat >>told.txt"], { folder });
    const outbox = open({ channels: [webhook(), command] });
    outbox.start(words);
    await outbox.notify(blocked(1));
    await outbox.notify(blocked(2));
    await poll(() => readFile(join(folder, "told.txt"), "utf8").catch(() => "")).toMatch(/round":1[^]*round":2/);
    expect((await names("webhook")).every((name) => name.endsWith(".json"))).toBe(true);
  });

  it("is written down before it answers, and needs nobody to be listening for that", async () => {
    place.answer("hang");
    const outbox = open();
    outbox.start(words);
    await outbox.notify(blocked(1));
    const [name = ""] = await names();
    expect(JSON.parse(await readFile(join(folder, "webhook", name), "utf8"))).toMatchObject({ format: 1, round: 1 });
    expect(await open().undelivered()).toEqual([]); // it is being sent
  });

  it("is delivered by one of several processes that run", async () => {
    const outboxes = Array.from({ length: 4 }, () => open());
    for (const outbox of outboxes) outbox.start(words);
    await Promise.all(
      Array.from({ length: 20 }, (_, round) => Promise.all(outboxes.map((outbox) => outbox.notify(blocked(round))))),
    );
    await poll(async () => (await ends()).filter((end) => end === ".delivered").length).toBe(20);
    expect(rounds()).toHaveLength(20);
    expect(new Set(rounds()).size).toBe(20);
  });

  it("a process that ends soon tries once, and leaves the rest to the next that runs on", async () => {
    place.answer(500, 200);
    const short = open();
    await short.notify(blocked(1));
    await poll(() => said).toHaveLength(1);
    const waits = await open().undelivered();
    expect(waits).toEqual([{ channel: "webhook", waiting: 1, givenUp: 0, error: "HTTP 500" }]);
    open().start(words);
    await poll(ends).toEqual([".delivered", ".json"]);
    expect(rounds()).toEqual([1, 1]);
  });

  it("is left to the process that delivers, if there is one", async () => {
    const up = open();
    up.start(words);
    await up.notify(blocked(1));
    await poll(ends).toEqual([".delivered", ".json"]);
    place.answer(500, 200);
    await open({ words: { ...words, warn: () => expect.unreachable() } }).notify(blocked(2));
    up.start(words); // its next look
    await poll(rounds).toEqual([1, 2, 2]);
  });

  it("says that it can't be written, and lets the pipeline go on", async () => {
    await writeFile(join(folder, "webhook"), "a file");
    const outbox = open();
    outbox.start(words);
    await outbox.notify(blocked(1));
    expect(said.join()).toContain("a notice is lost, as it can't be written down: ");
  });

  it("sends one once that can't be written down as delivered, however often it looks", async () => {
    const temporary = join(folder, "webhook", ".tmp");
    const sent: string[] = [];
    const channel: NoticeChannel = {
      name: "webhook",
      where: "here",
      async send({ body }) {
        sent.push(body);
        // as a full disk: nothing can be written from now on
        await rm(temporary, { recursive: true });
        await writeFile(temporary, "");
        return { outcome: "delivered" };
      },
    };
    const outbox = open({ channels: [channel] });
    outbox.start(words);
    await outbox.notify(blocked(1));
    for (let looks = 1; looks <= 3; looks++) {
      await poll(() => said.length).toBeGreaterThanOrEqual(looks);
      outbox.start(words);
    }
    await rm(temporary);
    outbox.start(words);
    await poll(ends).toEqual([".delivered", ".json"]);
    expect(sent).toHaveLength(1);
  });

  it.skipIf(!mayMount)("on a full disk has the tick made again, until there is room", async () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
    try {
      const outbox = open();
      outbox.start(words);
      await expect(writeFile(join(folder, "full"), Buffer.alloc(1_000_000))).rejects.toMatchObject({ code: "ENOSPC" });
      await expect(outbox.notify(blocked(1))).rejects.toMatchObject({ code: "OUT_OF_DISK" });
      await rm(join(folder, "full"));
      await outbox.notify(blocked(1));
      await outbox.stop();
      expect(rounds()).toEqual([1]);
    } finally {
      execFileSync("umount", ["-l", folder]);
    }
  });

  it("gives up what is damaged, what is older than a day when its try fails, and forgets what is long over", async () => {
    place.answer(500);
    const path = join(folder, "webhook");
    const store = new NoticeFolder(path);
    const id = (digit: string): string => digit.repeat(32);
    await store.add(id("a"), "{");
    await store.add(id("b"), noticeBody(blocked(1), "2020-01-01T00:00:00.000Z"));
    await store.add(id("c"), noticeBody(blocked(2), "2020-01-01T00:00:00.000Z"));
    await store.record(id("c"), "delivered");
    const longAgo = new Date(Date.now() - 31 * 86_400_000);
    await utimes(join(path, `${id("c")}.delivered`), longAgo, longAgo);
    open().start(words);
    await poll(() => names()).toEqual([
      `${id("a")}.given-up`,
      `${id("a")}.json`,
      `${id("b")}.given-up`,
      `${id("b")}.json`,
    ]);
    expect(said.join("\n")).toMatch(/did not get a notice: its file is damaged\n.*tried for a day: HTTP 500$/);
    expect(rounds()).toEqual([1]);
  });

  it("knows a number of those that are over, the newest ones, and drops none that waits", async () => {
    const store = new NoticeFolder(join(folder, "webhook"));
    await store.add("f".repeat(32), noticeBody(blocked(1), new Date().toISOString()));
    for (const digit of ["1", "2", "3", "4"]) {
      await store.add(digit.repeat(32), "{}");
      await store.record(digit.repeat(32), "delivered");
      const at = new Date(Date.now() - Number(digit) * 60_000);
      await utimes(join(folder, "webhook", `${digit.repeat(32)}.delivered`), at, at);
    }
    await store.prune(2);
    expect((await names()).map((name) => name[0])).toEqual(["1", "1", "2", "2", "f"]);
    expect(await store.waiting()).toEqual(["f".repeat(32)]);
  });
});

/** A process that finds as many notices as are in its folder, and says when none waits any more. */
const DELIVERER = `
  import { openNoticeOutbox } from ${JSON.stringify(new URL("notice-outbox.ts", import.meta.url).href)};
  const words = { warn: (about, message) => console.log(message), passed() {} };
  const channel = { name: "webhook", where: "here", send: async () => ({ outcome: "delivered" }) };
  const outbox = openNoticeOutbox({ folder: process.argv[1], channels: [channel], on: [], words });
  outbox.start(words);
  await outbox.stop();
`;

it("more notices may wait than files can be open at once", async () => {
  await mkdir(join(folder, "webhook"));
  const body = noticeBody(blocked(1), new Date().toISOString());
  const id = (i: number): string => i.toString(16).padStart(32, "0");
  await Promise.all(Array.from({ length: 400 }, (_, i) => writeFile(join(folder, "webhook", `${id(i)}.json`), body)));
  const limited = 'ulimit -n 150; exec "$0" "$@"';
  const args = ["-c", limited, process.execPath, "--input-type=module-typescript", "-e", DELIVERER, folder];
  expect(execFileSync("/bin/sh", args, { encoding: "utf8" })).toBe("");
  expect((await ends()).filter((end) => end === ".delivered")).toHaveLength(400);
});

/** A process that tells one notice and then waits for ever, its delivery under way. */
const TELLER = `
  import { openNoticeOutbox } from ${JSON.stringify(new URL("notice-outbox.ts", import.meta.url).href)};
  const words = { warn() {}, passed() {} };
  const channel = { name: "webhook", where: "here", send: () => { console.log("sending"); return new Promise(() => {}); } };
  const outbox = openNoticeOutbox({ folder: process.argv[1], channels: [channel], on: ["blocked"], words });
  outbox.start(words);
  await outbox.notify(JSON.parse(process.argv[2]));
  setInterval(() => {}, 1_000);
`;

it("a kill -9 between the writing and the answer of the webhook loses nothing: the next start sends it", async () => {
  const args = ["--input-type=module-typescript", "-e", TELLER, folder, JSON.stringify(blocked(7))];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const sent: string[] = [];
  const channel: NoticeChannel = {
    name: "webhook",
    where: "here",
    send: async ({ body }): Promise<Sent> => {
      sent.push(body);
      return { outcome: "delivered" };
    },
  };
  // while it lives it has the lock, so nobody else sends
  const beside = open({ channels: [channel] });
  beside.start(words);
  await beside.notify(blocked(7));
  await beside.stop();
  expect(sent).toEqual([]);
  child.kill("SIGKILL");
  await exited;
  const next = open({ channels: [channel] });
  next.start(words);
  await poll(() => sent).toHaveLength(1);
  await next.stop();
  expect(JSON.parse(sent[0]!)).toMatchObject({ kind: "blocked", round: 7 });
  expect(await ends()).toEqual([".delivered", ".json"]);
});

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, open, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { arrivedItem } from "../protocol/intake.ts";
import type { Arrival } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import { asNobody } from "../test/contract/as-nobody.ts";
import { itemsKeepTheirPromises } from "../test/contract/items.ts";
import { DIRECTORY_BUCKET, openDirectoryItems, type DirectoryItems } from "./directory-items.ts";

let base: string;
let opened = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "accrete-directory-items-"));
  // so that another user may go through it
  await chmod(base, 0o755);
});
afterAll(() => rm(base, { recursive: true, force: true }));

const newRoot = (): string => join(base, `data-${opened++}`);
const longAgo = new Date(Date.now() - 3_600_000);

async function put(root: string, key: string, body: string | Uint8Array = key): Promise<void> {
  await mkdir(dirname(join(root, key)), { recursive: true });
  await writeFile(join(root, key), body);
}
async function putOld(root: string, key: string, body: string = key): Promise<void> {
  await put(root, key, body);
  await utimes(join(root, key), longAgo, longAgo);
}
const itemOf = (key: string, body: string = key): Item => ({
  bucket: DIRECTORY_BUCKET,
  key,
  etag: sha256(body),
  size: Buffer.byteLength(body),
});

/** Without its time. */
const whatIs = (arrival: Arrival | "unsettled" | undefined): Item | "unsettled" | undefined =>
  typeof arrival === "object" ? arrivedItem(arrival) : arrival;
const listed = async (items: DirectoryItems, prefix = ""): Promise<Item[]> =>
  (await items.list(prefix)).items.map(arrivedItem);

itemsKeepTheirPromises("a directory", () => {
  const root = newRoot();
  return {
    items: openDirectoryItems(root, { settleMs: 0 }),
    put: (key, body) => put(root, key, body),
    remove: (key) => rm(join(root, key)),
  };
});

describe("a data folder", () => {
  it("has no items while it is not there, and is named if it is a file", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root);
    expect(await items.list("")).toEqual({ items: [] });
    expect(await items.fetch(itemOf("a"), join(base, "never"))).toEqual({ outcome: "gone" });
    await writeFile(root, "a file");
    await expect(items.list("")).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
    await expect(items.list("a/")).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
  });

  it("has no items in hidden, unfinished or special files", async () => {
    const root = newRoot();
    const skipped: string[] = [];
    const items = openDirectoryItems(root, { onSkipped: (name, why) => skipped.push(`${name}: ${why}`) });
    const none = [".hidden", ".git/config", "a/.DS_Store", "a.csv.part", "b.TMP", "c~", "d.crdownload"];
    for (const key of [...none, "a.csv", "partial", "tmp/x", "a~b"]) await putOld(root, key);
    execFileSync("mkfifo", [join(root, "pipe")]);
    expect((await items.list("")).items.map((item) => item.key)).toEqual(["a.csv", "a~b", "partial", "tmp/x"]);
    for (const key of [...none, "pipe", "tmp", "missing", "", "..", "../outside", root])
      expect(await items.itemAt(key), key).toBeUndefined();
    expect(await items.list(".git/")).toEqual({ items: [] });
    expect(skipped).toEqual(["pipe: not-a-file"]);
  });

  it("says which names can't be keys", async () => {
    const root = newRoot();
    const skipped: string[] = [];
    const items = openDirectoryItems(root, { onSkipped: (name, why) => skipped.push(`${name.slice(0, 12)}: ${why}`) });
    await mkdir(Buffer.concat([Buffer.from(`${root}/z-bad`), Buffer.from([0xff])]), { recursive: true });
    await writeFile(Buffer.concat([Buffer.from(`${root}/bad`), Buffer.from([0xff, 0xfe])]), "x");
    const deep = Array.from({ length: 6 }, () => "d".repeat(200)).join("/");
    await putOld(root, `${deep}/x`);
    await putOld(root, "good\u{fffd}");
    expect((await items.list("")).items.map((item) => item.key)).toEqual(["good\u{fffd}"]);
    expect(skipped.sort()).toEqual([
      "bad\u{fffd}\u{fffd}: name-not-utf8",
      "dddddddddddd: name-too-long",
      "z-bad\u{fffd}/: name-not-utf8",
    ]);
  });

  it("follows a link to a file within, and no other", async () => {
    const root = newRoot();
    const skipped: string[] = [];
    const items = openDirectoryItems(root, { onSkipped: (name, why) => skipped.push(`${name}: ${why}`) });
    await writeFile(join(base, "secret"), "secret");
    await putOld(root, "folder/file", "body");
    for (const [name, target] of [
      ["inside", join(root, "folder", "file")],
      ["outside", join(base, "secret")],
      ["dangling", "nowhere"],
      ["loop", "loop"],
      ["up", ".."],
      ["folder-link", "folder"],
    ] as const) {
      await symlink(target, join(root, name));
    }
    expect(await listed(items)).toEqual([itemOf("folder/file", "body"), itemOf("inside", "body")]);
    expect(skipped.sort()).toEqual(
      ["dangling", "folder-link", "loop", "outside", "up"].map((name) => `${name}: symbolic-link`),
    );
    expect(whatIs(await items.itemAt("inside"))).toEqual(itemOf("inside", "body"));
    expect(await items.itemAt("folder-link/file")).toBeUndefined();
    expect(await items.itemAt("outside")).toBeUndefined();
    await expect(items.list("up/")).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    expect(await items.fetch(itemOf("outside", "secret"), join(base, "never"))).toEqual({ outcome: "gone" });
    expect(await items.fetch(itemOf("up/secret", "secret"), join(base, "never"))).toEqual({ outcome: "gone" });
    expect(await items.fetch(itemOf("inside", "body"), join(base, "fetched"))).toEqual({ outcome: "fetched" });
  });

  it.each(["../secret", "a/../../secret", "/etc/hostname", "a\0b", "a//b", ""])(
    "gives nothing for the key %j",
    async (key) => {
      const items = openDirectoryItems(newRoot());
      await expect(items.fetch(itemOf(key, "secret"), join(base, "never"))).rejects.toMatchObject({
        code: "UNSAFE_KEY",
      });
    },
  );
});

it("what is missing is told without reading a file: gone, of another size, a folder's, or a key that leads out", async () => {
  const root = newRoot();
  const items = openDirectoryItems(root);
  for (const key of ["a/b", "c", "d"]) await put(root, key);
  const there = ["a/b", "c"].map((key) => itemOf(key));
  const missing = [itemOf("e"), itemOf("d", "other"), itemOf("a"), itemOf("../secret")];
  expect(await items.missing([...there, ...missing])).toEqual(missing);
  expect(items.hashed).toBe(0);
});

describe("a file that is being written", () => {
  it("is left out until it has settled, also for a watcher", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root, { settleMs: 60_000 });
    await putOld(root, "old");
    await put(root, "growing");
    expect(await listed(items)).toEqual([itemOf("old")]);
    expect(await items.itemAt("growing")).toBe("unsettled");
    await utimes(join(root, "growing"), longAgo, longAgo);
    expect(await listed(items)).toEqual([itemOf("growing"), itemOf("old")]);
    expect(whatIs(await items.itemAt(join(root, "growing")))).toEqual(itemOf("growing"));
  });

  it("is an item although its time is far ahead of the clock", async () => {
    const root = newRoot();
    await put(root, "a");
    const ahead = new Date(Date.now() + 86_400_000);
    await utimes(join(root, "a"), ahead, ahead);
    expect(await listed(openDirectoryItems(root))).toEqual([itemOf("a")]);
  });

  it("has the time of its file, listed or looked at", async () => {
    const root = newRoot();
    await putOld(root, "a");
    const items = openDirectoryItems(root);
    const [a] = (await items.list("")).items;
    expect(Math.abs((a?.modifiedMs ?? 0) - longAgo.getTime())).toBeLessThan(2);
    expect(await items.itemAt("a")).toEqual(a);
  });

  it("is never reported with bytes that it did not have at one time", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root, { settleMs: 0 });
    const large = Buffer.alloc(8 * 1_048_576, "a");
    await put(root, "a", large);
    const whole = new Set([sha256(large)]);
    const file = await open(join(root, "a"), "r+");
    try {
      for (let turn = 0; turn < 12; turn++) {
        large.fill(turn);
        whole.add(sha256(large));
        // hashing takes some milliseconds: the write comes before, within and after it
        const looking = items.itemAt("a");
        await sleep(turn % 6);
        await file.write(large, 0, large.length, 0);
        const item = await looking;
        if (typeof item === "object") expect(whole).toContain(item.etag);
      }
    } finally {
      await file.close();
    }
    expect(await items.itemAt("a")).toMatchObject({ size: large.length, etag: sha256(large) });
  });

  it("is known by its newest bytes, also when they come within one tick of the file system's clock", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root, { settleMs: 0 });
    await mkdir(root);
    for (let turn = 10; turn < 60; turn++) {
      writeFileSync(join(root, "a"), `${turn}`);
      expect(whatIs(await items.itemAt("a"))).toEqual(itemOf("a", `${turn}`));
    }
  });
});

describe("a sweep", () => {
  it("reads a file again only if it has changed, be it by one byte and with its old time", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root, { settleMs: 0 });
    for (let i = 0; i < 50; i++) await putOld(root, `f${i}`);
    // the digest of a file is kept once its change is some ticks of the file system's clock ago
    const sweep = async (): Promise<number> => {
      const before = items.hashed;
      expect((await items.list("")).items.length).toBe(50);
      return items.hashed - before;
    };
    expect(await sweep()).toBe(50);
    await expect.poll(sweep, { timeout: 10_000 }).toBe(0);
    await putOld(root, "f7", "g7");
    expect(await sweep()).toBe(1);
    expect(await listed(items, "f7")).toEqual([itemOf("f7", "g7")]);
  });

  it("goes on at the same place when a file came or went in between", async () => {
    const root = newRoot();
    const items = openDirectoryItems(root, { settleMs: 0 });
    const names = Array.from({ length: 1_010 }, (_, i) => `f${String(i).padStart(4, "0")}`);
    for (const name of names) await put(root, name, "");
    const first = await items.list("");
    await rm(join(root, "f0999"));
    await rm(join(root, "f1005"));
    await put(root, "f0000a", "");
    const second = await items.list("", first.next);
    expect([...first.items, ...second.items].map((item) => item.key)).toEqual(names.filter((name) => name !== "f1005"));
    expect(second.next).toBeUndefined();
  });
});

describe("what this user may not read", () => {
  it("is forbidden to fetch, and skipped by a list that goes on", async () => {
    const root = newRoot();
    const skipped: string[] = [];
    const items = openDirectoryItems(root, { onSkipped: (name, why) => skipped.push(`${name}: ${why}`) });
    for (const key of ["a", "closed/x", "forbidden", "z"]) await putOld(root, key);
    await chmod(join(root, "closed"), 0o000);
    await chmod(join(root, "forbidden"), 0o000);
    await asNobody(async () => {
      expect(await listed(items)).toEqual([itemOf("a"), itemOf("z")]);
      expect(skipped).toEqual(["closed/: not-readable", "forbidden: not-readable"]);
      expect(await items.itemAt("closed/x")).toBeUndefined();
      expect(await items.fetch(itemOf("forbidden"), join(base, "never"))).toEqual({ outcome: "forbidden" });
      expect(await items.fetch(itemOf("closed/x"), join(base, "never"))).toEqual({ outcome: "forbidden" });
      // the place for the copy is at fault, not the item
      await expect(items.fetch(itemOf("a"), join(root, "copy"))).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
    });
    await chmod(join(root, "closed"), 0o755);
    await chmod(root, 0o000);
    await asNobody(() => expect(items.list("")).rejects.toMatchObject({ code: "STORE_UNREADABLE" }));
    await chmod(root, 0o755);
  });
});

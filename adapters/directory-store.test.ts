import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import type { Store } from "../protocol/ports.ts";
import { asNobody } from "../test/contract/as-nobody.ts";
import { storeKeepsItsPromises } from "../test/contract/store.ts";
import { openDirectoryStore } from "./directory-store.ts";

let base: string;
let opened = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "accrete-directory-store-"));
  // so that another user may go through it
  await chmod(base, 0o755);
});
afterAll(() => rm(base, { recursive: true, force: true }));

const newRoot = (): string => join(base, `state-${opened++}`);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const keysOf = async (store: Store, prefix = ""): Promise<string[]> =>
  (await store.list(prefix)).objects.map((object) => object.key);

const unreadable = (calls: readonly Promise<unknown>[]): Promise<unknown> =>
  Promise.all(calls.map((call) => expect(call).rejects.toMatchObject({ code: "STORE_UNREADABLE" })));

storeKeepsItsPromises("directory", () => openDirectoryStore(newRoot()));

describe("the directory of a store", () => {
  it("is made by the first write and holds each object under its key", async () => {
    const root = newRoot();
    const store = openDirectoryStore(join(root, "deep", "down"));
    expect(await keysOf(store)).toEqual([]);
    await expect(stat(root)).rejects.toThrow("ENOENT");
    await store.create("log/1.json", bytes("{}"));
    expect(await readFile(join(root, "deep", "down", "log", "1.json"), "utf8")).toBe("{}");
  });

  it("shows a byte that was changed by hand", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("c/weights", bytes("weights"));
    const before = (await store.head("c/weights"))!.etag;
    await utimes(join(root, "c", "weights"), 1_000, 1_000);
    expect((await store.head("c/weights"))!.etag).toBe(before);
    await writeFile(join(root, "c", "weights"), "weighty");
    await utimes(join(root, "c", "weights"), 1_000, 1_000);
    expect((await store.get("c/weights"))!.etag).not.toBe(before);
    expect((await store.head("c/weights"))!.etag).not.toBe(before);
    expect(await store.replace("c/weights", bytes("new"), before)).toBe("lost");
  });

  it("counts a time ahead of the clock as now", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("inbox/1", bytes("x"));
    const ahead = Date.now() / 1_000 + 86_400;
    await utimes(join(root, "inbox", "1"), ahead, ahead);
    const page = await store.list("inbox/");
    expect(page.objects[0]!.modifiedMs).toBe(page.nowMs);
    expect((await store.head("inbox/1"))!.modifiedMs).toBeLessThanOrEqual(Date.now());
    expect((await store.get("inbox/1"))!.modifiedMs).toBeLessThanOrEqual(Date.now());
  });

  it("removes folders that a delete leaves empty, and no others", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("rounds/1/checkpoints/1/a", bytes("x"));
    await store.create("rounds/1/plan.json", bytes("x"));
    await store.delete("rounds/1/checkpoints/1/a");
    expect(await readdir(join(root, "rounds", "1"))).toEqual(["plan.json"]);
    await store.delete("rounds/1/plan.json");
    expect((await readdir(root)).sort()).toEqual([".lock.sqlite", ".tmp"]);
  });

  it("creates below folders that are removed at the same moment", async () => {
    const store = openDirectoryStore(newRoot());
    const turns = Array.from({ length: 4 }, async (_, i) => {
      for (let turn = 0; turn < 25; turn++) {
        expect(await store.create(`inbox/deep/${i}`, bytes("x"))).toBe("won");
        await store.delete(`inbox/deep/${i}`);
      }
    });
    await Promise.all(turns);
    expect(await keysOf(store)).toEqual([]);
  });

  it("keeps no file of an unfinished write, and sweeps away those of killed processes after a day", async () => {
    const root = newRoot();
    await mkdir(join(root, ".tmp"), { recursive: true });
    await writeFile(join(root, ".tmp", "old"), "half");
    await writeFile(join(root, ".tmp", "young"), "half");
    const longAgo = Date.now() / 1_000 - 2 * 86_400;
    await utimes(join(root, ".tmp", "old"), longAgo, longAgo);
    const store = openDirectoryStore(root);
    await store.create("a", bytes("x"));
    await store.create("a", bytes("x"));
    await store.replace("a", bytes("y"), "not its etag");
    await expect(store.createFromFile("b", join(base, "missing"))).rejects.toThrow("ENOENT");
    expect(await readdir(join(root, ".tmp"))).toEqual(["young"]);
    expect(await keysOf(store)).toEqual(["a"]);
    await expect(store.list(".tmp/")).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    expect(await keysOf(store, ".t")).toEqual([]);
  });
});

describe("a file that is only read", () => {
  it("is the object's own, by another name", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("a/b", bytes("x"));
    await store.readToFile("a/b", join(base, "copy"));
    await store.readToFile("a/b", join(base, "own"), { readOnly: true });
    const inode = async (path: string): Promise<number> => (await stat(path)).ino;
    expect(await inode(join(base, "own"))).toBe(await inode(join(root, "a/b")));
    expect(await inode(join(base, "copy"))).not.toBe(await inode(join(root, "a/b")));
  });

  it.skipIf(!existsSync("/dev/shm"))("is a copy on another file system", async () => {
    const store = openDirectoryStore(newRoot());
    await store.create("a", bytes("x"));
    const folder = await mkdtemp("/dev/shm/accrete-test-");
    try {
      const path = join(folder, "read");
      expect(await store.readToFile("a", path, { readOnly: true })).toEqual({ sha256: sha256("x"), size: 1 });
      expect(await readFile(path, "utf8")).toBe("x");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("is read as it was where its object is replaced again and again meanwhile", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    const versions = Array.from({ length: 40 }, (_, i) => `${i}`.repeat(i + 1));
    await store.create("a", bytes(versions[0]!));
    const path = join(base, "read");
    const replacing = (async () => {
      for (const [i, text] of versions.slice(1).entries())
        expect(await store.replace("a", bytes(text), sha256(versions[i]!))).toBe("won");
      return true;
    })();
    for (let done = false; !done; done = await Promise.race([replacing, Promise.resolve(false)])) {
      const { sha256: digest } = (await store.readToFile("a", path, { readOnly: true }))!;
      expect(sha256(await readFile(path))).toBe(digest);
    }
  });
});

describe("keys of a directory store", () => {
  const UNSAFE = [
    "../out",
    "a/../../out",
    "/etc/passwd",
    "a//b",
    "a/",
    "",
    ".",
    "a/.",
    ".tmp/x",
    ".lock.sqlite",
    "a\0b",
    "a\nb",
    "a\\b",
    "\ud800",
    "x".repeat(256),
    "x/".repeat(600) + "x",
  ];
  for (const key of UNSAFE) {
    it(`refuses ${JSON.stringify(key).slice(0, 20)}, and writes nothing`, async () => {
      const root = newRoot();
      const store = openDirectoryStore(root);
      await store.create("ok", bytes("x"));
      const unsafe = { code: "UNSAFE_KEY" };
      await expect(store.create(key, bytes("x"))).rejects.toMatchObject(unsafe);
      await expect(store.replace(key, bytes("x"), null)).rejects.toMatchObject(unsafe);
      await expect(store.replace(key, bytes("x"), "etag")).rejects.toMatchObject(unsafe);
      await expect(store.get(key)).rejects.toMatchObject(unsafe);
      await expect(store.head(key)).rejects.toMatchObject(unsafe);
      await expect(store.delete(key)).rejects.toMatchObject(unsafe);
      await expect(store.copy("ok", key)).rejects.toMatchObject(unsafe);
      await expect(store.copy(key, "ok")).rejects.toMatchObject(unsafe);
      await expect(store.createFromFile(key, join(root, "ok"))).rejects.toMatchObject(unsafe);
      await expect(store.readToFile(key, join(base, "never"))).rejects.toMatchObject(unsafe);
      expect(await keysOf(store)).toEqual(["ok"]);
    });
  }

  it("says that a key can't be an object and a folder", async () => {
    const store = openDirectoryStore(newRoot());
    await store.create("a", bytes("x"));
    await store.create("b/c", bytes("x"));
    await expect(store.create("a/b", bytes("x"))).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    await expect(store.create("a/b/c", bytes("x"))).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    await expect(store.create("b", bytes("x"))).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    expect(await store.replace("b", bytes("x"), "etag")).toBe("lost");
    await store.delete("b");
    expect(await keysOf(store)).toEqual(["a", "b/c"]);
  });

  it("follows no symbolic link, and takes the root itself by one", async () => {
    const outside = join(base, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "secret"), "secret");
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("a/b", bytes("x"));
    await symlink(outside, join(root, "linked"));
    await symlink(join(outside, "secret"), join(root, "a", "secret"));
    await expect(store.get("linked/secret")).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    await expect(store.create("linked/new/x", bytes("x"))).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    await expect(store.delete("linked/secret")).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    await expect(store.list("linked/")).rejects.toMatchObject({ code: "UNSAFE_KEY" });
    expect(await store.get("a/secret")).toBeUndefined();
    expect(await store.readToFile("a/secret", join(base, "never"))).toBeUndefined();
    expect(await keysOf(store)).toEqual(["a/b"]);
    expect(await readdir(outside)).toEqual(["secret"]);
    const link = newRoot();
    await symlink(root, link);
    const linked = openDirectoryStore(link);
    expect(await linked.create("a/c", bytes("x"))).toBe("won");
    await linked.delete("a/c");
    expect(await keysOf(linked)).toEqual(["a/b"]);
  });
});

describe("a directory that is not as it should be", () => {
  it("is not taken for an empty store if it is a file", async () => {
    const root = newRoot();
    await writeFile(root, "a file");
    const store = openDirectoryStore(root);
    await unreadable([
      store.list(""),
      store.list("log/"),
      store.get("a"),
      store.get("a/b"),
      store.create("a", bytes("x")),
      store.delete("a/b"),
    ]);
  });

  it("is named where this user may not read or write", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("log/1", bytes("x"));
    await store.delete("nothing");
    await chmod(root, 0o000);
    await asNobody(async () => {
      await unreadable([
        store.list("log/"),
        store.get("log/1"),
        store.create("a", bytes("x")),
        store.replace("log/1", bytes("x"), "etag"),
        store.delete("log/1"),
      ]);
    });
    await chmod(root, 0o755);
    expect(await store.head("log/1")).toBeDefined();
  });

  it("is named when its lock may not be written: SQLite would take one that excludes nobody", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("a", bytes("x"));
    await store.create("b", bytes("x"));
    await store.delete("b");
    await chmod(root, 0o777);
    await chmod(join(root, ".tmp"), 0o777);
    await chmod(join(root, ".lock.sqlite"), 0o444);
    const { etag } = (await store.head("a"))!;
    await asNobody(() =>
      expect(store.replace("a", bytes("y"), etag)).rejects.toMatchObject({ code: "STORE_UNREADABLE" }),
    );
    expect((await store.head("a"))!.etag).toBe(etag);
  });

  it("is named when its lock is damaged", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    await store.create("a", bytes("x"));
    await writeFile(
      join(root, ".lock.sqlite"),
      "not a lock, but long enough to be taken for a damaged database".repeat(20),
    );
    const { etag } = (await store.head("a"))!;
    await expect(store.replace("a", bytes("y"), etag)).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
    expect((await store.head("a"))!.etag).toBe(etag);
  });

  it("answers unknown while another process holds the lock, and has changed nothing", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root, { lockWaitMs: 50 });
    await store.create("a", bytes("x"));
    const { etag } = (await store.head("a"))!;
    const holder = new DatabaseSync(join(root, ".lock.sqlite"));
    try {
      holder.exec("BEGIN EXCLUSIVE");
      expect(await store.replace("a", bytes("y"), etag)).toBe("unknown");
      await expect(store.delete("a")).rejects.toThrow("locked");
      expect(await store.create("b", bytes("x"))).toBe("won");
      expect((await store.head("a"))!.etag).toBe(etag);
    } finally {
      holder.close();
    }
    expect(await store.replace("a", bytes("y"), etag)).toBe("won");
  });
});

describe("a LIST", () => {
  it("reads only the folders that it has to, and only as far as it has to", async () => {
    const root = newRoot();
    const store = openDirectoryStore(root);
    for (const round of [1, 2, 3, 4, 5]) await store.create(`rounds/${round}/plan.json`, bytes("x"));
    // who reads a folder that may not be read is told so
    await chmod(join(root, "rounds", "1"), 0o000);
    await chmod(join(root, "rounds", "4"), 0o000);
    await asNobody(async () => {
      await expect(keysOf(store, "rounds/")).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
      const two = await store.list("rounds/", { after: "rounds/10", limit: 1 });
      expect(two).toMatchObject({ objects: [{ key: "rounds/2/plan.json" }], more: true });
      expect(await keysOf(store, "rounds/3")).toEqual(["rounds/3/plan.json"]);
    });
    await chmod(join(root, "rounds"), 0o111);
    await asNobody(async () => {
      expect(await keysOf(store, "rounds/5/")).toEqual(["rounds/5/plan.json"]);
      expect(await keysOf(store, "rounds/6/")).toEqual([]);
    });
    for (const folder of ["rounds", "rounds/1", "rounds/4"]) await chmod(join(root, folder), 0o755);
  });
});

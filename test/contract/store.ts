/**
 * What every Store keeps, whatever it stands on. It uses the port alone, so any adapter can be handed in. A call may answer
 * "unknown" anywhere (a timeout, a 409): the suite then does what the protocol does, it looks what is there and goes on.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../protocol/digest.ts";
import { LIST_MAX, type Listed, type Store, type Written } from "../../protocol/ports.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (body: Uint8Array | undefined): string | undefined => body && new TextDecoder().decode(body);
/** Unknown outcomes in a row that are a broken store and no accident. */
const TRIES_MAX = 20;

/** @param open an empty store, each time another one */
export function storeKeepsItsPromises(name: string, open: () => Store | Promise<Store>): void {
  describe(`the ${name} store`, () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "accrete-store-contract-"));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    createPromises(open);
    replacePromises(open);
    readPromises(open);
    listPromises(open);
    filePromises(open, () => folder);
  });
}

function createPromises(open: () => Store | Promise<Store>): void {
  it("tells one of any number of concurrent creators that it has won, and keeps its bytes", async () => {
    const store = await open();
    for (const key of ["log/1.json", "log/2.json", "a/b/c/d"]) {
      const written = await Promise.all(Array.from({ length: 16 }, (_, i) => store.create(key, bytes(`writer ${i}`))));
      const winners = indicesOf(written, "won");
      const maybe = indicesOf(written, "unknown");
      expect(winners.length).toBeLessThanOrEqual(1);
      if (maybe.length === 0) expect(winners.length).toBe(1);
      const possible = winners.length === 1 ? winners : maybe;
      expect(possible.map((i) => `writer ${i}`)).toContain(text((await store.get(key))?.body));
    }
  });

  it("changes nothing when a create is lost", async () => {
    const store = await open();
    await createSurely(store, "log/1.json", "first");
    const before = await store.head("log/1.json");
    expect(["lost", "unknown"]).toContain(await store.create("log/1.json", bytes("second")));
    expect(text((await store.get("log/1.json"))?.body)).toBe("first");
    expect(await store.head("log/1.json")).toEqual(before);
  });

  it("does not care what becomes of the caller's buffer", async () => {
    const store = await open();
    const body = bytes("as it was");
    while ((await store.create("a", body)) === "unknown");
    body.fill(0);
    (await store.get("a"))?.body.fill(0);
    expect(text((await store.get("a"))?.body)).toBe("as it was");
  });

  it("keeps an empty body", async () => {
    const store = await open();
    await createSurely(store, "empty", "");
    expect((await store.get("empty"))?.body).toEqual(new Uint8Array());
    expect((await store.head("empty"))?.size).toBe(0);
  });
}

function replacePromises(open: () => Store | Promise<Store>): void {
  it("replaces only the version that was read", async () => {
    const store = await open();
    await createSurely(store, "live.json", "one");
    const one = (await store.get("live.json"))!.etag;
    await replaceSurely(store, "live.json", "two", one);
    expect(["lost", "unknown"]).toContain(await store.replace("live.json", bytes("three"), one));
    expect(text((await store.get("live.json"))?.body)).toBe("two");
  });

  it("takes a replace of null as a create, and of an etag as no create", async () => {
    const store = await open();
    expect(["lost", "unknown"]).toContain(await store.replace("consumed/00", bytes("x"), "0".repeat(64)));
    expect(await store.get("consumed/00")).toBeUndefined();
    await replaceSurely(store, "consumed/00", "one", null);
    expect(["lost", "unknown"]).toContain(await store.replace("consumed/00", bytes("two"), null));
    expect(["lost", "unknown"]).toContain(await store.create("consumed/00", bytes("three")));
    expect(text((await store.get("consumed/00"))?.body)).toBe("one");
  });

  it("loses no update among concurrent replacers", async () => {
    const store = await open();
    await createSurely(store, "counter", "0");
    const told = { won: 0, unknown: 0 };
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let done = 0; done < 4;) {
          const stored = (await store.get("counter"))!;
          const written = await store.replace("counter", bytes(String(Number(text(stored.body)) + 1)), stored.etag);
          if (written === "lost") continue;
          told[written]++;
          done++;
        }
      }),
    );
    const count = Number(text((await store.get("counter"))?.body));
    expect(count).toBeGreaterThanOrEqual(told.won);
    expect(count).toBeLessThanOrEqual(told.won + told.unknown);
  });

  it("takes the etag back to what it was when the bytes are", async () => {
    const store = await open();
    await createSurely(store, "a", "one");
    const one = (await store.head("a"))!.etag;
    await replaceSurely(store, "a", "two", one);
    const two = (await store.head("a"))!.etag;
    expect(two).not.toBe(one);
    await replaceSurely(store, "a", "one", two);
    expect((await store.head("a"))!.etag).toBe(one);
  });
}

function readPromises(open: () => Store | Promise<Store>): void {
  it("agrees with itself: get, head and list", async () => {
    const store = await open();
    await createSurely(store, "rounds/1/plan.json", "a plan");
    const stored = (await store.get("rounds/1/plan.json"))!;
    const head = (await store.head("rounds/1/plan.json"))!;
    const page = await store.list("rounds/");
    expect(text(stored.body)).toBe("a plan");
    expect(head).toEqual({ size: 6, etag: stored.etag, modifiedMs: stored.modifiedMs });
    // S3's LIST has the milliseconds that its HEAD leaves out
    expect(page.objects).toEqual([{ key: "rounds/1/plan.json", size: 6, modifiedMs: expect.any(Number) as number }]);
    expect(Math.abs(page.objects[0]!.modifiedMs - stored.modifiedMs)).toBeLessThan(1_000);
    expect(page.more).toBe(false);
  });

  it("has nothing under a key that was never written, nor under a part of one that was", async () => {
    const store = await open();
    expect((await store.list("")).objects).toEqual([]);
    await createSurely(store, "rounds/1/plan.json", "a plan");
    for (const key of ["rounds/2/plan.json", "rounds/1", "rounds", "rounds/1/plan", "rounds/1/plan.json/more"]) {
      expect(await store.get(key), key).toBeUndefined();
      expect(await store.head(key), key).toBeUndefined();
    }
  });

  it("deletes, also what is not there, and the key can be created again", async () => {
    const store = await open();
    await store.delete("inbox/1");
    await createSurely(store, "inbox/1", "one");
    await createSurely(store, "inbox/2", "two");
    await store.delete("inbox/1");
    await store.delete("inbox/1");
    expect(await store.get("inbox/1")).toBeUndefined();
    expect(await store.head("inbox/1")).toBeUndefined();
    expect((await store.list("inbox/")).objects.map((object) => object.key)).toEqual(["inbox/2"]);
    await store.delete("inbox/2");
    expect((await store.list("")).objects).toEqual([]);
    await createSurely(store, "inbox/1", "again");
    expect(text((await store.get("inbox/1"))?.body)).toBe("again");
  });

  it("never shows an object that is newer than its clock", async () => {
    const store = await open();
    for (let i = 0; i < 5; i++) {
      await createSurely(store, `inbox/${i}`, "x");
      const page = await store.list("inbox/");
      for (const object of page.objects) expect(page.nowMs).toBeGreaterThanOrEqual(object.modifiedMs);
      expect(page.nowMs).toBeGreaterThanOrEqual(Math.max(...page.objects.map((object) => object.modifiedMs)));
    }
  });
}

function listPromises(open: () => Store | Promise<Store>): void {
  // '-' and '.' sort before '/', '0' after it: an order of folders is not the order of keys
  const TREE = ["a-b/c", "a.b", "a/b", "a/b-c/d", "a/c", "a0", "b/1/x", "b/1/y", "b/10/x", "b/2/x"];

  it("lists in the order of the keys' bytes, across folders", async () => {
    const store = await open();
    for (const key of [...TREE].reverse()) await createSurely(store, key, key);
    expect(await keysOf(store, "")).toEqual(TREE);
  });

  it("lists by a prefix that may end anywhere, and after a key that need not be there", async () => {
    const store = await open();
    await Promise.all(TREE.map((key) => createSurely(store, key, key)));
    for (const prefix of ["", "a", "a-", "a/", "a/b", "a/b-c/", "b/1", "b/1/", "b/1/x", "c", "b/3/", "a/b/c"]) {
      for (const after of ["", "a", "a.b", "a/", "a/b", "a/b-c/d", "a/bb", "b/1", "b/1/x", "b/1/y", "b/10", "zz"]) {
        const expected = TREE.filter((key) => key.startsWith(prefix) && key > after);
        const { objects, more } = await store.list(prefix, { after });
        expect(
          objects.map((object) => object.key),
          `prefix ${prefix} after ${after}`,
        ).toEqual(expected);
        expect(more).toBe(false);
      }
    }
  });

  it("lists page by page, each key once, and says whether there are more", async () => {
    const store = await open();
    await Promise.all(TREE.map((key) => createSurely(store, key, key)));
    for (const limit of [1, 3, TREE.length]) {
      const seen: string[] = [];
      for (let page = await store.list("", { limit }); ; page = await store.list("", { limit, after: seen.at(-1)! })) {
        seen.push(...page.objects.map((object) => object.key));
        expect(page.objects.length).toBeLessThanOrEqual(limit);
        expect(page.more).toBe(seen.length < TREE.length);
        if (!page.more) break;
      }
      expect(seen).toEqual(TREE);
    }
  });

  it(`gives at most ${LIST_MAX} keys a page, whatever limit is asked for`, async () => {
    const store = await open();
    const keys = Array.from({ length: LIST_MAX + 5 }, (_, i) => `log/${String(i).padStart(10, "0")}.json`);
    for (let i = 0; i < keys.length; i += 50)
      await Promise.all(keys.slice(i, i + 50).map((key) => createSurely(store, key, "{}")));
    const first = await store.list("log/", { limit: LIST_MAX + 100 });
    expect(first.objects.map((object) => object.key)).toEqual(keys.slice(0, LIST_MAX));
    expect(first.more).toBe(true);
    const second = await store.list("log/", { after: first.objects.at(-1)!.key });
    expect(second.objects.map((object) => object.key)).toEqual(keys.slice(LIST_MAX));
    expect(second.more).toBe(false);
  });
}

function filePromises(open: () => Store | Promise<Store>, folder: () => string): void {
  const LARGE_BYTES = 8 * 1_048_576 + 1;

  it("takes a large file, gives it back, and copies it", async () => {
    const store = await open();
    const path = join(folder(), "large");
    const large = new Uint8Array(LARGE_BYTES).map((_, i) => (i * 2_654_435_761) >>> 24);
    await writeFile(path, large);
    await surely(store, "c/1/weights", () => store.createFromFile("c/1/weights", path));
    await surely(store, "c/2/weights", () => store.copy("c/1/weights", "c/2/weights"));
    // what the caller does to its file afterwards is not the store's business
    await writeFile(path, "overwritten");
    await store.delete("c/1/weights");
    expect((await store.head("c/2/weights"))?.size).toBe(LARGE_BYTES);
    const back = join(folder(), "back");
    await writeFile(back, new Uint8Array(LARGE_BYTES + 10));
    expect(await store.readToFile("c/2/weights", back)).toEqual({ sha256: sha256(large), size: LARGE_BYTES });
    expect(sha256(await readFile(back))).toBe(sha256(large));
    expect(await store.readToFile("c/1/weights", back)).toBeUndefined();
  });

  it("takes a file that it is given, and goes by its digest", async () => {
    const store = await open();
    const path = join(folder(), "given");
    const given = { sha256: sha256("given") };
    await writeFile(path, "given");
    await surely(store, "c/1/weights", () => store.createFromFile("c/1/weights", path, given));
    await surely(store, "c/2/weights", () => store.copy("c/1/weights", "c/2/weights"));
    const { etag } = (await store.get("c/1/weights"))!;
    for (const key of ["c/1/weights", "c/2/weights"])
      expect([(await store.head(key))?.etag, text((await store.get(key))?.body)]).toEqual([etag, "given"]);
    await writeFile(path, "another", { flag: "w" });
    expect(["lost", "unknown"]).toContain(
      await store.createFromFile("c/1/weights", path, { sha256: sha256("another") }),
    );
    expect([(await store.head("c/1/weights"))?.etag, text((await store.get("c/1/weights"))?.body)]).toEqual([
      etag,
      "given",
    ]);
  });

  it("gives a file that is only read, and keeps its object whatever is read to that place next", async () => {
    const store = await open();
    const path = join(folder(), "read");
    await createSurely(store, "c/1/weights", "one");
    await createSurely(store, "c/2/weights", "another");
    await writeFile(path, "what was there before");
    const readOnly = { readOnly: true };
    expect(await store.readToFile("c/1/weights", path, readOnly)).toEqual({ sha256: sha256("one"), size: 3 });
    expect(await readFile(path, "utf8")).toBe("one");
    await store.readToFile("c/2/weights", path);
    expect(await readFile(path, "utf8")).toBe("another");
    expect(text((await store.get("c/1/weights"))?.body)).toBe("one");
    await store.readToFile("c/1/weights", path, readOnly);
    await store.delete("c/1/weights");
    expect(await readFile(path, "utf8")).toBe("one");
    expect(await store.readToFile("c/1/weights", path, readOnly)).toBeUndefined();
  });

  it("loses a file or a copy to an object that is there", async () => {
    const store = await open();
    const path = join(folder(), "small");
    await writeFile(path, "from a file");
    await createSurely(store, "a", "one");
    await createSurely(store, "b", "two");
    expect(["lost", "unknown"]).toContain(await store.createFromFile("a", path));
    expect(["lost", "unknown"]).toContain(await store.copy("b", "a"));
    expect(text((await store.get("a"))?.body)).toBe("one");
  });

  it("keeps a copy as it is when the original is replaced", async () => {
    const store = await open();
    await createSurely(store, "a", "one");
    await surely(store, "b", () => store.copy("a", "b"));
    await replaceSurely(store, "a", "two", (await store.head("a"))!.etag);
    expect(text((await store.get("b"))?.body)).toBe("one");
    await expect(store.copy("missing", "c")).rejects.toThrow("missing");
    expect(await store.get("c")).toBeUndefined();
  });
}

async function createSurely(store: Store, key: string, body: string): Promise<void> {
  await surely(store, key, () => store.create(key, bytes(body)));
  expect(text((await store.get(key))?.body)).toBe(body);
}

/** Nobody else writes: after an unknown outcome the key is there, or it is tried again. */
async function surely(store: Store, key: string, write: () => Promise<Written>): Promise<void> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const written = await write();
    if (written === "won") return;
    if (tries === 1) expect(written).toBe("unknown");
    if ((await store.head(key)) !== undefined) return;
  }
  throw new Error(`${key}: ${TRIES_MAX} writes of unknown outcome, and it is not there`);
}

async function replaceSurely(store: Store, key: string, body: string, expected: string | null): Promise<void> {
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const written = await store.replace(key, bytes(body), expected);
    if (written === "won") return;
    if (tries === 1) expect(written).toBe("unknown");
    if (text((await store.get(key))?.body) === body) return;
  }
  throw new Error(`${key}: ${TRIES_MAX} writes of unknown outcome, and it is as before`);
}

async function keysOf(store: Store, prefix: string): Promise<string[]> {
  const objects: readonly Listed[] = (await store.list(prefix)).objects;
  return objects.map((object) => object.key);
}

function indicesOf(written: readonly Written[], wanted: Written): number[] {
  return written.flatMap((outcome, i) => (outcome === wanted ? [i] : []));
}

/** What every Items adapter keeps. Putting and removing objects is the place's own business: the harness brings it. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../../protocol/digest.ts";
import { arrivedItem } from "../../protocol/intake.ts";
import { type Arrival, LIST_MAX, type Items } from "../../protocol/ports.ts";
import { Item } from "../../protocol/types.ts";

export interface ItemsPlace {
  readonly items: Items;
  /** Puts a whole object, as a user would; it may be listed at once. */
  put(key: string, body: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** @param open an empty place, each time another one */
export function itemsKeepTheirPromises(name: string, open: () => ItemsPlace | Promise<ItemsPlace>): void {
  describe(`the items of ${name}`, () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "accrete-items-contract-"));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    listPromises(open);
    fetchPromises(open, () => folder);
  });
}

function listPromises(open: () => ItemsPlace | Promise<ItemsPlace>): void {
  it("are listed with their size, by prefix, in the order of the keys' bytes", async () => {
    const place = await open();
    const keys = ["a-b", "a.b", "a/b", "a/b-c", "a/bc/d", "a0", "b/é", "b/\u{ffee}", "b/\u{1f600}"];
    for (const key of [...keys].reverse()) await place.put(key, bytes(key));
    const all = await everything(place.items, "");
    expect(all.map((item) => item.key)).toEqual(keys);
    expect(all.map((item) => item.size)).toEqual(keys.map((key) => bytes(key).byteLength));
    for (const item of all) expect(Item.parse(arrivedItem(item))).toEqual(arrivedItem(item));
    expect(new Set(all.map((item) => item.bucket)).size).toBe(1);
    expect((await everything(place.items, "a/b")).map((item) => item.key)).toEqual(["a/b", "a/b-c", "a/bc/d"]);
    expect(await everything(place.items, "c/")).toEqual([]);
  });

  it("keep their names, whatever is in them, and empty ones too", async () => {
    const place = await open();
    const keys = ["a line\nbreak", "quote\"'`$(x)", "tab\t\u001b[31mred", "ümläut/日本", "%2e%2e", " "];
    for (const key of keys) await place.put(key, bytes(""));
    expect((await everything(place.items, "")).map((item) => item.key).sort()).toEqual([...keys].sort());
  });

  it("are listed page by page, each once", async () => {
    const place = await open();
    const keys = Array.from({ length: LIST_MAX + 20 }, (_, i) => `${i % 7}/${String(i).padStart(5, "0")}`);
    for (let i = 0; i < keys.length; i += 50)
      await Promise.all(keys.slice(i, i + 50).map((key) => place.put(key, bytes(key))));
    const first = await place.items.list("");
    expect(first.items.length).toBeLessThanOrEqual(LIST_MAX);
    expect(first.next).toBeDefined();
    const second = await place.items.list("", first.next);
    expect([...first.items, ...second.items].map((item) => item.key)).toEqual([...keys].sort());
    expect(second.next).toBeUndefined();
    // the same page again, as after a failure in between
    expect(await place.items.list("", first.next)).toEqual(second);
  });

  it("say when they were last written, to the second at least, or do not say it", async () => {
    const place = await open();
    const beforeMs = Date.now();
    await place.put("a", bytes("one"));
    const afterMs = Date.now();
    for (const { modifiedMs } of await everything(place.items, "")) {
      if (modifiedMs === undefined) continue;
      expect(modifiedMs).toBeGreaterThanOrEqual(beforeMs - 1_000);
      expect(modifiedMs).toBeLessThanOrEqual(afterMs + 1_000);
    }
  });

  it("are other items when their bytes change, and the same again when those come back", async () => {
    const place = await open();
    const listed: Item[] = [];
    for (const body of ["one", "two", "one"]) {
      await place.put("a", bytes(body));
      listed.push(...(await everything(place.items, "")));
    }
    const [one, two, again] = listed;
    expect(two?.etag).not.toBe(one?.etag);
    expect(again?.etag).toBe(one?.etag);
  });
}

function fetchPromises(open: () => ItemsPlace | Promise<ItemsPlace>, folder: () => string): void {
  it("are fetched byte by byte as they were listed", async () => {
    const place = await open();
    const bodies = new Map([
      ["large", new Uint8Array(3 * 1_048_576 + 1).map((_, i) => (i * 2_654_435_761) >>> 24)],
      ["empty", new Uint8Array()],
      ["deep/er\n", bytes("x")],
    ]);
    for (const [key, body] of bodies) await place.put(key, body);
    for (const item of await everything(place.items, "")) {
      const path = join(folder(), "fetched");
      expect(await place.items.fetch(item, path)).toEqual({ outcome: "fetched" });
      expect(sha256(await readFile(path))).toBe(sha256(bodies.get(item.key)!));
    }
    await rm(join(folder(), "fetched"));
  });

  it("are gone when they were deleted or overwritten, and then no file is left behind", async () => {
    const place = await open();
    for (const key of ["deleted", "overwritten", "longer", "a/folder/file"]) await place.put(key, bytes("one"));
    const items = await everything(place.items, "");
    await place.remove("deleted");
    await place.remove("a/folder/file");
    await place.put("overwritten", bytes("two"));
    await place.put("longer", bytes("longer"));
    for (const item of items) {
      expect(await place.items.fetch(item, join(folder(), "gone")), item.key).toEqual({ outcome: "gone" });
    }
    expect(await readdir(folder())).toEqual([]);
  });
}

async function everything(items: Items, prefix: string): Promise<Arrival[]> {
  const all: Arrival[] = [];
  let next: string | undefined;
  do {
    const page = await items.list(prefix, next);
    all.push(...page.items);
    next = page.next;
  } while (next !== undefined);
  return all;
}

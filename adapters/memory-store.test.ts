import fc from "fast-check";
import { expect, it } from "vitest";
import { storeKeepsItsPromises } from "../test/contract/store.ts";
import { compareBytes } from "../protocol/digest.ts";
import { fromByteString, toByteString } from "./byte-order.ts";
import { openMemoryStore } from "./memory-store.ts";

let nowMs = 1_000;
storeKeepsItsPromises("memory", () => openMemoryStore({ nowMs: () => nowMs++ }));

it("takes its time from the clock that it was given", async () => {
  const store = openMemoryStore({ nowMs: () => 70_000 });
  await store.create("a", new Uint8Array(3));
  expect(await store.list("")).toEqual({
    objects: [{ key: "a", size: 3, modifiedMs: 70_000 }],
    more: false,
    nowMs: 70_000,
  });
  expect([...store.objects.keys()]).toEqual(["a"]);
});

it("takes effect at once, before anybody waits for it", () => {
  const store = openMemoryStore({ nowMs: () => 0 });
  void store.create("a", new Uint8Array(1));
  void store.create("b", new Uint8Array(1));
  void store.delete("a");
  expect([...store.objects.keys()]).toEqual(["b"]);
});

it("refuses a key that no LIST could give back", async () => {
  const store = openMemoryStore({ nowMs: () => 0 });
  await expect(store.create("\ud800", new Uint8Array())).rejects.toMatchObject({ code: "UNSAFE_KEY" });
});

it("orders keys by their UTF-8 bytes, whatever they hold", () => {
  const key = fc.string({ unit: "binary" });
  fc.assert(
    fc.property(key, key, (a, b) => {
      const [x, y] = [toByteString(a), toByteString(b)];
      expect(Math.sign(compareBytes(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0);
      expect(fromByteString(x)).toBe(a);
    }),
  );
  expect(fromByteString("\xff")).toBeUndefined();
});

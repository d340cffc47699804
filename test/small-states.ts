/** What tests of the ledger begin with: a store with a clock of its own, one that misbehaves, and a data folder. */
import { openMemoryStore, type MemoryStore } from "../adapters/memory-store.ts";
import type { Arrival, Items, Store } from "../protocol/ports.ts";

/** Each look at its clock is 5 ms later. */
export function memoryStore(): MemoryStore {
  let now = 1_700_000_000_000;
  return openMemoryStore({ nowMs: () => (now += 5) });
}

/** The store with some of its methods replaced. */
export function storeWith(store: Store, replaced: Partial<Store>): Store {
  return {
    create: (key, body) => store.create(key, body),
    replace: (key, body, expected) => store.replace(key, body, expected),
    get: (key) => store.get(key),
    head: (key) => store.head(key),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key) => store.delete(key),
    createFromFile: (...args) => store.createFromFile(...args),
    readToFile: (...args) => store.readToFile(...args),
    copy: (from, to) => store.copy(from, to),
    ...replaced,
  };
}

/** A data folder with these files, listed in pages. */
export function itemsOf(present: readonly Arrival[], pageSize = 2): Items {
  return {
    fetch: async () => ({ outcome: "gone" }),
    list: async (prefix, next = "0") => {
      const matching = present.filter(({ key }) => key.startsWith(prefix));
      const end = Number(next) + pageSize;
      const items = matching.slice(Number(next), end);
      return end < matching.length ? { items, next: String(end) } : { items };
    },
  };
}

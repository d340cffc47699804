import type { Store } from "../../protocol/ports.ts";

/** A store that is the end of the process at one call. */
export function failingStore(
  store: Store,
  failing: number,
  when: "before" | "after",
): { store: Store; calls: () => number } {
  let calls = 0;
  const wrap = <A extends unknown[], R>(work: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      const cut = ++calls >= failing;
      if (cut && when === "before") throw new Error("the power is cut");
      const result = await work(...args);
      if (cut) throw new Error("the power is cut");
      return result;
    };
  };
  return {
    calls: () => calls,
    store: {
      create: wrap(store.create.bind(store)),
      replace: wrap(store.replace.bind(store)),
      get: wrap(store.get.bind(store)),
      head: wrap(store.head.bind(store)),
      list: wrap(store.list.bind(store)),
      delete: wrap(store.delete.bind(store)),
      createFromFile: wrap(store.createFromFile.bind(store)),
      readToFile: wrap(store.readToFile.bind(store)),
      copy: wrap(store.copy.bind(store)),
    },
  };
}

/** A store whose requests are counted by the kind, as each kind has a price of its own. */
import type { Store } from "../protocol/ports.ts";

export interface Kinds {
  put: number;
  list: number;
  get: number;
}

/** Counts as it hands them on. */
export function byKind(store: Store): { store: Store; kinds: Kinds } {
  const kinds: Kinds = { put: 0, list: 0, get: 0 };
  const counted =
    <In extends unknown[], Out>(kind: keyof Kinds, call: (...input: In) => Promise<Out>) =>
    (...input: In): Promise<Out> => {
      kinds[kind]++;
      return call(...input);
    };
  return {
    kinds,
    store: {
      create: counted("put", (key: string, body: Uint8Array) => store.create(key, body)),
      replace: counted("put", (key: string, body: Uint8Array, etag: string | null) => store.replace(key, body, etag)),
      createFromFile: counted("put", (key: string, path: string) => store.createFromFile(key, path)),
      copy: counted("put", (from: string, to: string) => store.copy(from, to)),
      get: counted("get", (key: string) => store.get(key)),
      head: counted("get", (key: string) => store.head(key)),
      readToFile: counted("get", (key: string, path: string) => store.readToFile(key, path)),
      list: counted("list", (prefix: string, options?: { after?: string; limit?: number }) =>
        store.list(prefix, options),
      ),
      delete: (key) => store.delete(key), // free
    },
  };
}

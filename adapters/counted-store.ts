/** A store that counts its requests: what a pipeline costs on S3, which is paid by the request. */
import type { Store } from "../protocol/ports.ts";

export interface Requests {
  /** create, replace, delete and copy, also those that were lost */
  readonly writes: number;
  /** get, head, list and the reading of files */
  readonly reads: number;
}

/** @returns the store, and its counts as they are at any moment */
export function countRequests(store: Store): { readonly store: Store; requests(): Requests } {
  let [writes, reads] = [0, 0];
  const write = <T>(answer: Promise<T>): Promise<T> => (writes++, answer);
  const read = <T>(answer: Promise<T>): Promise<T> => (reads++, answer);
  return {
    requests: () => ({ writes, reads }),
    store: {
      create: (key, body) => write(store.create(key, body)),
      replace: (key, body, expected) => write(store.replace(key, body, expected)),
      delete: (key) => write(store.delete(key)),
      createFromFile: (key, path, given) => write(store.createFromFile(key, path, given)),
      copy: (from, to) => write(store.copy(from, to)),
      get: (key) => read(store.get(key)),
      head: (key) => read(store.head(key)),
      list: (prefix, options) => read(store.list(prefix, options)),
      readToFile: (...args) => read(store.readToFile(...args)),
    },
  };
}

/** For people; `npm run scale` reads it. */
export function requestsText({ writes, reads }: Requests): string {
  return `${writes} writes and ${reads} reads of the state store so far`;
}

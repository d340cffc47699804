/** The state as a pipeline sees it in the memory of test/cloud-server.ts. */
import type { Store } from "../protocol/ports.ts";
import type { CloudServer } from "./cloud-server.ts";

/** @param at bucket and prefix, with a slash at the end */
export function stateOf({ objects }: CloudServer, at: string): Store {
  return {
    create: (key, body) => objects.create(at + key, body),
    replace: (key, body, expected) => objects.replace(at + key, body, expected),
    get: (key) => objects.get(at + key),
    head: (key) => objects.head(at + key),
    list: async (prefix, options = {}) => {
      const after = options.after === undefined ? {} : { after: at + options.after };
      const page = await objects.list(at + prefix, { ...options, ...after });
      return { ...page, objects: page.objects.map((one) => ({ ...one, key: one.key.slice(at.length) })) };
    },
    delete: (key) => objects.delete(at + key),
    createFromFile: (key, path) => objects.createFromFile(at + key, path),
    readToFile: (key, path) => objects.readToFile(at + key, path),
    copy: (from, to) => objects.copy(at + from, at + to),
  };
}

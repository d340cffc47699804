/**
 * A process that writes to a directory store as fast as it can, for tests that run several and kill them.
 * Usage: node store-hammer.ts ROOT create|count|files NAME COUNT. It prints "ready", starts when it gets a line, and prints
 * each outcome as soon as it is told.
 */
import { writeSync } from "node:fs";
import { once } from "node:events";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import type { Written } from "../../protocol/ports.ts";
import { counted, countOf, wholeBody } from "./store-bodies.ts";

const [root, mode, name, count] = process.argv.slice(2);
if (root === undefined || name === undefined)
  throw new Error("usage: store-hammer.ts ROOT create|count|files NAME COUNT");
const store = openDirectoryStore(root);
const times = Number(count);

const tell = (index: number, outcome: Written): void => void writeSync(1, `${index} ${outcome}\n`);

async function increment(): Promise<Written> {
  const stored = await store.get("counter");
  if (stored === undefined) return store.create("counter", counted(1));
  return store.replace("counter", counted(countOf(stored.body) + 1), stored.etag);
}

writeSync(1, "ready\n");
await once(process.stdin, "data");
process.stdin.destroy();
for (let i = 0; i < times;) {
  const outcome =
    mode === "count"
      ? await increment()
      : await store.create(mode === "files" ? `files/${name}/${i}` : `race/${i}`, wholeBody(name, i));
  if (outcome === "lost" && mode === "count") continue;
  tell(i++, outcome);
}

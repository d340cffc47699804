/** Deletes checkpoints that no entry can name any more. It may sleep and go on with an old head: what left `keep` never comes back. */
import { compareBytes } from "../protocol/digest.ts";
import { MANIFEST, parseCheckpointFile, ROUNDS } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { listAll } from "./inspect.ts";
import { inParallel } from "./ledger.ts";
import { readHead } from "./read.ts";

interface Folder {
  readonly round: number;
  readonly step: number;
  readonly keys: string[];
  manifest: string | undefined;
  modifiedMs: number;
}

/**
 * @param options.history whole checkpoints that stay beside the kept ones: the newest in training order, also those saved
 * within a round
 * @returns the folders deleted, in closed rounds only: the open round is not its
 */
export async function janitor(store: Store, options: { history: number }): Promise<string[]> {
  const { head } = await readHead(store);
  const { objects } = await listAll(store, ROUNDS);
  const folders = new Map<string, Folder>();
  for (const { key, modifiedMs } of objects) {
    const file = parseCheckpointFile(key);
    if (file === undefined || file.round > head.round) continue;
    const name = key.slice(0, key.lastIndexOf("/") + 1);
    const folder = folders.get(name) ?? {
      round: file.round,
      step: file.step,
      keys: [],
      manifest: undefined,
      modifiedMs,
    };
    if (file.name === MANIFEST) folder.manifest = key;
    else folder.keys.push(key);
    folder.modifiedMs = Math.max(folder.modifiedMs, modifiedMs);
    folders.set(name, folder);
  }
  const kept = new Set(head.keep.map(({ checkpoint }) => checkpoint.manifest));
  const whole = [...folders].filter(([, folder]) => folder.manifest !== undefined).sort(newestFirst);
  const history = new Set(whole.slice(0, options.history).map(([name]) => name));
  const gone = [...folders].filter(
    ([name, { manifest }]) => !history.has(name) && !(manifest !== undefined && kept.has(manifest)),
  );
  for (const [, folder] of gone) {
    // the manifest first: without it the rest is no checkpoint, should this stop half-way
    if (folder.manifest !== undefined) await store.delete(folder.manifest);
    await inParallel(folder.keys, (key) => store.delete(key));
  }
  return gone.map(([name]) => name);
}

function newestFirst([nameA, a]: [string, Folder], [nameB, b]: [string, Folder]): number {
  return b.round - a.round || b.step - a.step || b.modifiedMs - a.modifiedMs || compareBytes(nameA, nameB);
}

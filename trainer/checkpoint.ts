/** Checkpoints in the store: files first, the manifest last; and reading one back, every byte checked. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { checkpointPrefix, checkpointsPrefix, MANIFEST, parseCheckpointFile } from "../protocol/keys.ts";
import type { Store, Written } from "../protocol/ports.ts";
import { documentBytes, parseDocument, type Checkpoint, type Manifest } from "../protocol/types.ts";

/** A checkpoint whose files are on local disk, to be read alone. */
export interface Restored {
  readonly manifest: Manifest;
  readonly manifestKey: string;
  readonly manifestSha256: string;
  /** path of one of its files; undefined if it has none of that name */
  path(name: string): string | undefined;
}

/**
 * Reads a whole checkpoint to a folder.
 * @param expected the manifest's digest, where somebody names it
 * @throws {AccreteError} CHECKPOINT_NOT_WHOLE, naming the file
 */
export async function restore(store: Store, manifestKey: string, folder: string, expected?: string): Promise<Restored> {
  const broken = (why: string): AccreteError => new AccreteError("CHECKPOINT_NOT_WHOLE", why);
  const stored = await store.get(manifestKey);
  if (stored === undefined) throw broken(`${manifestKey} is not there`);
  const digest = sha256(stored.body);
  if (expected !== undefined && digest !== expected)
    throw broken(`${manifestKey} is not the manifest that is named: its digest is ${digest}`);
  const manifest = parseManifest(manifestKey, stored.body, broken);
  const prefix = manifestKey.slice(0, -MANIFEST.length);
  await mkdir(folder, { recursive: true });
  for (const file of manifest.files) {
    const path = join(folder, file.name);
    const read = await store.readToFile(prefix + file.name, path, { readOnly: true });
    if (read === undefined) throw broken(`${prefix}${file.name} is not there`);
    if (read.size !== file.size || read.sha256 !== file.sha256)
      throw broken(`${prefix}${file.name} is not what its manifest names`);
  }
  return {
    manifest,
    manifestKey,
    manifestSha256: digest,
    path: (name) => (manifest.files.some((file) => file.name === name) ? join(folder, name) : undefined),
  };
}

function parseManifest(key: string, body: Uint8Array, broken: (why: string) => AccreteError): Manifest {
  try {
    return parseDocument("manifest", key, body);
  } catch (cause) {
    throw broken(messageOf(cause));
  }
}

/** Manifest keys of a round's checkpoints, the highest step first. */
export async function manifestsOf(store: Store, round: number): Promise<string[]> {
  const found: { key: string; step: number; modifiedMs: number }[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list(checkpointsPrefix(round), after === undefined ? {} : { after });
    for (const { key, modifiedMs } of page.objects) {
      const file = parseCheckpointFile(key);
      if (file?.name === MANIFEST) found.push({ key, step: file.step, modifiedMs });
    }
    after = page.objects.at(-1)?.key;
    if (!page.more || after === undefined) break;
  }
  return found.sort((a, b) => b.step - a.step || b.modifiedMs - a.modifiedMs).map(({ key }) => key);
}

export interface FileToSave {
  readonly name: string;
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** What a saved file can be taken from without sending it again. */
export type Saved = ReadonlyMap<string, { readonly key: string; readonly sha256: string; readonly size: number }>;

/** What a manifest says beside its files. */
export type About = Omit<Manifest, "format" | "files">;

/**
 * Saves a checkpoint. A file that is as in `before` is copied inside the store, so that the new one still refers to nothing outside its folder.
 * @param files on disk, and the store's from here on
 * @param options.unchanged names of more files, which are as in `before`
 * @returns the checkpoint, and its files for the next save's `before`
 */
export async function save(
  store: Store,
  files: readonly FileToSave[],
  { about, before, unchanged }: { about: About; before: Saved; unchanged: readonly string[] },
): Promise<{ checkpoint: Checkpoint; saved: Saved }> {
  const prefix = checkpointPrefix(about);
  const saved = new Map<string, { key: string; sha256: string; size: number }>();
  const listed: Manifest["files"] = [];
  const add = async (name: string, sha256: string, size: number, put: (key: string) => Promise<Written>) => {
    const key = prefix + name;
    const etag = await putOwn(store, key, () => put(key));
    listed.push({ name, size, sha256, etag });
    saved.set(name, { key, sha256, size });
  };
  for (const { name, path, sha256, size } of files) {
    const same = before.get(name);
    await add(name, sha256, size, (key) =>
      same?.sha256 === sha256 ? store.copy(same.key, key) : store.createFromFile(key, path, { sha256 }),
    );
  }
  for (const name of unchanged) {
    const same = before.get(name)!;
    await add(name, same.sha256, same.size, (key) => store.copy(same.key, key));
  }
  const key = prefix + MANIFEST;
  const body = documentBytes("manifest", key, { format: 1, ...about, files: listed });
  await putOwn(store, key, () => store.create(key, body));
  return {
    checkpoint: { manifest: key, sha256: sha256(body), round: about.round, step: about.step, epoch: about.epoch },
    saved,
  };
}

const TRIES_MAX = 3;

/** Writes under a key of this run alone: "lost" can only mean that an earlier try of ours had written. @returns the etag */
async function putOwn(store: Store, key: string, put: () => Promise<Written>): Promise<string> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    if ((await put()) === "unknown") continue;
    const head = await store.head(key);
    if (head !== undefined) return head.etag;
  }
  throw new Error(`${key} could not be written in ${TRIES_MAX} tries`);
}

/** Finding a checkpoint: of a round, by epoch, live. */
import { AccreteError } from "../protocol/errors.ts";
import { checkpointsPrefix, MANIFEST, parseCheckpointFile, ROUNDS } from "../protocol/keys.ts";
import type { Listed, Store } from "../protocol/ports.ts";
import type { Checkpoint, Manifest } from "../protocol/types.ts";
import { listAll } from "./inspect.ts";
import { readDocument, readHead } from "./read.ts";

export interface CheckpointFolder {
  /** with a slash at its end */
  readonly prefix: string;
  readonly round: number;
  readonly step: number;
  readonly run: string;
  /** without it the checkpoint does not exist */
  readonly whole: boolean;
  readonly files: readonly { readonly name: string; readonly size: number }[];
  readonly modifiedMs: number;
}

/** The checkpoints of a round, or of all rounds, in training order: by round, then by step. */
export async function listCheckpoints(store: Store, round?: number): Promise<CheckpointFolder[]> {
  const { objects } = await listAll(store, round === undefined ? ROUNDS : checkpointsPrefix(round));
  const folders = Map.groupBy(
    objects.filter(({ key }) => parseCheckpointFile(key) !== undefined),
    ({ key }) => key.slice(0, key.lastIndexOf("/") + 1),
  );
  return [...folders]
    .map(([prefix, files]) => folderOf(prefix, files))
    .sort((a, b) => a.round - b.round || a.step - b.step || a.modifiedMs - b.modifiedMs);
}

function folderOf(prefix: string, listed: readonly Listed[]): CheckpointFolder {
  const { round, step, run } = parseCheckpointFile(listed[0]!.key)!;
  const files = listed.map(({ key, size }) => ({ name: key.slice(prefix.length), size }));
  return {
    prefix,
    round,
    step,
    run,
    whole: files.some(({ name }) => name === MANIFEST),
    files,
    modifiedMs: Math.max(...listed.map(({ modifiedMs }) => modifiedMs)),
  };
}

export type WhichCheckpoint = { readonly by: "live" } | { readonly by: "round" | "epoch"; readonly number: number };

export interface ChosenCheckpoint {
  /** the manifest's key */
  readonly manifest: string;
  /** its digest, where an entry names it */
  readonly sha256: string | undefined;
  readonly round: number;
  readonly step: number;
  readonly epoch: number;
  readonly live: boolean;
}

/**
 * The checkpoint that is asked for. live: else the head's. round: its result. epoch: the newest in training order that had been
 * through so many epochs, also one saved within a round.
 * @throws {AccreteError} NOT_FOUND, NOT_KEPT
 */
export async function chooseCheckpoint(store: Store, which: WhichCheckpoint): Promise<ChosenCheckpoint> {
  const { head } = await readHead(store);
  const chosen = (checkpoint: Checkpoint): ChosenCheckpoint => {
    const { manifest, sha256, round, step, epoch } = checkpoint;
    return { manifest, sha256, round, step, epoch, live: manifest === head.live?.manifest };
  };
  if (which.by === "live") {
    const checkpoint = head.live ?? head.checkpoint;
    if (checkpoint === null) throw new AccreteError("NOT_FOUND", "nothing has been trained yet");
    return chosen(checkpoint);
  }
  if (which.by === "round") {
    const kept = head.keep.find(({ checkpoint }) => checkpoint.round === which.number);
    if (kept !== undefined) return chosen(kept.checkpoint);
  }
  const known = new Map(head.keep.map(({ checkpoint }) => [checkpoint.manifest, checkpoint]));
  const folders = (await listCheckpoints(store)).filter(({ whole }) => whole).reverse();
  const epochs = new Set<number>();
  for (const folder of folders) {
    if (which.by === "round" && (folder.round !== which.number || folder.round > head.round)) continue;
    const key = folder.prefix + MANIFEST;
    const manifest: Manifest | undefined = (await readDocument(store, "manifest", key))?.document;
    if (manifest === undefined) continue;
    const committed = known.get(key);
    if (which.by === "round" || manifest.epoch === which.number)
      return committed === undefined
        ? {
            manifest: key,
            sha256: undefined,
            round: folder.round,
            step: manifest.step,
            epoch: manifest.epoch,
            live: false,
          }
        : chosen(committed);
    epochs.add(manifest.epoch);
  }
  if (which.by === "round")
    throw new AccreteError(
      "NOT_KEPT",
      `round ${which.number} has no checkpoint any more, or never had one: there are those of rounds ${list(head.keep.map(({ checkpoint }) => checkpoint.round))}`,
    );
  throw new AccreteError(
    "NOT_KEPT",
    `no checkpoint of epoch ${which.number} is kept: there are epochs ${list([...epochs])}`,
  );
}

function list(numbers: readonly number[]): string {
  return numbers.length === 0 ? "none" : [...numbers].sort((a, b) => a - b).join(", ");
}

/** The checkpoint has a replay memory: its manifest lists a file named `memory.*`. */
export async function hasMemory(store: Store, checkpoint: Checkpoint | null): Promise<boolean> {
  if (checkpoint === null) return false;
  const manifest = await readDocument(store, "manifest", checkpoint.manifest);
  return manifest?.document.files.some(({ name }) => name.startsWith("memory.")) ?? false;
}

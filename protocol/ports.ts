/**
 * What the outside must promise. Interfaces only; adapters/ implements them, and test/contract/ has one suite for each
 * that every adapter passes. An expected outcome is a value; only the unexpected is thrown.
 */
import type { Item, Metrics } from "./types.ts";

/**
 * `won`: written, by this call. `lost`: somebody else had written before, nothing changed. `unknown`: a timeout or an
 * error in the middle; it may have been written, now or later. Whoever gets it starts over from the top (I9).
 */
export type Written = "won" | "lost" | "unknown";

export interface Stored {
  readonly body: Uint8Array;
  /** opaque; equal for equal bytes of one key */
  readonly etag: string;
  /** by the store's clock */
  readonly modifiedMs: number;
}

export interface Listed {
  readonly key: string;
  readonly size: number;
  /** by the store's clock */
  readonly modifiedMs: number;
}

export interface Page {
  /** in the order of the keys' UTF-8 bytes */
  readonly objects: readonly Listed[];
  /** there are more keys after the last of these */
  readonly more: boolean;
  /** the store's clock when it answered: the only clock that ages are compared with */
  readonly nowMs: number;
}

/** The most keys that one LIST returns, as on S3. */
export const LIST_MAX = 1_000;

export interface FileDigest {
  readonly sha256: string;
  /** bytes */
  readonly size: number;
}

/** A file that is the store's from here on: it may be gone afterwards, and the caller never writes to it again. */
export interface GivenFile {
  /** of its bytes, which are on disk already */
  readonly sha256: string;
}

/** The state bucket, or a directory. Reads and lists see the last finished write. Keys are relative to the store's root. */
export interface Store {
  /** At most one of any number of concurrent callers is ever told "won", and then it has. */
  create(key: string, body: Uint8Array): Promise<Written>;
  /**
   * Writes only if the key's etag is still `expected`; null: only if the key does not exist.
   * A replaced object is never seen half.
   */
  replace(key: string, body: Uint8Array, expected: string | null): Promise<Written>;
  get(key: string): Promise<Stored | undefined>;
  head(key: string): Promise<{ size: number; etag: string; modifiedMs: number } | undefined>;
  /** One page of the keys that start with `prefix` and come after `after`; at most min(limit, LIST_MAX). */
  list(prefix: string, options?: { after?: string; limit?: number }): Promise<Page>;
  /** Succeeds if there is nothing to delete. */
  delete(key: string): Promise<void>;

  // Large files (a checkpoint's): never whole in memory.
  /** create() from a local file. */
  createFromFile(key: string, path: string, given?: GivenFile): Promise<Written>;
  /**
   * Writes the object's bytes to a local file (made anew).
   * @param use.readOnly nobody will write to the file: it may be the store's own, by another name
   * @returns what they are; undefined if there is no such key
   */
  readToFile(key: string, path: string, use?: { readonly readOnly: boolean }): Promise<FileDigest | undefined>;
  /** create() with the bytes of another key, without reading large ones here (hard link, parts that S3 copies); "lost" if `to` exists. */
  copy(from: string, to: string): Promise<Written>;
}

export type FetchOutcome =
  | { readonly outcome: "fetched" }
  /** deleted or overwritten since it arrived: NoSuchKey, NoSuchVersion, 412 */
  | { readonly outcome: "gone" | "archived" | "forbidden" };

/** The news of an item, with when its object was last written, where that is known: no part of the item. */
export interface Arrival extends Item {
  readonly modifiedMs?: number;
}

/** The data bucket, or a directory: where users put objects. Only ever read. */
export interface Items {
  /**
   * Writes exactly the item's bytes (its etag, or its version) to a local file. Anything but the four outcomes is thrown,
   * as it may pass.
   */
  fetch(item: Item, path: string): Promise<FetchOutcome>;
  /** One page of what is there now, for the sweep; `next` is handed to the next call, undefined at the end. */
  list(prefix: string, next?: string): Promise<{ items: readonly Arrival[]; next?: string | undefined }>;
}

/** A local copy, removed when it is disposed of. */
export interface StartFile extends AsyncDisposable {
  readonly path: string;
  /** of its bytes */
  readonly sha256: string;
}

/** The weights of a warm start, wherever they lie. */
export interface StartWeights {
  /**
   * As they are at this moment, as safetensors: the same weights give the same bytes.
   * @throws {AccreteError} START_NOT_READABLE, START_NOT_MATCHING
   */
  read(): Promise<StartFile>;
}

export type JobState = "waiting" | "running" | "succeeded" | "failed";

export interface Job {
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  /** by the Jobs' own clock; for people and for maxWait */
  readonly createdMs: number;
  readonly startedMs?: number;
  readonly stoppedMs?: number;
  /** of a job that has stopped, where it is known */
  readonly exitCode?: number;
  /** why it stopped, for people */
  readonly reason?: string;
  /** it has failed, and its machine was taken back or broke, or it was told to stop by none of us, as a machine does before that */
  readonly hostLost?: boolean;
  /** where its output is, for people */
  readonly log?: string;
}

export interface JobRequest {
  /** unique for each intent: ends with its nonce */
  readonly name: string;
  readonly planKey: string;
  readonly attempt: number;
  /** after this the job is terminated */
  readonly timeLimitMs: number;
  /** the place may start it once more by itself where it has lost its machine: with all of its time again */
  readonly mayRestart: boolean;
  /** as the plan names it; null on one machine */
  readonly jobDefinition: string | null;
  /** on a machine that nobody takes back, where there are others */
  readonly onDemand: boolean;
}

/** AWS Batch, or child processes. */
export interface Jobs {
  /** Starts one job, never two. `unknown`: it may have started; it is looked for by name. */
  submit(request: JobRequest): Promise<{ outcome: "submitted"; id: string } | { outcome: "unknown" }>;
  /** Of these jobs those that are known. A job that was just submitted may be unknown for `lookupLagMs`. */
  describe(ids: readonly string[]): Promise<readonly Job[]>;
  /** All jobs of that name; one that was just submitted may be missing for `lookupLagMs`. */
  findByName(name: string): Promise<readonly Job[]>;
  /** Asks a job to save and end (SIGTERM, later SIGKILL). Succeeds if it has ended or is not known. */
  terminate(id: string, reason: string): Promise<void>;
  /** Batch 10 min, processes 2 s */
  readonly lookupLagMs: number;
}

/** Why a tick comes. It carries no order: the state says what is due. */
export type Tick =
  | { readonly kind: "plain" }
  /** comes again and again by itself, so it asks for no later tick */
  | { readonly kind: "net" }
  /** asked for by intake: the key of the segment it created */
  | { readonly kind: "segment"; readonly segment: string }
  /** an operator's; `seq` is that of the head that the operator saw */
  | { readonly kind: "train" | "rehearse"; readonly seq: number }
  /** an operator's: one attempt more than `attempt` of `round`, under the head `seq` */
  | { readonly kind: "retry"; readonly seq: number; readonly round: number; readonly attempt: number }
  | { readonly kind: "schedule"; readonly timeMs: number; readonly retrain: "pending" | "rehearse" | "full" };

export interface Ticks {
  /** A tick after `delayMs`; it may come early, late and more than once. */
  ask(tick: Tick, delayMs: number): Promise<void>;
}

export interface Clock {
  /** for people and for names only: nothing in the protocol depends on it */
  nowMs(): number;
  /** 128 random bits as 32 hex digits */
  nonce(): string;
}

/** Told at least once each; `submitted` and `planned` only by who did it: a kill at that moment loses them. */
export type Notice =
  | {
      readonly kind: "committed" | "held";
      readonly pipeline: string;
      readonly seq: number;
      readonly round: number;
      readonly metrics: Metrics;
      readonly message: string;
    }
  | { readonly kind: "rolled-back"; readonly pipeline: string; readonly seq: number; readonly message: string }
  | { readonly kind: "promoted"; readonly pipeline: string; readonly seq: number; readonly message: string }
  /** `attempt`: the newest one; 0 where an operator has to decide how to go on after a refusal */
  | {
      readonly kind: "blocked";
      readonly pipeline: string;
      readonly round: number;
      readonly attempt: number;
      readonly message: string;
    }
  /** nothing is submitted before `untilMs`, by the store's clock: what may be spent is used up */
  | {
      readonly kind: "budget";
      readonly pipeline: string;
      readonly round: number;
      readonly untilMs: number;
      readonly message: string;
    }
  /** a stored file can't be what was written: it is left alone */
  | { readonly kind: "damaged"; readonly pipeline: string; readonly key: string; readonly message: string }
  | { readonly kind: "submitted"; readonly pipeline: string; readonly round: number; readonly message: string }
  | { readonly kind: "planned"; readonly pipeline: string; readonly round: number; readonly message: string };

export interface Notify {
  /** Once it has answered, a kill does not lose the notice. The same notice may come any number of times. */
  notify(notice: Notice): Promise<void>;
}

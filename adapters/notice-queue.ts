/** Sends the notices of one channel, from their folder: one process at a time, each until it is delivered or given up. */
import { join } from "node:path";
import { messageOf } from "../protocol/errors.ts";
import { makeFolder } from "./directory-publish.ts";
import { holdLock } from "./directory-lock.ts";
import type { NoticeChannel } from "./notice-channel.ts";
import { NoticeFolder, type StoredNotice } from "./notice-folder.ts";

/** Between two looks for what other processes have told and not delivered, or for the end of who delivers. */
const LOOK_MS = 5_000;
/** Between two tries of one notice: twice as long after each. */
const PAUSE_MS_MIN = 1_000;
const PAUSE_MS_MAX = 300_000;
/** A notice that is older is given up when its next try fails: whom would it help? */
const AGE_MS_MAX = 86_400_000;
/** So many wait at most; of more each is tried once: a place that is away for long gets no flood. */
const WAITING_MAX = 1_000;
const PRUNE_MS = 3_600_000;
/** Of a process that is about to end: for the tries of what was told last. */
const LAST_TRIES_MS = 5_000;

/** What is said of the deliveries. */
export interface Words {
  /** @param about what it is of: said again only if it changes */
  warn(about: string, message: string): void;
  /** what was said of it has passed */
  passed(about: string): void;
}

export class NoticeQueue {
  readonly #channel: NoticeChannel;
  readonly #folder: NoticeFolder;
  readonly #path: string;
  readonly #words: () => Words;
  readonly #abort = new AbortController();
  /** of those that were tried here and failed */
  readonly #tried = new Map<string, { readonly tries: number; readonly dueMs: number }>();
  /** sent, or given up, but not written down: the disk was full, say */
  readonly #unrecorded = new Map<string, { readonly how: "delivered" | "given-up"; readonly error?: string }>();
  #lock: { release(): void } | undefined;
  #running: Promise<void> | undefined;
  #once: Promise<void> = Promise.resolve();
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #prunedMs: number | undefined;
  #stopping = false;

  constructor(channel: NoticeChannel, path: string, words: () => Words) {
    this.#channel = channel;
    this.#path = path;
    this.#folder = new NoticeFolder(path);
    this.#words = words;
  }

  /** @returns false if it was told before @throws {AccreteError} OUT_OF_DISK, STORE_UNREADABLE */
  add(id: string, body: string): Promise<boolean> {
    return this.#folder.add(id, body);
  }

  /** Looks for what is due, now and from now on. */
  start(): void {
    if (this.#stopping) return;
    this.#again = true;
    this.#running ??= this.#once
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        this.#timer = this.#stopping ? undefined : setTimeout(() => this.start(), this.#nextLookMs());
      });
    clearTimeout(this.#timer);
  }

  /** One try, for a process that will soon end; nothing where another process delivers. Never throws. */
  tryOnce(id: string): Promise<void> {
    const work = async (): Promise<void> => {
      if (!(await this.#hold())) return;
      try {
        await this.#deliver(id, LAST_TRIES_MS);
      } finally {
        this.#release();
      }
    };
    this.#once = this.#once.then(() => this.#guarded(work));
    return this.#once;
  }

  /** What was told last is tried once, for a few seconds; then nothing goes on. Never throws. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const limit = setTimeout(() => this.#abort.abort(), LAST_TRIES_MS);
    await this.#once;
    await this.#running;
    await this.#run();
    clearTimeout(limit);
    clearTimeout(this.#timer);
    this.#release();
  }

  async #run(): Promise<void> {
    this.#again = true;
    await this.#guarded(async () => {
      while (this.#again) {
        this.#again = false;
        await this.#deliverDue();
      }
      if (this.#lock !== undefined && Date.now() - (this.#prunedMs ?? 0) > PRUNE_MS) {
        this.#prunedMs = Date.now();
        await this.#folder.prune();
      }
    });
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    const about = `${this.#channel.name} folder`;
    try {
      await work();
      this.#words().passed(about);
    } catch (error) {
      this.#words().warn(about, `notices for the ${this.#channel.name} are not sent: ${messageOf(error)}`);
    }
  }

  async #deliverDue(): Promise<void> {
    if ((await this.#lookForDue()).length === 0 || !(await this.#hold())) return;
    // once more: until the lock was held, another process may have delivered them
    for (const id of await this.#lookForDue()) {
      if (this.#abort.signal.aborted) return;
      await this.#deliver(id);
    }
  }

  /** Ids of those to be tried now: those never tried first, then the oldest. */
  async #lookForDue(): Promise<string[]> {
    const ids = await this.#folder.waiting();
    for (const id of this.#tried.keys()) if (!ids.includes(id)) this.#tried.delete(id);
    const due = ids.filter((id) => this.#isDue(id));
    if (due.length === 0) return [];
    const notices: { id: string; tries: number; atMs: number }[] = [];
    // one after the other: there may be more than files can be open at once
    for (const id of due) {
      const notice = await this.#folder.read(id);
      notices.push({
        id,
        tries: this.#tried.get(id)?.tries ?? 0,
        atMs: typeof notice === "object" ? notice.atMs : 0,
      });
    }
    return notices.sort((a, b) => a.tries - b.tries || a.atMs - b.atMs).map(({ id }) => id);
  }

  #isDue(id: string): boolean {
    const tried = this.#tried.get(id);
    return tried === undefined || (!this.#stopping && tried.dueMs <= performance.now());
  }

  #nextLookMs(): number {
    if (this.#again) return 0;
    const dueMs = Math.min(...[...this.#tried.values()].map((tried) => tried.dueMs));
    return Math.max(0, Math.min(LOOK_MS, dueMs - performance.now()));
  }

  async #deliver(id: string, limitMs?: number): Promise<void> {
    const notice = await this.#folder.read(id);
    if (notice === undefined || !(await this.#folder.isWaiting(id))) return;
    const over = this.#unrecorded.get(id);
    if (over !== undefined) return this.#over(id, over.how, over.error);
    if (notice === "damaged") return this.#giveUp(id, "a notice", "its file is damaged");
    const sent = await this.#channel.send(notice, {
      signal: this.#abort.signal,
      ...(limitMs === undefined ? {} : { limitMs }),
    });
    if (sent.outcome === "delivered") {
      await this.#over(id, "delivered");
      this.#words().passed(this.#channel.name);
      return;
    }
    // it was broken off: whoever starts next tries it
    if (this.#abort.signal.aborted) return;
    if (sent.outcome === "refused") return this.#giveUp(id, labelOf(notice), sent.error);
    const tries = (this.#tried.get(id)?.tries ?? 0) + 1;
    if (Date.now() - notice.atMs > AGE_MS_MAX)
      return this.#giveUp(id, labelOf(notice), `it was tried for a day: ${sent.error}`);
    if (this.#tried.size >= WAITING_MAX && !this.#tried.has(id))
      return this.#giveUp(id, labelOf(notice), `${WAITING_MAX} others wait already: ${sent.error}`);
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (tries - 1));
    this.#tried.set(id, { tries, dueMs: performance.now() + pauseMs });
    await this.#folder.record(id, "failed", sent.error);
    this.#words().warn(
      this.#channel.name,
      `the ${this.#channel.name} ${this.#channel.where} takes no notices, they wait and are sent again: ${sent.error}`,
    );
  }

  async #giveUp(id: string, what: string, error: string): Promise<void> {
    await this.#over(id, "given-up", error);
    const { name, where } = this.#channel;
    this.#words().warn(`${name} given up`, `the ${name} ${where} did not get ${what}: ${error}`);
  }

  /** While it can't be written down it is known here, so that a full disk does not make one notice many. */
  async #over(id: string, how: "delivered" | "given-up", error?: string): Promise<void> {
    this.#unrecorded.set(id, { how, ...(error === undefined ? {} : { error }) });
    await this.#folder.record(id, how, error);
    this.#unrecorded.delete(id);
  }

  /** Another process that has the lock delivers. */
  async #hold(): Promise<boolean> {
    if (this.#lock !== undefined) return true;
    await makeFolder(this.#path);
    this.#lock = holdLock(join(this.#path, ".lock.sqlite"));
    return this.#lock !== undefined;
  }

  #release(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

function labelOf({ kind, message }: StoredNotice): string {
  return `"${kind}: ${message}"`;
}

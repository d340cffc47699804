/** A Store in memory, for the simulation and for tests: each call takes effect at once and whole. */
import { readFile, writeFile } from "node:fs/promises";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import {
  LIST_MAX,
  type FileDigest,
  type Listed,
  type Page,
  type Store,
  type Stored,
  type Written,
} from "../protocol/ports.ts";
import { fromByteString, toByteString } from "./byte-order.ts";

export interface MemoryStore extends Store {
  /** What is stored, for a test to look at. The bodies are the store's own: do not change them. */
  readonly objects: ReadonlyMap<string, Stored>;
}

/** @param clock the store's own: `nowMs` of a LIST and each object's `modifiedMs` */
export function openMemoryStore(clock: { nowMs: () => number }): MemoryStore {
  return new InMemory(clock.nowMs);
}

class InMemory implements MemoryStore {
  readonly objects = new Map<string, Stored>();
  readonly #nowMs: () => number;
  /** the keys in LIST order, as byte strings */
  readonly #order: string[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  async create(key: string, body: Uint8Array): Promise<Written> {
    return this.#create(key, body);
  }

  async replace(key: string, body: Uint8Array, expected: string | null): Promise<Written> {
    if (expected === null) return this.#create(key, body);
    if (this.objects.get(key)?.etag !== expected) return "lost";
    this.#set(key, body);
    return "won";
  }

  async get(key: string): Promise<Stored | undefined> {
    const stored = this.objects.get(key);
    return stored && { ...stored, body: stored.body.slice() };
  }

  async head(key: string): Promise<{ size: number; etag: string; modifiedMs: number } | undefined> {
    const stored = this.objects.get(key);
    return stored && { size: stored.body.byteLength, etag: stored.etag, modifiedMs: stored.modifiedMs };
  }

  async list(prefix: string, options: { after?: string; limit?: number } = {}): Promise<Page> {
    const limit = Math.min(options.limit ?? LIST_MAX, LIST_MAX);
    const start = toByteString(prefix);
    const after = toByteString(options.after ?? "");
    const objects: Listed[] = [];
    let more = false;
    let i = lowerBound(this.#order, start > after ? start : after);
    if (this.#order[i] === after && after !== "") i++;
    for (; i < this.#order.length; i++) {
      const bytes = this.#order[i]!;
      if (!bytes.startsWith(start)) break;
      if (objects.length === limit) {
        more = true;
        break;
      }
      const key = fromByteString(bytes)!;
      const { body, modifiedMs } = this.objects.get(key)!;
      objects.push({ key, size: body.byteLength, modifiedMs });
    }
    return { objects, more, nowMs: this.#nowMs() };
  }

  async delete(key: string): Promise<void> {
    if (!this.objects.delete(key)) return;
    this.#order.splice(lowerBound(this.#order, toByteString(key)), 1);
  }

  async createFromFile(key: string, path: string): Promise<Written> {
    return this.#create(key, await readFile(path));
  }

  async readToFile(key: string, path: string): Promise<FileDigest | undefined> {
    const stored = this.objects.get(key);
    if (stored === undefined) return undefined;
    await writeFile(path, stored.body);
    return { sha256: sha256(stored.body), size: stored.body.byteLength };
  }

  async copy(from: string, to: string): Promise<Written> {
    const stored = this.objects.get(from);
    if (stored === undefined) throw new AccreteError("STATE_MISSING", `${from}: not there to be copied to ${to}`);
    return this.#create(to, stored.body);
  }

  #create(key: string, body: Uint8Array): Written {
    if (this.objects.has(key)) return "lost";
    // a key that could not be listed must not be stored either
    if (!key.isWellFormed()) throw new AccreteError("UNSAFE_KEY", `${JSON.stringify(key)}: not well-formed Unicode`);
    const bytes = toByteString(key);
    this.#order.splice(lowerBound(this.#order, bytes), 0, bytes);
    this.#set(key, body);
    return "won";
  }

  #set(key: string, body: Uint8Array): void {
    // a copy: the caller may go on writing to its buffer. And a plain array: a Buffer's toString() would decode it
    const own = Uint8Array.from(body);
    this.objects.set(key, { body: own, etag: sha256(own), modifiedMs: this.#nowMs() });
  }
}

/** Index of the first string that is not less than `wanted`. */
function lowerBound(sorted: readonly string[], wanted: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

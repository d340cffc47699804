/**
 * The notices for one channel are files of a folder, and their names say how far each has come:
 * - `<id>.json` the notice, byte for byte as it is sent: made once, whole, by a link, so that the same one told again is known;
 * - `<id>.failed` how the newest try went; `<id>.delivered` or `<id>.given-up`: it is over, and kept to be known.
 */
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { NoticeBody } from "../protocol/notices.ts";
import { linkInto, syncFolder, Temporary } from "./directory-publish.ts";
import { fileError, isMissing } from "./file-errors.ts";

/** A notice that is over is known for so long; the same one told again later is told anew. */
const KNOWN_MS = 30 * 86_400_000;
/** And no more than so many: more than a tick can tell of at once. */
const KNOWN_MAX = 5_000;
/** What was given up is shown for so long. */
const SHOWN_MS = 86_400_000;
/** A notice is surely being sent for so long: not shown as one that waits. */
const FRESH_MS = 10_000;

const NAME = /^([0-9a-f]{32})\.(json|failed|delivered|given-up)$/;
type Part = "json" | "failed" | "delivered" | "given-up";

const Tried = z.strictObject({
  format: z.literal(1),
  atMs: z.number().check(z.gte(0)),
  error: z.optional(z.string().check(z.maxLength(4_096))),
});

export interface StoredNotice {
  readonly id: string;
  readonly kind: string;
  readonly pipeline: string;
  readonly message: string;
  readonly atMs: number;
  readonly body: string;
}

/** What has not reached people. */
export interface Undelivered {
  readonly waiting: number;
  /** in the last day */
  readonly givenUp: number;
  /** how the newest try of one of these went */
  readonly error?: string;
}

export class NoticeFolder {
  readonly #folder: string;
  readonly #temporary: Temporary;

  constructor(folder: string) {
    this.#folder = folder;
    this.#temporary = new Temporary(join(folder, ".tmp"));
  }

  /** @returns false if it was known @throws {AccreteError} OUT_OF_DISK, STORE_UNREADABLE */
  async add(id: string, body: string): Promise<boolean> {
    try {
      const added = await this.#temporary.with(new TextEncoder().encode(body), (path) =>
        linkInto(path, this.#folder, [`${id}.json`]),
      );
      await syncFolder(this.#folder); // also when it was there: whoever made it may not have come so far
      return added;
    } catch (error) {
      throw fileError(error, this.#folder);
    }
  }

  /** Ids of those that are not over. */
  async waiting(): Promise<string[]> {
    return [...(await this.#parts())].flatMap(([id, parts]) => (parts.has("json") && !isOver(parts) ? [id] : []));
  }

  async isWaiting(id: string): Promise<boolean> {
    const parts = (await this.#parts()).get(id);
    return parts !== undefined && parts.has("json") && !isOver(parts);
  }

  /** @returns "damaged": what is there is no notice; undefined: it is gone */
  async read(id: string): Promise<StoredNotice | "damaged" | undefined> {
    let body: string;
    try {
      body = await readFile(this.#path(id, "json"), "utf8");
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    const parsed = NoticeBody.safeParse(fromJson(body));
    if (!parsed.success) return "damaged";
    const { kind, pipeline, message, at } = parsed.data;
    return { id, kind, pipeline, message, atMs: Date.parse(at), body };
  }

  async record(id: string, how: "failed" | "delivered" | "given-up", error?: string): Promise<void> {
    const tried = { format: 1, atMs: Date.now(), ...(error === undefined ? {} : { error: error.slice(0, 4_096) }) };
    await this.#temporary.with(new TextEncoder().encode(JSON.stringify(tried)), (path) =>
      rename(path, this.#path(id, how)),
    );
    await syncFolder(this.#folder);
    if (how !== "failed") await rm(this.#path(id, "failed"), { force: true });
  }

  /** Takes what has been over for long away, and what killed processes left of that. */
  async prune(knownMax: number = KNOWN_MAX): Promise<void> {
    const over: { id: string; part: Part; atMs: number }[] = [];
    for (const [id, parts] of await this.#parts()) {
      const part = (["delivered", "given-up", "failed"] as const).find((one) => parts.has(one));
      if (part === undefined || (part === "failed" && parts.has("json"))) continue;
      over.push({ id, part, atMs: await this.#modifiedMs(id, part) });
    }
    over.sort((a, b) => b.atMs - a.atMs);
    for (const [i, { id, part, atMs }] of over.entries()) {
      if (i < knownMax && Date.now() - atMs < KNOWN_MS) continue;
      // the notice first: without its end it would be sent again
      for (const one of ["json", "failed", part] as const) await rm(this.#path(id, one), { force: true });
    }
  }

  async undelivered(): Promise<Undelivered> {
    let [waiting, givenUp] = [0, 0];
    let newest: z.infer<typeof Tried> | undefined;
    for (const [id, parts] of await this.#parts()) {
      const part = parts.has("given-up") ? "given-up" : parts.has("failed") ? "failed" : "json";
      if (!parts.has("json") || parts.has("delivered")) continue;
      const age = Date.now() - (await this.#modifiedMs(id, part));
      if (part === "given-up" ? age > SHOWN_MS : part === "json" && age < FRESH_MS) continue;
      if (part === "given-up") givenUp++;
      else waiting++;
      const tried = part === "json" ? undefined : await this.#tried(id, part);
      if (tried !== undefined && (newest === undefined || tried.atMs > newest.atMs)) newest = tried;
    }
    return { waiting, givenUp, ...(newest?.error === undefined ? {} : { error: newest.error }) };
  }

  #path(id: string, part: Part): string {
    return join(this.#folder, `${id}.${part}`);
  }

  async #parts(): Promise<Map<string, Set<Part>>> {
    const parts = new Map<string, Set<Part>>();
    let names: string[];
    try {
      names = await readdir(this.#folder);
    } catch (error) {
      if (isMissing(error)) return parts;
      throw error;
    }
    for (const name of names) {
      const [, id, part] = NAME.exec(name) ?? [];
      if (id === undefined) continue;
      const known = parts.get(id) ?? new Set<Part>();
      parts.set(id, known.add(part as Part)); // the pattern has no other
    }
    return parts;
  }

  /** One that is gone meanwhile is as old as can be. */
  async #modifiedMs(id: string, part: Part): Promise<number> {
    return stat(this.#path(id, part)).then(
      ({ mtimeMs }) => mtimeMs,
      (error: unknown) => {
        if (isMissing(error)) return 0;
        throw error;
      },
    );
  }

  /** For people only: what can't be read is left out. */
  async #tried(id: string, part: Part): Promise<z.infer<typeof Tried> | undefined> {
    const text = await readFile(this.#path(id, part), "utf8").catch(() => "");
    return Tried.safeParse(fromJson(text)).data;
  }
}

function isOver(parts: ReadonlySet<Part>): boolean {
  return parts.has("delivered") || parts.has("given-up");
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * What the server knows, in memory and in a file of lines that only grows: after a kill the next server goes on from there. A line is a
 * record that was made, changed or (null) removed; the last one of a key counts.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { holdLock } from "../../adapters/directory-lock.ts";
import { JobRecord } from "./job-record.ts";
import { Definition, Environment, Queue } from "./schemas.ts";

const Line = z.union([
  z.tuple([z.literal("definitions"), z.string(), z.nullable(Definition)]),
  z.tuple([z.literal("queues"), z.string(), z.nullable(Queue)]),
  z.tuple([z.literal("environments"), z.string(), z.nullable(Environment)]),
  z.tuple([z.literal("jobs"), z.string(), z.nullable(JobRecord)]),
]);
type Line = z.infer<typeof Line>;

/** By ARN; jobs by id. In the order in which they were made. */
export interface Table<T> {
  get(key: string): T | undefined;
  all(): readonly T[];
  /** Makes or replaces. */
  set(key: string, value: T): void;
  delete(key: string): void;
}

export interface Tables {
  readonly definitions: Table<Definition>;
  readonly queues: Table<Queue>;
  readonly environments: Table<Environment>;
  readonly jobs: Table<JobRecord>;
  /** Lets another server have the folder. */
  close(): void;
}

/** @throws {Error} if another server has the folder, or a line can't be read */
export function openTables(folder: string): Tables {
  mkdirSync(folder, { recursive: true });
  const lock = holdLock(join(folder, "lock"));
  if (lock === undefined) throw new Error(`${folder}: another server has it`);
  const path = join(folder, "journal.jsonl");
  let isOpen = true;
  // a server that was closed has nothing more to say: the folder is another's
  const write = (line: Line): void => {
    if (isOpen) appendFileSync(path, `${JSON.stringify(line)}\n`);
  };
  const tables = {
    definitions: new MapTable<Definition>((key, value) => write(["definitions", key, value])),
    queues: new MapTable<Queue>((key, value) => write(["queues", key, value])),
    environments: new MapTable<Environment>((key, value) => write(["environments", key, value])),
    jobs: new MapTable<JobRecord>((key, value) => write(["jobs", key, value])),
  };
  try {
    for (const [table, key, value] of linesOf(path)) {
      if (table === "definitions") tables.definitions.load(key, value);
      else if (table === "queues") tables.queues.load(key, value);
      else if (table === "environments") tables.environments.load(key, value);
      else tables.jobs.load(key, value);
    }
    const kept: Line[] = [
      ...tables.definitions.entries().map(([key, value]): Line => ["definitions", key, value]),
      ...tables.queues.entries().map(([key, value]): Line => ["queues", key, value]),
      ...tables.environments.entries().map(([key, value]): Line => ["environments", key, value]),
      ...tables.jobs.entries().map(([key, value]): Line => ["jobs", key, value]),
    ];
    writeFileSync(`${path}.new`, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
    renameSync(`${path}.new`, path);
  } catch (error) {
    lock.release();
    throw error;
  }
  return {
    ...tables,
    close() {
      isOpen = false;
      lock.release();
    },
  };
}

class MapTable<T> implements Table<T> {
  readonly #rows = new Map<string, T>();
  readonly #written: (key: string, value: T | null) => void;

  constructor(written: (key: string, value: T | null) => void) {
    this.#written = written;
  }
  get(key: string): T | undefined {
    return this.#rows.get(key);
  }
  all(): readonly T[] {
    return [...this.#rows.values()];
  }
  entries(): readonly [string, T][] {
    return [...this.#rows];
  }
  set(key: string, value: T): void {
    this.load(key, value);
    this.#written(key, value);
  }
  delete(key: string): void {
    this.load(key, null);
    this.#written(key, null);
  }
  load(key: string, value: T | null): void {
    if (value === null) this.#rows.delete(key);
    else this.#rows.set(key, value);
  }
}

/** The last line may be half: whoever wrote it was killed, and had told nobody of it. */
function linesOf(path: string): Line[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Line.parse(JSON.parse(line)));
}

/** A lock between processes that dies with its holder: SQLite's, which is the operating system's lock on a file. */
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { AccreteError, messageOf } from "../protocol/errors.ts";

const SQLITE_BUSY = 5;
/** Between two tries: a holder needs a few milliseconds. Drawn, so that two that wait do not stay in step. */
const RETRY_MS = 10;

/**
 * Does the work while no other process or thread holds the lock. The work is synchronous, so nothing else of this
 * process runs in between; the waiting is not, so timers and requests go on.
 * @param path of a file that is the lock's alone: nobody else may ever open it, as closing it would free the lock
 * @returns "busy" if the lock was not free for `waitMs`; the work was not begun then
 * @throws {AccreteError} STORE_UNREADABLE if the file can't be written or locked
 */
export async function withLock<T>(path: string, waitMs: number, work: () => T): Promise<T | "busy"> {
  const untilMs = performance.now() + waitMs;
  const database = openDatabase(path);
  try {
    while (!begin(database, path)) {
      if (performance.now() >= untilMs) return "busy";
      await sleep(1 + Math.random() * RETRY_MS);
    }
    try {
      return work();
    } finally {
      database.exec("ROLLBACK");
    }
  } finally {
    database.close();
  }
}

/**
 * Takes the lock for as long as this process lives, or until it is released.
 * @returns undefined if somebody else has it
 * @throws {AccreteError} STORE_UNREADABLE if the file can't be written or locked
 */
export function holdLock(path: string): { release(): void } | undefined {
  const database = openDatabase(path);
  let held = false;
  try {
    held = begin(database, path);
    return held ? { release: () => database.close() } : undefined;
  } finally {
    if (!held) database.close();
  }
}

function openDatabase(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw new AccreteError("STORE_UNREADABLE", `${path}: can't be locked: ${messageOf(cause)}`, { cause });
  }
}

function begin(database: DatabaseSync, path: string): boolean {
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    // SQLite opens a file that may not be written as read-only, and then EXCLUSIVE excludes nobody: a write that is
    // rolled back proves that it does
    database.exec("PRAGMA user_version = 1");
    return true;
  } catch (cause) {
    if (isBusy(cause)) return false;
    throw new AccreteError("STORE_UNREADABLE", `${path}: can't be locked: ${messageOf(cause)}`, { cause });
  }
}

function isBusy(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    "errcode" in thrown &&
    typeof thrown.errcode === "number" &&
    (thrown.errcode & 0xff) === SQLITE_BUSY
  );
}

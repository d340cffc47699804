/** Wakes `up` when a job has ended, at next to no cost while none does; and takes the folders of old jobs away. */
import { watch, type FSWatcher } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Jobs } from "../protocol/ports.ts";
import { ENDED, isErrno, isJobId } from "./job-folder.ts";
import { jobIds } from "./process-jobs.ts";

/** Folders of jobs that are kept, with their logs. */
export const JOBS_KEPT = 200;
/** A folder without a job in it for so long was left by a process that was killed. */
const UNFINISHED_MS_MAX = 3_600_000;
const PREFIX_PRUNED = ".pruned-";

export interface JobsWatch {
  close(): void;
}

/**
 * Calls `onEnded` with the ids of the jobs that ended since, soon after they do. It is a hint, no promise: jobs that had
 * ended before are not told, so take a look at them after this has settled.
 * A job whose supervisor was killed is told by the slow look, every `lookMs`.
 */
export async function watchJobs(options: {
  folder: string;
  jobs: Jobs;
  onEnded: (ids: readonly string[]) => void;
  onError: (error: unknown) => void;
  /** @default 5,000 */
  lookMs?: number;
}): Promise<JobsWatch> {
  const { folder, jobs } = options;
  await mkdir(folder, { recursive: true });
  const ended = new Set<string>();
  let closed = false;
  // until the first look is over: a job that ended before may still be writing its mark, and must not be told
  let looking = true;
  let again = false;

  /** Describes only those that are not known to have ended; describing also ends what nobody else will end. */
  async function newlyEnded(): Promise<string[]> {
    const open = (await jobIds(folder)).filter((id) => !ended.has(id));
    const stopped = (await jobs.describe(open)).filter((job) => job.stoppedMs !== undefined).map((job) => job.id);
    for (const id of stopped) ended.add(id);
    return stopped;
  }
  async function look(): Promise<void> {
    again = true;
    if (looking) return;
    looking = true;
    try {
      while (again && !closed) {
        again = false;
        const stopped = await newlyEnded();
        if (stopped.length > 0 && !closed) options.onEnded(stopped);
      }
    } catch (error) {
      options.onError(error);
    } finally {
      looking = false;
    }
  }

  const watcher = watchEnded(folder, { onChange: () => void look(), onError: options.onError });
  const timer = setInterval(() => void look(), options.lookMs ?? 5_000);
  const close = (): void => {
    closed = true;
    watcher?.close();
    clearInterval(timer);
  };
  try {
    await newlyEnded();
  } catch (error) {
    close();
    throw error;
  }
  looking = false;
  if (again) void look();
  return { close };
}

/** Undefined where the system can't watch: the slow look is all there is then, and that is said. */
function watchEnded(
  folder: string,
  on: { onChange: () => void; onError: (error: unknown) => void },
): FSWatcher | undefined {
  const failed = (cause: unknown): void =>
    on.onError(new AccreteError("WATCH_FAILED", `${folder}: ${messageOf(cause)}`, { cause }));
  try {
    const watcher = watch(folder, (_event, name) => {
      if (name === ENDED || name === null) on.onChange();
    });
    return watcher.on("error", failed);
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/**
 * Deletes the folders of jobs that have ended, but for the newest ones. A job that has not ended is never touched.
 * @returns how many were deleted
 */
export async function pruneJobs(folder: string, keepNewest: number = JOBS_KEPT): Promise<number> {
  const old = (await jobIds(folder)).slice(0, keepNewest === 0 ? undefined : -keepNewest);
  let pruned = 0;
  for (const id of old) {
    try {
      if (!(await isOver(join(folder, id)))) continue;
      // out of sight at once: half deleted, a job that succeeded would look like one that failed
      await rename(join(folder, id), join(folder, `${PREFIX_PRUNED}${id}`));
      pruned++;
    } catch (error) {
      // another process prunes as well
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  const names = await readdir(folder).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  });
  const deletable = names.filter((name) => name.startsWith(PREFIX_PRUNED) && isJobId(name.slice(PREFIX_PRUNED.length)));
  for (const name of deletable) await rm(join(folder, name), { recursive: true, force: true });
  return pruned;
}

async function isOver(job: string): Promise<boolean> {
  if (await exists(join(job, "exit.json"))) return true;
  if (await exists(join(job, "job.json"))) return false;
  return Date.now() - (await stat(job)).mtimeMs > UNFINISHED_MS_MAX;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    },
  );
}

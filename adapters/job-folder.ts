/**
 * A job of this machine is a folder `<jobs>/<id>/`. Each file is made once and never changed, so that any process can
 * read at any moment what became of the job:
 * - `job.json` what to run, whole before anything starts;
 * - `claim.json` the supervisor, or who called the job off before one came: the first counts, only the supervisor runs it;
 * - `trainer.json` the trainer's process, before the trainer may go;
 * - `terminate.json` somebody asked the job to end; `exit.json` how it ended: the first counts; `log.txt` the output.
 */
import { randomBytes } from "node:crypto";
import { link, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { fileError } from "./file-errors.ts";
import { ProcessIdentity } from "./process-alive.ts";

const Ms = z.number().check(z.gte(0));
const Text = z.string().check(z.maxLength(4_096));

const DOCUMENTS = {
  "job.json": z.strictObject({
    format: z.literal(1),
    name: z.string().check(z.minLength(1), z.maxLength(256)),
    command: z.array(z.string()).check(z.minLength(1)),
    /** added to the environment of whoever submitted it */
    env: z.record(z.string(), z.string()),
    timeLimitMs: Ms,
    /** between SIGTERM and SIGKILL */
    graceMs: Ms,
    createdMs: Ms,
  }),
  "claim.json": z.discriminatedUnion("by", [
    z.strictObject({ format: z.literal(1), by: z.literal("supervisor"), process: ProcessIdentity }),
    z.strictObject({ format: z.literal(1), by: z.literal("nobody"), reason: Text }),
  ]),
  "trainer.json": z.strictObject({ format: z.literal(1), process: ProcessIdentity, startedMs: Ms }),
  "terminate.json": z.strictObject({ format: z.literal(1), reason: Text, atMs: Ms }),
  "exit.json": z.strictObject({
    format: z.literal(1),
    /** of a signal 128 + its number, as a shell says it; left out: nobody saw it */
    exitCode: z.optional(z.int().check(z.gte(0), z.lte(255))),
    reason: Text,
    stoppedMs: Ms,
  }),
} as const;
type Documents = { [Name in keyof typeof DOCUMENTS]: z.infer<(typeof DOCUMENTS)[Name]> };

/** A file beside the jobs that is touched whenever one has ended: one thing to watch, whatever the number of jobs. */
export const ENDED = "ended";
export const LOG = "log.txt";

export const jobId = (createdMs: number): string =>
  `${String(createdMs).padStart(13, "0")}-${randomBytes(6).toString("hex")}`;
export const isJobId = (id: string): boolean => /^\d{13}-[0-9a-f]{12}$/.test(id);

export const isErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;

/**
 * @returns undefined if it is not there
 * @throws {AccreteError} STORED_NOT_READABLE
 */
export async function readJobFile<Name extends keyof Documents>(
  job: string,
  name: Name,
): Promise<Documents[Name] | undefined> {
  const path = join(job, name);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    return z.parse(DOCUMENTS[name], JSON.parse(text)) as Documents[Name];
  } catch (cause) {
    throw new AccreteError("STORED_NOT_READABLE", `${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Creates a file whole, at once. @returns false if it was there before: then nothing has changed */
export async function createJobFile<Name extends keyof Documents>(
  job: string,
  name: Name,
  document: Documents[Name],
): Promise<boolean> {
  const path = join(job, name);
  const part = `${path}.${randomBytes(6).toString("hex")}.part`;
  try {
    await writeFile(part, JSON.stringify(document), { flush: true });
    await link(part, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw fileError(error, path);
  } finally {
    await rm(part, { force: true });
  }
}

/** The same for a file that only one process ever writes, on any file system. */
export async function writeJobFile<Name extends keyof Documents>(
  job: string,
  name: Name,
  document: Documents[Name],
): Promise<void> {
  const path = join(job, name);
  try {
    await writeFile(`${path}.part`, JSON.stringify(document), { flush: true });
    await rename(`${path}.part`, path);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Says how a job ended, unless that is known already, and wakes who watches the folder of the jobs. */
export async function recordExit(job: string, exit: { exitCode?: number | undefined; reason: string }): Promise<void> {
  const { exitCode } = exit;
  const reason = exit.reason.slice(0, 4_096);
  await createJobFile(job, "exit.json", {
    format: 1,
    ...(exitCode === undefined ? {} : { exitCode }),
    reason,
    stoppedMs: Date.now(),
  });
  const ended = join(job, "..", ENDED);
  const now = new Date();
  try {
    await utimes(ended, now, now);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    await writeFile(ended, "");
  }
}

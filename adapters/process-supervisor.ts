/**
 * A program of its own: `node process-supervisor.ts <job folder>`. Starts one trainer, keeps its time limit, passes
 * SIGTERM on and records how it ended. It outlives the `up` that started it; if it is killed itself, the trainer goes on.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { EXIT, messageOf } from "../protocol/errors.ts";
import { createJobFile, LOG, readJobFile, recordExit, writeJobFile } from "./job-folder.ts";
import { setLongTimeout } from "./long-timeout.ts";
import { identityOf, kill } from "./process-alive.ts";

/**
 * Waits for a word before it becomes the trainer, pid and all. So no trainer ever runs whose pid isn't recorded: if the
 * supervisor dies before, the pipe ends and the shell goes.
 */
const WAIT_FOR_GO = ["-c", 'read -r go && [ "$go" = go ] && exec "$@" </dev/null', "trainer"];

/** Of the log's end: an error that is longer says nothing more. */
const LOG_BYTES_READ = 16_384;
const ERROR_LINE = /^(?:[A-Z][A-Z0-9_]+|[A-Za-z]*Error)(?: \[\w+\])?: \S.*$/gm;
/** What the trainer's watchdog says before it ends it (trainer/watchdog-worker.ts). */
const HUNG_LINE = /^hung: \S.*$/gm;

await superviseJob(process.argv[2] ?? "");

async function superviseJob(folder: string): Promise<void> {
  const job = await readJobFile(folder, "job.json");
  if (job === undefined) throw new Error(`${folder}: no job`);

  let trainer: ChildProcess | undefined;
  let why: string | undefined;
  const end = (reason: string): void => {
    if (why !== undefined) return;
    why = reason;
    if (trainer?.pid === undefined) return;
    const { pid } = trainer;
    kill(pid, "SIGTERM");
    setLongTimeout(() => kill(-pid, "SIGKILL"), job.graceMs);
  };
  // before the claim: whoever reads this process in it may signal it
  process.on("SIGTERM", () => end("terminated"));
  process.on("SIGHUP", () => {});
  process.on("SIGINT", () => {});

  const self = await identityOf(process.pid);
  if (self === undefined) throw new Error("this process is not listed");
  // lost: the job has been called off
  if (!(await createJobFile(folder, "claim.json", { format: 1, by: "supervisor", process: self }))) return;

  // in the job's folder, so that what a killed trainer leaves is not left for ever
  const scratch = join(folder, "scratch");
  mkdirSync(scratch, { recursive: true });
  const log = openSync(join(folder, LOG), "a");
  trainer = spawn("/bin/sh", [...WAIT_FOR_GO, ...job.command], {
    // a group of its own, so that at its end what it has started ends with it
    detached: true,
    stdio: ["pipe", log, log],
    env: { ...process.env, ACCRETE_SCRATCH: scratch, ...job.env },
  });
  const exited = once(trainer, "exit");
  const { pid, stdin } = trainer;
  if (pid === undefined) {
    const error = await exited.then(
      () => "no process",
      (thrown: unknown) => messageOf(thrown),
    );
    return recordExit(folder, { reason: `could not start: ${error}` });
  }
  // its end is seen by `exited`; a word that it can't take any more is no error
  stdin?.on("error", () => {});

  const identity = await identityOf(pid);
  if (identity !== undefined)
    await writeJobFile(folder, "trainer.json", { format: 1, process: identity, startedMs: Date.now() });
  // after trainer.json: whoever asks for the end writes first and looks for the trainer then, so one of both sees it
  const called = await readJobFile(folder, "terminate.json");
  if (called !== undefined) end(called.reason);
  if (why === undefined) stdin?.end("go\n");
  // a SIGTERM that came before there was anybody to pass it on to
  else kill(pid, "SIGTERM");
  const limit = setLongTimeout(() => end(`time limit of ${job.timeLimitMs / 1_000} s`), job.timeLimitMs);

  await exited;
  limit.cancel();
  kill(-pid, "SIGKILL");
  rmSync(scratch, { recursive: true, force: true });
  const reason = (await readJobFile(folder, "terminate.json"))?.reason ?? why;
  await recordExit(folder, endOf(trainer, reason, join(folder, LOG)));
  // a timer of the grace period may be left
  process.exit(0);
}

function endOf(trainer: ChildProcess, why: string | undefined, log: string): { exitCode: number; reason: string } {
  const { exitCode, signalCode } = trainer;
  // of an error that was not expected, or of a hang, which leave no failure record, the log alone knows more
  const said = lastLine(log, exitCode === EXIT.bug ? ERROR_LINE : HUNG_LINE);
  const how = `${signalCode === null ? `exit code ${exitCode}` : `killed by ${signalCode}`}${said === undefined ? "" : `: ${said}`}`;
  return {
    exitCode: signalCode === null ? (exitCode ?? EXIT.bug) : 128 + constants.signals[signalCode],
    reason: why === undefined ? how : `${why}: ${how}`,
  };
}

/** The last line of that kind in the end of a log; undefined if there is none, or the log can't be read. */
function lastLine(path: string, kind: RegExp): string | undefined {
  try {
    const fd = openSync(path, "r");
    try {
      const from = Math.max(0, fstatSync(fd).size - LOG_BYTES_READ);
      const buffer = Buffer.alloc(LOG_BYTES_READ);
      const text = buffer.toString("utf8", 0, readSync(fd, buffer, 0, LOG_BYTES_READ, from));
      return text.match(kind)?.at(-1)?.trim().slice(0, 1_000);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

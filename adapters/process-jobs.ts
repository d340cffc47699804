/** The Jobs of one machine: each a trainer process under a supervisor of its own, see job-folder.ts for what is kept. */
import { spawn } from "node:child_process";
import { mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../protocol/errors.ts";
import type { Job, JobRequest, Jobs } from "../protocol/ports.ts";
import { fileError } from "./file-errors.ts";
import { createJobFile, isErrno, isJobId, jobId, LOG, readJobFile, recordExit, writeJobFile } from "./job-folder.ts";
import { isAlive, killGroup, signalProcess } from "./process-alive.ts";

/** A supervisor is there within a second; one that is later finds the job called off and does nothing. */
const START_LIMIT_MS = 10_000;
/** Past the grace period the supervisor has had its chance to send SIGKILL. */
const GRACE_MARGIN_MS = 5_000;
/** Batch gives as much by default. */
const GRACE_MS = 30_000;

const SUPERVISOR = fileURLToPath(
  new URL(`./process-supervisor.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url),
);

export interface ProcessJobsOptions {
  /** where the jobs are kept; created if it is not there */
  readonly folder: string;
  /** program and arguments of the trainer, absolute paths */
  readonly command: readonly string[];
  /** added to this process's environment: ACCRETE_STATE, ACCRETE_DATA */
  readonly env: Readonly<Record<string, string>>;
  /** between SIGTERM and SIGKILL @default 30,000 */
  readonly graceMs?: number;
  /** a job that no supervisor has taken after this is called off @default 10,000 */
  readonly startLimitMs?: number;
}

/**
 * Jobs that outlive this process: the next one finds them again in the folder.
 * A job whose supervisor was killed is alive as long as its trainer is; then it has failed, with no exit code.
 */
export function openProcessJobs(options: ProcessJobsOptions): Jobs {
  const { folder, graceMs = GRACE_MS, startLimitMs = START_LIMIT_MS } = options;

  async function submit(request: JobRequest): Promise<{ outcome: "submitted"; id: string }> {
    const createdMs = Date.now();
    const id = jobId(createdMs);
    const job = join(folder, id);
    try {
      await mkdir(job, { recursive: true });
      await writeJobFile(job, "job.json", {
        format: 1,
        name: request.name,
        command: [...options.command],
        // AWS_BATCH_JOB_ATTEMPT: Batch's own retries, which there are none of here
        env: {
          ...options.env,
          ACCRETE_PLAN: request.planKey,
          ACCRETE_ATTEMPT: String(request.attempt),
          AWS_BATCH_JOB_ATTEMPT: "1",
        },
        timeLimitMs: request.timeLimitMs,
        graceMs,
        createdMs,
      });
    } catch (cause) {
      throw fileError(cause, job);
    }
    try {
      await startSupervisor(job);
    } catch (error) {
      await callOff(job, `could not start: ${messageOf(error)}`);
    }
    return { outcome: "submitted", id };
  }

  const describe = async (ids: readonly string[]): Promise<readonly Job[]> => {
    const jobs = await Promise.all(ids.map((id) => describeJob(folder, id, startLimitMs)));
    return jobs.filter((job) => job !== undefined);
  };

  async function findByName(name: string): Promise<readonly Job[]> {
    const ids = await jobIds(folder);
    const named = await Promise.all(
      ids.map(async (id) => ((await readJobFile(join(folder, id), "job.json"))?.name === name ? [id] : [])),
    );
    return describe(named.flat());
  }

  return {
    submit,
    describe,
    findByName,
    terminate: (id, reason) => terminateJob(folder, id, reason),
    lookupLagMs: 2_000,
  };
}

/** Ids of the jobs in a folder, oldest first. */
export async function jobIds(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter(isJobId).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** @throws what spawn throws; the supervisor then never started */
async function startSupervisor(job: string): Promise<void> {
  const log = await open(join(job, LOG), "a");
  try {
    // a session of its own: neither the end of this process nor Ctrl-C in its terminal ends it
    const supervisor = spawn(process.execPath, [SUPERVISOR, job], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    await new Promise<void>((resolve, reject) => supervisor.once("spawn", resolve).once("error", reject));
    supervisor.unref();
  } finally {
    await log.close();
  }
}

/** Ends a job that no supervisor has taken; false if one has. */
async function callOff(job: string, reason: string): Promise<boolean> {
  await createJobFile(job, "claim.json", { format: 1, by: "nobody", reason: reason.slice(0, 4_096) });
  const claim = await readJobFile(job, "claim.json");
  if (claim?.by !== "nobody") return false;
  await recordExit(job, { reason: claim.reason });
  return true;
}

/**
 * Reads what became of a job, and ends what nobody else will end: one that was never taken, and one that runs on after
 * its time although its supervisor is gone or stuck.
 */
async function describeJob(folder: string, id: string, startLimitMs: number): Promise<Job | undefined> {
  if (!isJobId(id)) return undefined;
  const path = join(folder, id);
  const job = await readJobFile(path, "job.json");
  if (job === undefined) return undefined;
  const common = { id, name: job.name, createdMs: job.createdMs, log: join(path, LOG) };

  const stopped = async (): Promise<Job | undefined> => {
    const exit = await readJobFile(path, "exit.json");
    if (exit === undefined) return undefined;
    const { exitCode, reason, stoppedMs } = exit;
    const startedMs = (await readJobFile(path, "trainer.json"))?.startedMs;
    return {
      ...common,
      state: exitCode === 0 ? "succeeded" : "failed",
      ...(startedMs === undefined ? {} : { startedMs }),
      stoppedMs,
      ...(exitCode === undefined ? {} : { exitCode }),
      reason,
    };
  };

  const known = await stopped();
  if (known !== undefined) return known;

  const claim = await readJobFile(path, "claim.json");
  if (claim === undefined) {
    if (Date.now() - job.createdMs < startLimitMs) return { ...common, state: "waiting" };
    const calledOff = await callOff(path, "its supervisor never started");
    return calledOff ? stopped() : { ...common, state: "running" };
  }
  if (claim.by === "nobody") {
    await recordExit(path, { reason: claim.reason });
    return stopped();
  }

  // in this order: a supervisor that is gone has written all it will ever write, so what is read after that is final
  const supervised = await isAlive(claim.process);
  const trainer = await readJobFile(path, "trainer.json");
  if (trainer !== undefined && (await isAlive(trainer.process))) {
    const { startedMs } = trainer;
    const called = await readJobFile(path, "terminate.json");
    if (called !== undefined && Date.now() - called.atMs > job.graceMs + (supervised ? GRACE_MARGIN_MS : 0))
      await killGroup(trainer.process);
    else if (called === undefined && !supervised && Date.now() - startedMs > job.timeLimitMs)
      await terminateJob(folder, id, `time limit of ${job.timeLimitMs / 1_000} s`);
    return { ...common, state: "running", startedMs };
  }
  if (supervised)
    return { ...common, state: "running", ...(trainer === undefined ? {} : { startedMs: trainer.startedMs }) };
  const recorded = await stopped();
  if (recorded !== undefined) return recorded;
  const why = (await readJobFile(path, "terminate.json"))?.reason;
  const how =
    trainer === undefined
      ? "its supervisor was killed before the trainer started"
      : "its supervisor was killed, so its exit code is not known";
  await recordExit(path, { reason: why === undefined ? how : `${why}: ${how}` });
  return stopped();
}

async function terminateJob(folder: string, id: string, reason: string): Promise<void> {
  if (!isJobId(id)) return;
  const path = join(folder, id);
  const job = await readJobFile(path, "job.json");
  if (job === undefined || (await readJobFile(path, "exit.json")) !== undefined) return;
  // before the look for the trainer, see the supervisor
  await createJobFile(path, "terminate.json", { format: 1, reason: reason.slice(0, 4_000), atMs: Date.now() });
  if (await callOff(path, reason)) return;
  const claim = await readJobFile(path, "claim.json");
  if (claim?.by !== "supervisor") return;
  // it passes the signal on and sends SIGKILL later
  if (await signalProcess(claim.process, "SIGTERM")) return;
  const trainer = await readJobFile(path, "trainer.json");
  // SIGKILL after the grace period is left to whoever describes the job then: this process may have ended
  if (trainer !== undefined) await signalProcess(trainer.process, "SIGTERM");
}

import { spawn } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Jobs } from "../protocol/ports.ts";
import {
  jobOnce,
  jobsKeepTheirPromises,
  planKeyOf,
  requestOf,
  running,
  stopped,
  type Behaviour,
} from "../test/contract/jobs.ts";
import { ENDED, jobId, readJobFile, writeJobFile } from "./job-folder.ts";
import { identityOf, isAlive, kill } from "./process-alive.ts";
import { pruneJobs, watchJobs } from "./process-jobs-watch.ts";
import { jobIds, openProcessJobs, type ProcessJobsOptions } from "./process-jobs.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const BEHAVING = [process.execPath, here("../test/contract/behaving-job.ts")];
const SUPERVISOR = here("process-supervisor.ts");
const STATE = { ACCRETE_STATE: "file:/state" };

const open = (folder: string, changes: Partial<ProcessJobsOptions> = {}): Jobs =>
  openProcessJobs({ folder, command: BEHAVING, env: STATE, graceMs: 300, ...changes });

async function endAll(folder: string): Promise<void> {
  const jobs = open(folder);
  for (const id of await jobIds(folder)) {
    const trainer = await readJobFile(join(folder, id), "trainer.json");
    await jobs.terminate(id, "end of the test");
    if (trainer !== undefined && (await isAlive(trainer.process))) kill(-trainer.process.pid, "SIGKILL");
    await jobOnce(jobs, id, stopped);
  }
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
const newFolder = (): Promise<string> => mkdtemp(join(tmpdir(), "accrete-jobs-"));

jobsKeepTheirPromises("processes", async () => {
  const folder = await newFolder();
  return { jobs: open(folder), reopen: async () => open(folder), close: () => endAll(folder) };
});

let folder: string;
beforeEach(async () => void (folder = await newFolder()));
afterEach(() => endAll(folder));

const FOREVER: Behaviour = { exitCode: 0, afterMs: 600_000 };
const file = (id: string, name: string): string => join(folder, id, name);
const logOf = (id: string): Promise<string> => readFile(file(id, "log.txt"), "utf8");

async function submit(jobs: Jobs, behaviour: Behaviour, timeLimitMs = 600_000): Promise<string> {
  const submission = await jobs.submit(requestOf(behaviour, { timeLimitMs }));
  if (submission.outcome !== "submitted") throw new Error(submission.outcome);
  return submission.id;
}
/** A job that runs and has said so, with the pids of its two processes. */
async function started(
  jobs: Jobs,
  behaviour: Behaviour,
  timeLimitMs?: number,
): Promise<{ id: string; supervisor: number; trainer: number }> {
  const id = await submit(jobs, behaviour, timeLimitMs);
  await jobOnce(jobs, id, running);
  await vi.waitFor(async () => expect(await logOf(id)).toContain("behaving"), { timeout: 30_000 });
  const claim = await readJobFile(join(folder, id), "claim.json");
  const trainer = await readJobFile(join(folder, id), "trainer.json");
  if (claim?.by !== "supervisor" || trainer === undefined) throw new Error("not started");
  return { id, supervisor: claim.process.pid, trainer: trainer.process.pid };
}
/** What is left of a job that was submitted by a process that was killed before it started the supervisor. */
async function neverStarted(createdMs = Date.now()): Promise<string> {
  const id = jobId(createdMs);
  await mkdir(join(folder, id));
  const env = { ACCRETE_PLAN: planKeyOf(FOREVER) };
  await writeJobFile(join(folder, id), "job.json", {
    format: 1,
    name: "digits",
    command: [...BEHAVING],
    env,
    timeLimitMs: 60_000,
    graceMs: 300,
    createdMs,
  });
  return id;
}
async function supervise(id: string): Promise<number | null> {
  const supervisor = spawn(process.execPath, [SUPERVISOR, join(folder, id)], { stdio: "ignore" });
  return new Promise((resolve) => supervisor.once("exit", resolve));
}
const gone = (pid: number): Promise<void> =>
  vi.waitFor(async () => expect(await identityOf(pid)).toBeUndefined(), { timeout: 30_000 });

it("gives the job its plan, attempt and environment, and keeps its output", async () => {
  const jobs = open(folder);
  const planKey = planKeyOf({ exitCode: 0, afterMs: 0 });
  const submission = await jobs.submit({
    ...requestOf({ exitCode: 0, afterMs: 0 }),
    name: "digits-1-2-x",
    planKey,
    attempt: 2,
  });
  if (submission.outcome !== "submitted") throw new Error(submission.outcome);
  const job = await jobOnce(jobs, submission.id, stopped);
  expect(job.log).toBe(file(submission.id, "log.txt"));
  expect(await logOf(submission.id)).toContain(
    `ACCRETE_PLAN=${planKey} ACCRETE_ATTEMPT=2 AWS_BATCH_JOB_ATTEMPT=1 ACCRETE_STATE=file:/state`,
  );
});

it("leaves nothing of the scratch folder behind when the trainer is killed", async () => {
  const command = ["/bin/sh", "-c", 'echo half > "$ACCRETE_SCRATCH/half" && echo wrote && kill -9 $$'];
  const jobs = open(folder, { command });
  const submission = await jobs.submit({
    ...requestOf({ exitCode: 0, afterMs: 0 }),
    name: "digits-1-1-y",
    planKey: "none",
    attempt: 1,
  });
  if (submission.outcome !== "submitted") throw new Error(submission.outcome);
  const job = await jobOnce(jobs, submission.id, stopped);
  expect(job.exitCode).toBe(137);
  expect(await logOf(submission.id)).toContain("wrote");
  expect(existsSync(file(submission.id, "scratch"))).toBe(false);
});

it("goes on when the process that submitted it is killed with all of its group, and its end is seen afterwards", async () => {
  const submitter = `
    import { openProcessJobs } from ${JSON.stringify(here("process-jobs.ts"))};
    const jobs = openProcessJobs(${JSON.stringify({ folder, command: BEHAVING, env: STATE })});
    await jobs.submit(${JSON.stringify(requestOf({ exitCode: 3, afterMs: 500 }, { name: "digits-orphan" }))});
    process.kill(-process.pid, "SIGKILL");`;
  const up = spawn(process.execPath, ["--input-type=module-typescript", "-e", submitter], {
    stdio: "ignore",
    detached: true,
  });
  expect(await new Promise((resolve) => up.once("exit", (_code, signal) => resolve(signal)))).toBe("SIGKILL");
  const [job] = await open(folder).findByName("digits-orphan");
  expect(job?.id).toBeDefined();
  expect(await jobOnce(open(folder), job?.id ?? "", stopped)).toMatchObject({
    state: "failed",
    exitCode: 3,
    reason: "exit code 3",
  });
});

it("says by which signal a trainer was killed", async () => {
  const jobs = open(folder);
  const { id, trainer } = await started(jobs, FOREVER);
  kill(trainer, "SIGKILL");
  expect(await jobOnce(jobs, id, stopped)).toMatchObject({
    state: "failed",
    exitCode: 137,
    reason: "killed by SIGKILL",
  });
});

it("says what the watchdog has said of a trainer that hung, though it is killed for it", async () => {
  const jobs = open(folder);
  const { id, trainer } = await started(jobs, FOREVER);
  appendFileSync(join(folder, id, "log.txt"), "hung: step 7 has gone on for 612 s\n    at call (model.mjs:8:1)\n");
  kill(trainer, "SIGKILL");
  expect(await jobOnce(jobs, id, stopped)).toMatchObject({
    exitCode: 137,
    reason: "killed by SIGKILL: hung: step 7 has gone on for 612 s",
  });
});

it("counts a job as alive while its trainer runs, its supervisor killed; then as failed, exit code unknown", async () => {
  const jobs = open(folder);
  const { id, supervisor, trainer } = await started(jobs, FOREVER);
  kill(supervisor, "SIGKILL");
  await gone(supervisor);
  expect((await jobs.describe([id]))[0]?.state).toBe("running");
  kill(trainer, "SIGKILL");
  const job = await jobOnce(jobs, id, stopped);
  expect(job.state).toBe("failed");
  expect(job.exitCode).toBeUndefined();
  expect(job.reason).toBe("its supervisor was killed, so its exit code is not known");
});

it.each([75, "ignored"] as const)(
  "terminates a job whose supervisor was killed (on SIGTERM: %s)",
  async (onSigterm) => {
    const jobs = open(folder);
    const { id, supervisor, trainer } = await started(jobs, { ...FOREVER, onSigterm });
    kill(supervisor, "SIGKILL");
    await gone(supervisor);
    await open(folder).terminate(id, "closed");
    const job = await jobOnce(jobs, id, stopped);
    expect(job.reason).toContain("closed: its supervisor was killed");
    expect(await identityOf(trainer)).toBeUndefined();
  },
);

it("keeps the time limit of a job whose supervisor was killed", async () => {
  const jobs = open(folder);
  const { id, supervisor, trainer } = await started(jobs, FOREVER, 60_000);
  kill(supervisor, "SIGKILL");
  await gone(supervisor);
  const record = await readJobFile(join(folder, id), "trainer.json");
  if (record === undefined) throw new Error("not started");
  await writeJobFile(join(folder, id), "trainer.json", { ...record, startedMs: record.startedMs - 60_001 });
  expect((await jobOnce(jobs, id, stopped)).reason).toContain("time limit of 60 s");
  expect(await identityOf(trainer)).toBeUndefined();
});

it("takes a process that was given the trainer's pid later for another one", async () => {
  const jobs = open(folder);
  const { id, supervisor, trainer } = await started(jobs, FOREVER);
  kill(supervisor, "SIGKILL");
  await gone(supervisor);
  const stranger = await identityOf(process.pid);
  if (stranger === undefined) throw new Error("this process is not listed");
  await writeJobFile(join(folder, id), "trainer.json", {
    format: 1,
    process: { ...stranger, start: `${stranger.start}0` },
    startedMs: 1,
  });
  await jobs.terminate(id, "must not reach this very process");
  expect((await jobs.describe([id]))[0]?.state).toBe("failed");
  kill(-trainer, "SIGKILL");
});

it("calls a job off that was never started, and a supervisor that is late never runs it", async () => {
  const jobs = open(folder, { startLimitMs: 200 });
  const id = await neverStarted();
  expect((await jobs.describe([id]))[0]?.state).toBe("waiting");
  expect(await jobOnce(jobs, id, stopped)).toMatchObject({ state: "failed", reason: "its supervisor never started" });
  expect(await supervise(id)).toBe(0);
  expect(await readdir(join(folder, id))).not.toContain("log.txt");
});

it("lets a supervisor that comes first keep a job, however late", async () => {
  const id = await neverStarted(Date.now() - 60_000);
  const supervised = supervise(id);
  await vi.waitFor(async () => expect(await readdir(join(folder, id))).toContain("trainer.json"), { timeout: 30_000 });
  const jobs = open(folder);
  expect((await jobs.describe([id]))[0]?.state).toBe("running");
  await jobs.terminate(id, "enough");
  expect(await supervised).toBe(0);
});

it("ends a job at once that is terminated before its supervisor came", async () => {
  const jobs = open(folder);
  const id = await neverStarted();
  await jobs.terminate(id, "closed");
  expect((await jobs.describe([id]))[0]).toMatchObject({ state: "failed", reason: "closed" });
  expect(await supervise(id)).toBe(0);
  expect(await readdir(join(folder, id))).not.toContain("trainer.json");
});

it("starts no trainer whose end was asked for between the claim and its record", async () => {
  const id = await neverStarted();
  await writeJobFile(join(folder, id), "terminate.json", { format: 1, reason: "closed", atMs: Date.now() });
  await supervise(id);
  expect((await open(folder).describe([id]))[0]).toMatchObject({
    state: "failed",
    exitCode: 143,
    reason: "closed: killed by SIGTERM",
  });
  expect(await logOf(id)).toBe("");
});

it("ends with the trainer what the trainer had started", async () => {
  const child = `const { spawn } = require("node:child_process");
    const sleeper = spawn(process.execPath, ["-e", "setTimeout(() => {}, 600000)"], { stdio: "ignore" });
    console.log("sleeper", sleeper.pid);
    process.exit(9);`;
  const jobs = open(folder, { command: [process.execPath, "-e", child] });
  const id = await submit(jobs, FOREVER);
  expect((await jobOnce(jobs, id, stopped)).exitCode).toBe(9);
  await gone(Number(/sleeper (\d+)/.exec(await logOf(id))?.[1]));
});

it("says so in exit code and log when the trainer's program does not exist", async () => {
  const jobs = open(folder, { command: [join(folder, "no-such-program")] });
  const id = await submit(jobs, FOREVER);
  expect((await jobOnce(jobs, id, stopped)).exitCode).toBe(127);
  expect(await logOf(id)).toContain("no-such-program");
});

it("refuses a damaged file of a job, and names it", async () => {
  const jobs = open(folder);
  const id = await neverStarted();
  const job = await readFile(file(id, "job.json"));
  await writeFile(file(id, "job.json"), "{}");
  await expect(jobs.describe([id])).rejects.toThrow(
    expect.objectContaining({ code: "STORED_NOT_READABLE", message: expect.stringContaining(file(id, "job.json")) }),
  );
  await writeFile(file(id, "job.json"), job);
});

it("throws when the folder can't be made, and has started nothing", async () => {
  await writeFile(join(folder, "taken"), "");
  await expect(open(join(folder, "taken")).submit(requestOf(FOREVER))).rejects.toThrow("ENOTDIR");
  expect(await open(join(folder, "missing")).findByName("x")).toEqual([]);
});

it("tells soon that a job has ended, each once, and not what had ended before", async () => {
  const jobs = open(folder);
  const old = await submit(jobs, { exitCode: 0, afterMs: 0 });
  await jobOnce(jobs, old, stopped);
  const told: string[] = [];
  // a slow look that is never due: only the watcher can tell
  const watching = await watchJobs({
    folder,
    jobs,
    onEnded: (ids) => told.push(...ids),
    onError: (error) => told.push(String(error)),
    lookMs: 600_000,
  });
  try {
    const ids = [await submit(jobs, { exitCode: 0, afterMs: 100 }), await submit(jobs, { exitCode: 1, afterMs: 200 })];
    await vi.waitFor(() => expect(told.toSorted()).toEqual(ids.toSorted()), { timeout: 30_000 });
    await sleep(100);
    expect(told).toHaveLength(2);
  } finally {
    watching.close();
  }
});

it("does not tell what had ended before, though its mark comes while the first look is taken", async () => {
  const jobs = open(folder);
  const old = await submit(jobs, { exitCode: 0, afterMs: 0 });
  await jobOnce(jobs, old, stopped);
  const told: string[] = [];
  const slow: Jobs = {
    ...jobs,
    describe: async (ids) => {
      const described = await jobs.describe(ids);
      await writeFile(join(folder, ENDED), "");
      await sleep(300);
      return described;
    },
  };
  const watching = await watchJobs({
    folder,
    jobs: slow,
    onEnded: (ids) => told.push(...ids),
    onError: (error) => told.push(String(error)),
    lookMs: 600_000,
  });
  try {
    await sleep(500);
    expect(told).toEqual([]);
  } finally {
    watching.close();
  }
});

it("tells by its slow look that a job has ended whose supervisor was killed", async () => {
  const jobs = open(folder);
  const told: string[] = [];
  const watching = await watchJobs({
    folder,
    jobs,
    onEnded: (ids) => told.push(...ids),
    onError: (error) => told.push(String(error)),
    lookMs: 50,
  });
  try {
    const { id, supervisor, trainer } = await started(jobs, FOREVER);
    kill(supervisor, "SIGKILL");
    kill(trainer, "SIGKILL");
    await vi.waitFor(() => expect(told).toEqual([id]), { timeout: 30_000 });
  } finally {
    watching.close();
  }
});

it("prunes the oldest jobs that have ended, and never one that runs", async () => {
  const jobs = open(folder);
  const { id: runs } = await started(jobs, FOREVER);
  const ended: string[] = [];
  for (let i = 0; i < 3; i++) {
    ended.push(await neverStarted(Date.now() + i));
    await jobs.terminate(ended[i] ?? "", "test");
  }
  const unfinished = jobId(Date.now() - 60_000);
  await mkdir(join(folder, unfinished));
  const longAgo = new Date(Date.now() - 86_400_000);
  await utimes(join(folder, unfinished), longAgo, longAgo);
  expect(await pruneJobs(folder, 1)).toBe(3);
  expect((await jobIds(folder)).sort()).toEqual([runs, ended[2]].sort());
  expect((await readdir(folder)).filter((name) => name.startsWith("."))).toEqual([]);
  expect(await pruneJobs(folder)).toBe(0);
  expect(await pruneJobs(join(folder, "missing"))).toBe(0);
});

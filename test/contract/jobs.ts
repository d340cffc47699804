import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { Job, JobRequest, Jobs } from "../../protocol/ports.ts";

/** What a job of the suite does; behaving-job.ts, run as the trainer, reads it from the plan's key. */
export interface Behaviour {
  /** or the signal that it sends to itself */
  readonly exitCode: number | "SIGKILL" | "SIGINT";
  readonly afterMs: number;
  /** exit code on SIGTERM @default 75 */
  readonly onSigterm?: number | "ignored";
}

export const planKeyOf = ({ exitCode, afterMs, onSigterm = 75 }: Behaviour): string =>
  `exit-${exitCode}-after-${afterMs}-sigterm-${onSigterm}`;

export function requestOf(behaviour: Behaviour, changes: Partial<JobRequest> = {}): JobRequest {
  return {
    name: `digits-1-0-${randomBytes(16).toString("hex")}`,
    planKey: planKeyOf(behaviour),
    attempt: 0,
    timeLimitMs: 600_000,
    mayRestart: true,
    jobDefinition: null,
    onDemand: false,
    ...changes,
  };
}

/** Asks until a job is as wished; the error says how it was last. */
export async function jobOnce(jobs: Jobs, id: string, wished: (job: Job | undefined) => boolean): Promise<Job> {
  const untilMs = performance.now() + 45_000;
  for (;;) {
    const [job] = await jobs.describe([id]);
    if (job !== undefined && wished(job)) return job;
    if (performance.now() > untilMs) throw new Error(`job ${id} is still ${JSON.stringify(job)}`);
    await sleep(20);
  }
}
export const stopped = (job: Job | undefined): boolean => job?.state === "succeeded" || job?.state === "failed";
export const running = (job: Job | undefined): boolean => job?.state === "running" && job.startedMs !== undefined;

export interface JobsHarness {
  /** runs behaving-job.ts as the trainer, with a grace period as short as it can be */
  readonly jobs: Jobs;
  /** where a job writes to @default what the job itself says, if that is a file */
  logFile?(job: Job): string;
  /** the same jobs as another process sees them */
  reopen(): Promise<Jobs>;
  /** ends what still runs and cleans up */
  close(): Promise<void>;
}

/** What the Jobs port promises. Every adapter passes it. */
export function jobsKeepTheirPromises(name: string, open: () => Promise<JobsHarness>): void {
  describe(`jobs: ${name}`, () => {
    let harness: JobsHarness | undefined;
    afterEach(async () => {
      await harness?.close();
      harness = undefined;
    });
    const opened = async (): Promise<JobsHarness> => (harness = await open());
    const submitted = async (jobs: Jobs, request: JobRequest): Promise<string> => {
      const submission = await jobs.submit(request);
      if (submission.outcome !== "submitted") throw new Error(`submit: ${submission.outcome}`);
      return submission.id;
    };

    /** Settles once the job's program has said that it is there, where its log is a file. */
    const behaving = async (job: Job): Promise<void> => {
      const log = harness?.logFile?.(job) ?? job.log ?? "";
      if (!log.startsWith("/")) return;
      for (const untilMs = performance.now() + 45_000; performance.now() < untilMs; await sleep(20)) {
        if ((await readFile(log, "utf8").catch(() => "")).includes("behaving: ")) return;
      }
      throw new Error(`${log}: the job does not say that it is there`);
    };

    it("runs a job to its end and says when", async () => {
      const { jobs } = await opened();
      const request = requestOf({ exitCode: 0, afterMs: 10 });
      const id = await submitted(jobs, request);
      const job = await jobOnce(jobs, id, stopped);
      expect(job).toMatchObject({ id, name: request.name, state: "succeeded", exitCode: 0 });
      expect(job.startedMs).toBeGreaterThanOrEqual(job.createdMs);
      expect(job.stoppedMs).toBeGreaterThanOrEqual(job.startedMs ?? Number.NaN);
      // an end is an end
      expect(await jobs.describe([id])).toEqual([job]);
    });

    it.each([1, 65, 75, 78])("keeps exit code %i as it is", async (exitCode) => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode, afterMs: 0 }));
      const job = await jobOnce(jobs, id, stopped);
      expect(job).toMatchObject({ state: "failed", exitCode });
      expect(job.reason).toBeTruthy();
    });

    it.each([
      ["SIGKILL", 137],
      ["SIGINT", 130],
    ] as const)("tells a job that %s has ended by 128 and its number", async (exitCode, known) => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode, afterMs: 0 }));
      expect(await jobOnce(jobs, id, stopped)).toMatchObject({ state: "failed", exitCode: known });
    });

    it("shows a job as running while it runs, and only there", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 300 }));
      expect(stopped((await jobs.describe([id]))[0])).toBe(false);
      const job = await jobOnce(jobs, id, running);
      expect(job.stoppedMs).toBeUndefined();
      expect(job.exitCode).toBeUndefined();
      expect((await jobOnce(jobs, id, stopped)).state).toBe("succeeded");
    });

    it("leaves unknown jobs out, and describes only the ones asked for", async () => {
      const { jobs } = await opened();
      const one = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 }));
      const other = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 }));
      await jobOnce(jobs, one, stopped);
      await jobOnce(jobs, other, stopped);
      const found = await jobs.describe(["no-such-job", other, "../../etc", "", `${other}x`]);
      expect(found.map((job) => job.id)).toEqual([other]);
      expect(await jobs.describe([])).toEqual([]);
    });

    it("describes more jobs than AWS tells in one call", async () => {
      const { jobs } = await opened();
      const ids = [
        await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 })),
        await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 })),
      ];
      for (const id of ids) await jobOnce(jobs, id, stopped);
      const unknown = Array.from({ length: 150 }, (_, i) => `no-such-job-${i}`);
      const found = await jobs.describe([ids[0]!, ...unknown, ids[1]!]);
      expect(found.map((job) => job.id)).toEqual(ids);
    });

    it("finds the jobs of one name, not those that start like it", async () => {
      const { jobs } = await opened();
      const name = `digits-${randomBytes(8).toString("hex")}`;
      const ids = [
        await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 }, { name })),
        await submitted(jobs, requestOf({ exitCode: 3, afterMs: 0 }, { name })),
      ];
      const longer = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 }, { name: `${name}-2` }));
      for (const id of [...ids, longer]) await jobOnce(jobs, id, stopped);
      expect((await jobs.findByName(name)).map((job) => job.id).sort()).toEqual(ids.sort());
      expect(await jobs.findByName("digits")).toEqual([]);
    });

    it("lets a job save and end by itself when it is terminated, and keeps the reason", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000, onSigterm: 75 }));
      await behaving(await jobOnce(jobs, id, running));
      await jobs.terminate(id, "the round was closed");
      const job = await jobOnce(jobs, id, stopped);
      expect(job).toMatchObject({ state: "failed", exitCode: 75 });
      expect(job.reason).toContain("the round was closed");
    });

    it("kills a job that does not end on SIGTERM", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000, onSigterm: "ignored" }));
      await behaving(await jobOnce(jobs, id, running));
      await jobs.terminate(id, "closed");
      expect(await jobOnce(jobs, id, stopped)).toMatchObject({ state: "failed", exitCode: 137 });
    });

    it("terminates one of two jobs that run at once, and leaves the other alone", async () => {
      const { jobs } = await opened();
      const [one, other] = [
        await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000 })),
        await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000 })),
      ];
      for (const id of [one, other]) await behaving(await jobOnce(jobs, id, running));
      await jobs.terminate(one, "closed");
      expect(await jobOnce(jobs, one, stopped)).toMatchObject({ exitCode: 75 });
      expect(running((await jobs.describe([other]))[0])).toBe(true);
    });

    it("changes nothing when a job is terminated twice", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000 }));
      await behaving(await jobOnce(jobs, id, running));
      await jobs.terminate(id, "the first");
      await jobs.terminate(id, "the second");
      const job = await jobOnce(jobs, id, stopped);
      expect(job).toMatchObject({ state: "failed", exitCode: 75 });
      expect(job.reason).toContain("the first");
    });

    it.each([75, "ignored"] as const)("ends a job at its time limit (on SIGTERM: %s)", async (onSigterm) => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000, onSigterm }, { timeLimitMs: 500 }));
      expect((await jobOnce(jobs, id, stopped)).state).toBe("failed");
    });

    it("ends a job that is terminated right after it was submitted", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 600_000 }));
      await jobs.terminate(id, "closed");
      await jobs.terminate(id, "closed again");
      expect((await jobOnce(jobs, id, stopped)).state).toBe("failed");
    });

    it("changes nothing when a job that has ended or never was is terminated", async () => {
      const { jobs } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 0, afterMs: 0 }));
      const job = await jobOnce(jobs, id, stopped);
      await jobs.terminate(id, "late");
      await jobs.terminate("no-such-job", "never was");
      expect(await jobs.describe([id])).toEqual([job]);
    });

    it("shows another process the same end", async () => {
      const { jobs, reopen } = await opened();
      const id = await submitted(jobs, requestOf({ exitCode: 3, afterMs: 0 }));
      const job = await jobOnce(jobs, id, stopped);
      const other = await reopen();
      expect(await other.describe([id])).toEqual([job]);
      expect(await other.findByName(job.name)).toEqual([job]);
    });

    it("is found, described and terminated by another process than the one that submitted it", async () => {
      const { jobs, reopen } = await opened();
      const request = requestOf({ exitCode: 0, afterMs: 600_000 });
      const id = await submitted(jobs, request);
      await jobOnce(jobs, id, running);
      const other = await reopen();
      expect((await other.findByName(request.name)).map((job) => job.id)).toEqual([id]);
      await other.terminate(id, "by another");
      expect(await jobOnce(other, id, stopped)).toEqual(await jobOnce(jobs, id, stopped));
    });
  });
}

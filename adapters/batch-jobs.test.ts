/** How the port takes what Batch says, and its faults; its contract on a Batch that runs jobs is in localstack/batch/contract.test.ts. */
import { BatchClient, type JobDetail } from "@aws-sdk/client-batch";
import { afterEach, describe, expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import type { JobRequest, Jobs } from "../protocol/ports.ts";
import { needsOnDemand } from "../protocol/round.ts";
import { openBatchServer, type BatchServer } from "../test/batch-server.ts";
import { awsClientOptions } from "./aws-client.ts";
import { openBatchJobs } from "./batch-jobs.ts";

const DEFINITION = "arn:aws:batch:eu-central-1:123456789012:job-definition/accrete-prod-digits:7";
/** long enough for a busy machine: only what hangs has to wait for it */
const ANSWER_MS = 1_000;

function jobsOn(url: string): Jobs {
  const client = new BatchClient({
    ...awsClientOptions({ answerMs: ANSWER_MS, keepAlive: false }),
    region: "eu-central-1",
    endpoint: url,
    credentials: { accessKeyId: "AKIATEST", secretAccessKey: "test" },
  });
  return openBatchJobs({ client, queue: "spot", onDemandQueue: "ondemand" });
}

describe("jobs of AWS Batch", () => {
  let server: BatchServer | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });
  const open = async (pageSize = 100): Promise<{ server: BatchServer; jobs: Jobs }> => {
    server = await openBatchServer(pageSize);
    return { server, jobs: jobsOn(server.url) };
  };
  const request = (changes: Partial<JobRequest> = {}): JobRequest => ({
    name: "digits-3-1-0123456789abcdef0123456789abcdef",
    planKey: "rounds/0000000003/plan.json",
    attempt: 1,
    timeLimitMs: 3_600_001,
    mayRestart: true,
    jobDefinition: DEFINITION,
    onDemand: false,
    ...changes,
  });
  const submitted = async (jobs: Jobs, changes: Partial<JobRequest> = {}): Promise<string> => {
    const answer = await jobs.submit(request(changes));
    if (answer.outcome !== "submitted") throw new Error(answer.outcome);
    return answer.id;
  };

  it("asks for what a job needs and nothing else", async () => {
    const { server, jobs } = await open();
    await submitted(jobs);
    await submitted(jobs, { onDemand: true, timeLimitMs: 5, mayRestart: false });
    expect(server.submitted).toEqual([
      {
        jobName: request().name,
        jobQueue: "spot",
        jobDefinition: DEFINITION,
        containerOverrides: {
          environment: [
            { name: "ACCRETE_PLAN", value: "rounds/0000000003/plan.json" },
            { name: "ACCRETE_ATTEMPT", value: "1" },
          ],
        },
        timeout: { attemptDurationSeconds: 3_601 },
      },
      expect.objectContaining({
        jobQueue: "ondemand",
        timeout: { attemptDurationSeconds: 60 },
        retryStrategy: { attempts: 1 },
      }),
    ]);
  });

  it.each(["fails", "fails-after", "hangs", "hangs-after", "drops-after"] as const)(
    "submits once and does not know, if the call %s",
    async (fault) => {
      const { server, jobs } = await open();
      server.fail("submitjob", fault);
      expect(await jobs.submit(request())).toEqual({ outcome: "unknown" });
      expect(server.asked).toEqual(["submitjob"]);
      const carriedOut = fault.endsWith("-after") ? 1 : 0;
      expect(await jobs.findByName(request().name)).toHaveLength(carriedOut);
    },
  );

  it("submits again what was throttled: nothing was started", async () => {
    const { server, jobs } = await open();
    server.fail("submitjob", "throttled", "throttled");
    await submitted(jobs);
    expect(server.asked).toEqual(["submitjob", "submitjob", "submitjob"]);
    expect(server.submitted).toHaveLength(1);
  });

  it("says that no job was started, if it surely was not", async () => {
    const { server, jobs } = await open();
    const thrownBy = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);
    const codeOf = (error: unknown): string => (error instanceof AccreteError ? error.code : String(error));
    server.fail("submitjob", "throttled", "throttled", "throttled", "throttled");
    expect(codeOf(await thrownBy(jobs.submit(request())))).toBe("JOB_NOT_SUBMITTED");
    const refused = await thrownBy(jobs.submit(request({ jobDefinition: "gone" })));
    expect(codeOf(refused)).toBe("JOB_REFUSED");
    expect(String(refused)).toContain("JobDefinition gone does not exist.");
    expect(codeOf(await thrownBy(jobs.submit(request({ jobDefinition: null }))))).toBe("JOB_REFUSED");
    expect(server.submitted).toEqual([]);
  });

  it.each(["describejobs", "listjobs", "terminatejob"] as const)(
    "asks %s again after what passes",
    async (operation) => {
      const { server, jobs } = await open();
      const id = await submitted(jobs);
      server.fail(operation, "throttled", "fails-after", "drops-after");
      expect(await jobs.findByName(request().name)).toHaveLength(1);
      await jobs.terminate(id, "enough");
      expect(await jobs.describe([id])).toMatchObject([{ id, state: "failed", reason: "enough" }]);
    },
  );

  it("throws where it can't be told what became of a job", async () => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    server.fail("describejobs", "refused", "refused");
    await expect(jobs.describe([id])).rejects.toThrow("not like this");
    server.fail("terminatejob", "refused");
    await expect(jobs.terminate(id, "enough")).rejects.toThrow("not like this");
    server.fail("describejobs");
    await jobs.terminate("6f1c1f9e-0000-0000-0000-000000000000", "never was");
  });

  it("describes more jobs than one call takes, and finds all of a name on both queues, page by page", async () => {
    const { server, jobs } = await open(2);
    const ids: string[] = [];
    for (let i = 0; i < 101; i++) ids.push(await submitted(jobs, { name: "many" }));
    const other = await submitted(jobs, { name: "many", onDemand: true });
    await submitted(jobs, { name: "MANY" });
    expect((await jobs.describe([...ids, ...ids])).map(({ id }) => id)).toEqual(ids);
    expect(server.asked.filter((name) => name === "describejobs")).toHaveLength(2);
    expect((await jobs.findByName("many")).map(({ id }) => id).sort()).toEqual([...ids, other].sort());
  });

  it("says that a machine was lost, and then the next attempt is on demand", async () => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    const startedAt = Date.now();
    const statusReason = "Host EC2 (instance i-0a1b2c3d4e5f60718) terminated.";
    server.move(id, { status: "FAILED", statusReason, startedAt, stoppedAt: startedAt + 9, container: {} });
    const [job] = await jobs.describe([id]);
    expect(job).toMatchObject({ state: "failed", hostLost: true, reason: statusReason, startedMs: startedAt });
    expect(needsOnDemand({ attempts: [{ attempt: 1, intentMs: 0, job: job! }] })).toBe(true);
  });

  const ENDED = "Essential container in task exited";
  const exited = (exitCode: number, statusReason = ENDED, stoppedAt = 2_000): object => ({
    startedAt: 1_000,
    stoppedAt,
    statusReason,
    container: { exitCode },
  });
  const HOST = "Host EC2 (instance i-0a1b2c3d4e5f60718) terminated.";

  it.each<[boolean, string, Partial<JobDetail>, Partial<JobDetail>[]]>([
    [true, "was told to stop twice, and saved", exited(75), [exited(75), exited(75)]],
    [true, "was told to stop twice, before the trainer was there", exited(143), [exited(143), exited(143)]],
    [true, "was told to stop once, and then failed", exited(70), [exited(143), exited(70)]],
    [true, "lost its machine once, and then failed", exited(70), [exited(70, HOST), exited(70)]],
    [
      true,
      "lost its machine, and was terminated as it waited for another",
      { ...exited(75, "waited longer than 5 ms", 9_000_000), startedAt: 0 },
      [exited(75, HOST)],
    ],
    [
      true,
      "was told to stop, and was terminated as it waited for another machine",
      { ...exited(75, "waited longer than 5 ms", 9_000_000), startedAt: 0 },
      [exited(75)],
    ],
    [false, "was terminated, and saved", exited(75, "the round was closed"), [exited(75)]],
    [false, "was terminated before the trainer was there", exited(143, "the round was closed"), [exited(143)]],
    [
      false,
      "ran too long",
      exited(143, "Job attempt duration exceeded timeout"),
      [exited(143, "Job attempt duration exceeded timeout")],
    ],
    [false, "had too little memory", exited(137, "OutOfMemoryError"), [exited(137)]],
    [false, "failed twice", exited(70), [exited(70), exited(70)]],
  ])("hostLost %s: it %s", async (hostLost, _what, changes, attempts) => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    server.move(id, { status: "FAILED", ...changes, attempts });
    const [job] = await jobs.describe([id]);
    expect(job?.hostLost ?? false).toBe(hostLost);
    expect(needsOnDemand({ attempts: [{ attempt: 1, intentMs: 0, job: job! }] })).toBe(hostLost);
  });

  it("has lost nothing that matters, if it succeeded at last", async () => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    server.move(id, { status: "SUCCEEDED", ...exited(0), attempts: [exited(75), exited(0)] });
    expect((await jobs.describe([id]))[0]?.hostLost).toBeUndefined();
  });

  it.each([
    ["was terminated while it waited", { statusReason: "waited too long", startedAt: 0, container: {} }],
    [
      "had an image that could not be pulled",
      { statusReason: "Task failed to start", startedAt: 5, container: { reason: "CannotPullContainerError: no" } },
    ],
  ])("knows that a job never ran that %s", async (_what, changes) => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    server.move(id, { status: "FAILED", stoppedAt: Date.now(), ...changes });
    const [job] = await jobs.describe([id]);
    expect(job?.startedMs).toBeUndefined();
    expect(job?.reason).toContain(changes.statusReason);
    expect(job?.hostLost).toBeUndefined();
  });

  it("counts the waiting of a job that Batch has put back from then on, and its time from its first start", async () => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    const attempts = [{ startedAt: 1_000, stoppedAt: 9_000_000_000_000, statusReason: "Host EC2 (i) terminated." }];
    server.move(id, { status: "RUNNABLE", attempts });
    const [waiting] = await jobs.describe([id]);
    expect(waiting).toMatchObject({ state: "waiting", createdMs: 9_000_000_000_000, startedMs: 1_000 });
    expect(waiting?.hostLost).toBeUndefined();
  });

  it("names the stream of the log, and the exit code with the container's reason once it has ended", async () => {
    const { server, jobs } = await open();
    const id = await submitted(jobs);
    const container = { logStreamName: "accrete/default/1", exitCode: 137, reason: "OutOfMemoryError: killed" };
    server.move(id, { status: "RUNNING", startedAt: 5, container: { logStreamName: "accrete/default/1" } });
    expect(await jobs.describe([id])).toMatchObject([{ state: "running", startedMs: 5, log: "accrete/default/1" }]);
    server.move(id, { status: "FAILED", stoppedAt: 9, statusReason: "Essential container in task exited", container });
    expect(await jobs.describe([id])).toMatchObject([
      { exitCode: 137, reason: "Essential container in task exited: OutOfMemoryError: killed", stoppedMs: 9 },
    ]);
  });
});

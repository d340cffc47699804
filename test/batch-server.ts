/**
 * A small AWS Batch for tests: the REST-JSON API that the SDK speaks, on loopback; jobs are child processes. What AWS itself does is
 * taken from its documents. It can be told to fail in the ways that a network and a busy service do.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { openSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type {
  DescribeJobsRequest,
  JobDetail,
  ListJobsRequest,
  SubmitJobRequest,
  TerminateJobRequest,
} from "@aws-sdk/client-batch";
import { openServer } from "./http-server.ts";

/** What goes wrong with one call; `-after`: it is carried out, and then not answered as it should be. */
type BatchFault = "throttled" | "refused" | "fails" | "hangs" | "fails-after" | "hangs-after" | "drops-after";

type BatchOperation = "submitjob" | "describejobs" | "listjobs" | "terminatejob";

interface BatchServerOptions {
  /** what the image's entry point would be, absolute paths; null: jobs stay RUNNABLE until move() */
  readonly command: readonly string[] | null;
  /** where the logs are */
  readonly folder: string;
  /** between SIGTERM and SIGKILL */
  readonly graceMs: number;
  /** how long an attempt of so many seconds may run @default as many */
  readonly timeOutMs?: (seconds: number) => number;
  readonly pageSize?: number;
}

export interface BatchServer {
  readonly url: string;
  /** the operations that were asked for, in order */
  readonly asked: readonly BatchOperation[];
  /** of each SubmitJob what it asked for */
  readonly submitted: readonly SubmitJobRequest[];
  /** the next calls of an operation fail so, one after the other */
  fail(operation: BatchOperation, ...faults: BatchFault[]): void;
  /** Changes what is said of a job, where no process runs. */
  move(id: string, changes: Partial<JobDetail>): void;
  close(): Promise<void>;
}

interface Running {
  readonly child: ChildProcess;
  ending?: string;
}

class Refused extends Error {}

const JOB_DEFINITION = /^(arn:aws:batch:[a-z0-9-]+:\d{12}:job-definition\/)?[A-Za-z0-9_-]+:\d+$/;

export async function openBatchServer(options: BatchServerOptions): Promise<BatchServer> {
  const jobs = new Map<string, JobDetail>();
  const running = new Map<string, Running>();
  const faults = new Map<string, BatchFault[]>();
  const asked: BatchOperation[] = [];
  const submitted: SubmitJobRequest[] = [];
  const { pageSize = 100, timeOutMs = (seconds) => seconds * 1_000 } = options;
  const change = (id: string, changes: Partial<JobDetail>): void => {
    const job = jobs.get(id);
    if (job !== undefined) jobs.set(id, { ...job, ...changes });
  };

  function start(id: string, request: SubmitJobRequest, command: readonly string[]): void {
    const logStreamName = join(options.folder, `${id}.log`);
    const log = openSync(logStreamName, "a");
    const [program = "", ...args] = command;
    const overrides = request.containerOverrides?.environment ?? [];
    const child = spawn(program, args, {
      env: {
        ...process.env,
        AWS_BATCH_JOB_ID: id,
        AWS_BATCH_JOB_ATTEMPT: "1",
        ...Object.fromEntries(overrides.map(({ name, value }) => [name, value])),
      },
      stdio: ["ignore", log, log],
    });
    running.set(id, { child });
    change(id, { status: "RUNNING", startedAt: Date.now(), container: { logStreamName } });
    const seconds = request.timeout?.attemptDurationSeconds;
    const timer =
      seconds === undefined
        ? undefined
        : setTimeout(() => end(id, "Job attempt duration exceeded timeout"), timeOutMs(seconds));
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const statusReason = running.get(id)?.ending ?? "Essential container in task exited";
      running.delete(id);
      const exitCode = code ?? (signal === "SIGKILL" ? 137 : 143);
      change(id, {
        status: exitCode === 0 ? "SUCCEEDED" : "FAILED",
        statusReason,
        stoppedAt: Math.max(Date.now(), jobs.get(id)?.startedAt ?? 0),
        container: { logStreamName, exitCode },
      });
    });
  }

  function end(id: string, reason: string): void {
    const run = running.get(id);
    if (run === undefined || run.ending !== undefined) return;
    run.ending = reason;
    run.child.kill("SIGTERM");
    setTimeout(() => running.has(id) && run.child.kill("SIGKILL"), options.graceMs).unref();
  }

  const operations = {
    submitjob(request: SubmitJobRequest): object {
      if (!JOB_DEFINITION.test(request.jobDefinition ?? ""))
        throw new Refused(`JobDefinition ${request.jobDefinition} does not exist.`);
      if ((request.timeout?.attemptDurationSeconds ?? 60) < 60)
        throw new Refused("attemptDurationSeconds: at least 60");
      const jobId = randomUUID();
      const { jobName, jobQueue, jobDefinition } = request;
      jobs.set(jobId, {
        jobId,
        jobName,
        jobQueue,
        jobDefinition,
        status: "RUNNABLE",
        createdAt: Date.now(),
        startedAt: 0,
      });
      submitted.push(request);
      const { command } = options;
      if (command !== null)
        setImmediate(() => jobs.get(jobId)?.status === "RUNNABLE" && start(jobId, request, command));
      return { jobId, jobName };
    },
    describejobs(request: DescribeJobsRequest): object {
      if ((request.jobs ?? []).length > 100) throw new Refused("at most 100 jobs");
      return { jobs: (request.jobs ?? []).flatMap((id) => jobs.get(id) ?? []) };
    },
    listjobs(request: ListJobsRequest): object {
      const name = request.filters?.[0]?.values?.[0]?.toLowerCase();
      const found = [...jobs.values()].filter(
        (job) => job.jobQueue === request.jobQueue && job.jobName?.toLowerCase() === name,
      );
      const from = Number(request.nextToken ?? 0);
      const jobSummaryList = found.slice(from, from + pageSize).map(({ jobId, jobName }) => ({ jobId, jobName }));
      return from + pageSize < found.length
        ? { jobSummaryList, nextToken: String(from + pageSize) }
        : { jobSummaryList };
    },
    terminatejob({ jobId, reason }: TerminateJobRequest): object {
      const job = jobs.get(jobId ?? "");
      if (job?.jobId === undefined) throw new Refused(`Job ${jobId} does not exist.`);
      if (running.has(job.jobId)) end(job.jobId, reason ?? "");
      else if (job.status === "RUNNABLE")
        change(job.jobId, { status: "FAILED", statusReason: reason, stoppedAt: Date.now() });
      return {};
    },
  };
  const isOperation = (name: string): name is BatchOperation => Object.hasOwn(operations, name);

  async function respond(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const name = (request.url ?? "").replace("/v1/", "");
    const send = (status: number, answer: object, type?: string): void => {
      const headers = {
        "content-type": "application/json",
        ...(type === undefined ? {} : { "x-amzn-errortype": type }),
      };
      response.writeHead(status, headers).end(JSON.stringify(answer));
    };
    if (!isOperation(name)) return send(404, { message: `no such operation: ${name}` }, "ClientException");
    asked.push(name);
    const fault = faults.get(name)?.shift();
    if (fault === "throttled") return send(429, { message: "Too Many Requests" }, "TooManyRequestsException");
    if (fault === "refused") return send(400, { message: "not like this" }, "ClientException");
    if (fault === "fails") return send(500, { message: "oh" }, "ServerException");
    if (fault === "hangs") return;
    try {
      const answer = operations[name](JSON.parse(body.toString() || "{}"));
      if (fault === "fails-after") return send(500, { message: "oh" }, "ServerException");
      if (fault === "drops-after") return void request.socket.destroy();
      if (fault !== "hangs-after") send(200, answer);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      send(400, { message: error.message }, "ClientException");
    }
  }

  const { url, close } = await openServer(respond);
  return {
    url,
    asked,
    submitted,
    fail: (operation, ...kinds) => void faults.set(operation, kinds),
    move: change,
    async close() {
      const ended = [...running.values()].map(({ child }) => once(child, "close"));
      for (const { child } of running.values()) child.kill("SIGKILL");
      await Promise.all(ended);
      await close();
    },
  };
}

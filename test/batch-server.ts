/**
 * An AWS Batch for tests that runs nothing: a job is what the test says of it, so that there can be what no Batch on this machine ever
 * says. It can be told to fail in the ways that a network and a busy service do. One that runs jobs is in localstack/batch/.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
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

export interface BatchServer {
  readonly url: string;
  /** the operations that were asked for, in order */
  readonly asked: readonly BatchOperation[];
  /** of each SubmitJob what it asked for */
  readonly submitted: readonly SubmitJobRequest[];
  /** the next calls of an operation fail so, one after the other */
  fail(operation: BatchOperation, ...faults: BatchFault[]): void;
  /** Changes what is said of a job. */
  move(id: string, changes: Partial<JobDetail>): void;
  close(): Promise<void>;
}

class Refused extends Error {}

const JOB_DEFINITION = /^(arn:aws:batch:[a-z0-9-]+:\d{12}:job-definition\/)?[A-Za-z0-9_-]+:\d+$/;

/** @param pageSize of ListJobs */
export async function openBatchServer(pageSize = 100): Promise<BatchServer> {
  const jobs = new Map<string, JobDetail>();
  const faults = new Map<string, BatchFault[]>();
  const asked: BatchOperation[] = [];
  const submitted: SubmitJobRequest[] = [];
  const change = (id: string, changes: Partial<JobDetail>): void => {
    const job = jobs.get(id);
    if (job !== undefined) jobs.set(id, { ...job, ...changes });
  };

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
      if (job.status === "RUNNABLE")
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

  return {
    ...(await openServer(respond)),
    asked,
    submitted,
    fail: (operation, ...kinds) => void faults.set(operation, kinds),
    move: change,
  };
}

/** The faults that a run on LocalStack is to survive: those of calls, which the proxy makes, and those of processes, which are killed. */
import { readdirSync, readFileSync } from "node:fs";
import { BatchClient, ListJobsCommand } from "@aws-sdk/client-batch";
import { kill } from "../adapters/process-alive.ts";
import type { Cloud } from "../localstack/cloud.ts";
import { CREDENTIALS, REGION } from "../localstack/environment.ts";
import type { Aim, Fault } from "../localstack/faults/fault.ts";
import type { Random } from "../test/simulation/random.ts";
import { sleep } from "./workspace.ts";

/** What a fault may lay its hands on. */
export interface Field {
  readonly cloud: Cloud;
  readonly random: Random;
  /** name of the function */
  readonly functions: { readonly intake: string; readonly ledger: string };
  readonly jobQueues: readonly string[];
}

export type ChaosFault = {
  readonly what: string;
} & (
  | { readonly aim: Aim; readonly make: (field: Field) => Fault }
  /** while a job runs; undefined: there was nothing to hit */
  | { readonly strike: (field: Field) => Promise<string | undefined> }
);

const LATE_MS = 3_000;
/** A job lasts some seconds: kills are to meet its start, its training and its saves. */
const INTO_JOB_MS_MAX = 2_500;

const s3 = (operation: string, about: RegExp, skip = 0): Aim => ({
  side: "outside",
  service: "s3",
  operation,
  about,
  skip,
});
const ERROR = { is: "status", status: 500, code: "InternalError" } as const;
const SLOW_DOWN = { is: "status", status: 503, code: "SlowDown" } as const;
const BREAK = { is: "reset" } as const;
const LOST = { is: "reset", done: true } as const;
const done = <T extends object>(fault: T): T & { readonly done: true } => ({ ...fault, done: true });
const later = ({ random }: Field): (() => Promise<void>) => {
  const ms = 1_000 + random.below(LATE_MS);
  return () => sleep(ms);
};

const call = (what: string, aim: Aim, make: Fault | ((field: Field) => Fault)): ChaosFault => ({
  what,
  aim,
  make: typeof make === "function" ? make : () => make,
});

/** The function's processes end at a moment of a call: before it was carried out, or after. */
const killed = (name: "intake" | "ledger", aim: Aim, isDone: boolean): ChaosFault =>
  call(`${name} killed ${isDone ? "after" : "before"}`, aim, (field) => ({
    is: "moment",
    act: async () => killAll(functionProcesses(field.functions[name], field.cloud.endpoint)),
    ...(isDone ? { done: true } : {}),
  }));

const PLAN = s3("PutObject", /\/plan\.json/);
const INTENT = s3("PutObject", /\/attempts\/\d+\.json/);
const RECORD = s3("PutObject", /\/attempts\/\d+\.job\.json/);
const ENTRY = s3("PutObject", /\/log\//);
const LIVE = s3("PutObject", /\/live\.json/);
const CONSUMED = s3("PutObject", /\/consumed\//);
const SEGMENT = s3("PutObject", /\/inbox\//);
const RESULT = s3("PutObject", /\/result\.json/);
const SUBMIT: Aim = { service: "batch", operation: "SubmitJob" };
const inside = (service: string, operation: string, about: RegExp = /./): Aim => ({
  side: "inside",
  service,
  operation,
  about,
});
const JOB_EVENTS: Aim = { side: "outside", service: "events", operation: "PutEvents", about: /SUCCEEDED|FAILED/ };

/** Each kind once, those that cost a whole job or ten minutes of the store's first: a run of few faults has them, too. */
export const FAULTS: readonly ChaosFault[] = [
  { what: "trainer killed", strike: (field) => strikeTrainer(field) },
  call("lost answer", SUBMIT, LOST),
  killed("ledger", ENTRY, false),
  { what: "host taken away", strike: (field) => strikeHost(field) },
  call("events held back", inside("events", "PutEvents", /Object Created/), (field) => ({
    is: "late",
    until: later(field),
  })),
  { what: "Batch server killed and started again", strike: (field) => strikeBatch(field) },
  call("lost answer", PLAN, LOST),
  killed("ledger", SUBMIT, true),
  call("503 SlowDown after it was done", ENTRY, done(SLOW_DOWN)),
  call("messages again", inside("sqs", "ReceiveMessage", /[Aa]rrivals/), { is: "again" }),
  { what: "trainer killed", strike: (field) => strikeTrainer(field) },
  killed("ledger", PLAN, true),
  killed("intake", SEGMENT, true),
  call("500", INTENT, ERROR),
  call("events twice", inside("events", "PutEvents", /Object Created/), { is: "twice" }),
  call("lost answer", RESULT, LOST),
  call("messages again", inside("sqs", "ReceiveMessage", /[Tt]icks/), { is: "again" }),
  killed("ledger", CONSUMED, true),
  call("500 after it was done", RECORD, done(ERROR)),
  { what: "host taken away", strike: (field) => strikeHost(field) },
  call("connection broken", SEGMENT, BREAK),
  call("503 SlowDown", s3("GetObject", /./, 3), SLOW_DOWN),
  call("connection broken", s3("ListObjectsV2", /./, 2), BREAK),
  call("message twice", { side: "outside", service: "sqs", operation: "SendMessage" }, { is: "twice" }),
  call("job's events held back", JOB_EVENTS, (field) => ({ is: "late", until: later(field) })),
  killed("ledger", LIVE, false),
  call("delay", s3("PutObject", /\/checkpoints\/.*MANIFEST/), (field) => ({ is: "delay", until: later(field) })),
  call("lost answer", s3("PutObject", /\/checkpoints\//, 2), LOST),
  call("500", { service: "batch", operation: "DescribeJobs" }, { ...ERROR, code: "ServerException" }),
  call("message held back", inside("sqs", "SendMessage"), (field) => ({ is: "delay", until: later(field) })),
];

async function strikeTrainer({ cloud, random }: Field): Promise<string | undefined> {
  await sleep(random.below(INTO_JOB_MS_MAX));
  return killAll(trainers(cloud.folder)) > 0 ? "SIGKILL" : undefined;
}

async function strikeHost({ cloud, random, jobQueues }: Field): Promise<string | undefined> {
  await sleep(random.below(INTO_JOB_MS_MAX));
  const [job] = await runningJobs(cloud, jobQueues);
  if (job === undefined) return undefined;
  const answer = await fetch(`${cloud.servers.batch}/_accrete/jobs/${job}/reclaim`, { method: "POST" });
  return answer.ok ? `job ${job}` : undefined;
}

async function strikeBatch({ cloud, random }: Field): Promise<string> {
  await sleep(random.below(INTO_JOB_MS_MAX));
  await cloud.restartBatch();
  return "SIGKILL";
}

async function runningJobs({ servers }: Cloud, queues: readonly string[]): Promise<string[]> {
  const client = new BatchClient({ endpoint: servers.batch, region: REGION, credentials: CREDENTIALS });
  const pages = await Promise.all(
    queues.map((jobQueue) => client.send(new ListJobsCommand({ jobQueue, jobStatus: "RUNNING" }))),
  );
  client.destroy();
  return pages.flatMap(({ jobSummaryList = [] }) => jobSummaryList.flatMap(({ jobId }) => jobId ?? []));
}

function killAll(pids: readonly number[]): number {
  return pids.filter((pid) => kill(pid, "SIGKILL")).length;
}

/** Processes of the trainer itself, not of what starts it, of the cloud with this folder. */
export function trainers(folder: string): number[] {
  return processes(
    ({ args, env }) =>
      (args[1] ?? "").endsWith("trainer/main.ts") && env.some((one) => one.startsWith(`ACCRETE_SCRATCH=${folder}`)),
  );
}

/** @param endpoint that its environment names: other clouds may have a function of this name */
function functionProcesses(name: string, endpoint: string): number[] {
  return processes(({ env }) =>
    [`AWS_LAMBDA_FUNCTION_NAME=${name}`, `AWS_ENDPOINT_URL=${endpoint}`].every((one) => env.includes(one)),
  );
}

interface Seen {
  readonly args: readonly string[];
  readonly env: readonly string[];
}

function processes(isMeant: (seen: Seen) => boolean): number[] {
  const wordsOf = (pid: string, file: string): string[] => readFileSync(`/proc/${pid}/${file}`, "utf8").split("\0");
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      return isMeant({ args: wordsOf(pid, "cmdline"), env: wordsOf(pid, "environ") }) ? [Number(pid)] : [];
    } catch {
      return []; // another user's, or it has ended
    }
  });
}

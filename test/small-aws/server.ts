/**
 * A small AWS on loopback, for tests of the CLI: CloudFormation, STS, Logs, Service Quotas, SQS, SNS, Batch and S3 answer what the test
 * has put there, to the SDK's real clients. It is told where each error begins, too.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Jobs } from "../../protocol/ports.ts";
import { openServer } from "../http-server.ts";
import { callOf, type SmallCall } from "./calls.ts";
import { SmallS3, type S3Answer, type S3Request } from "./s3.ts";

export const ACCOUNT = "111122223333";
export const REGION = "eu-central-1";

/** A stack's outputs; undefined: there is no such stack. */
type Outputs = Readonly<Record<string, string>>;

interface Failure {
  readonly status: number;
  readonly code: string;
}

export interface SmallAws {
  readonly url: string;
  /** for processes that are to use it, and nothing of the user's own */
  readonly env: Readonly<Record<string, string>>;
  readonly s3: SmallS3;
  readonly stacks: Map<string, Outputs>;
  /** lines by "group stream" */
  readonly logs: Map<string, string[]>;
  /** vCPUs by code; none: only AWS' default is known, 5 */
  readonly quotas: Map<string, number>;
  /** bodies of messages, and of SNS the messages */
  readonly sent: string[];
  readonly published: string[];
  /** messages in the queue of dead letters */
  deadLetters: number;
  /** "service action", or the SDK's name of a call -> what it fails with; "*" for all */
  readonly failures: Map<string, Failure>;
  /** of each call: "service action" */
  readonly calls: string[];
  /** the same calls as the SDK names them, with what was asked */
  readonly asked: SmallCall[];
  jobs: Jobs | undefined;
  /** called with each message before it is answered */
  onMessage: (body: string) => Promise<void>;
  close(): Promise<void>;
}

export async function openSmallAws(): Promise<SmallAws> {
  const aws: Omit<SmallAws, "url" | "env" | "close"> = {
    s3: new SmallS3(REGION),
    stacks: new Map(),
    logs: new Map(),
    quotas: new Map(),
    sent: [],
    published: [],
    deadLetters: 0,
    failures: new Map(),
    calls: [],
    asked: [],
    jobs: undefined,
    onMessage: async () => undefined,
  };
  const { url, close } = await openServer(async (request, body, response) => {
    const answer = await answerTo(aws, requestOf(request, body)).catch((error: unknown): S3Answer => ({
      status: 500,
      body: String(error),
    }));
    response.writeHead(answer.status, { date: new Date().toUTCString(), ...answer.headers });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  });
  return Object.assign(aws, {
    url,
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: REGION,
      AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
      AWS_SECRET_ACCESS_KEY: "secret",
      ...NOTHING_OF_THE_USERS,
    },
    close,
  });
}

/** No profile, no role of the machine. */
export const NOTHING_OF_THE_USERS = {
  AWS_CONFIG_FILE: "/dev/null",
  AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  AWS_EC2_METADATA_DISABLED: "true",
} as const;

function requestOf({ method = "", url = "/", headers }: IncomingMessage, body: Buffer): S3Request {
  return { method, url: new URL(url, "http://127.0.0.1"), headers, body };
}

type Aws = Parameters<typeof answerTo>[0];
type Answerer = (aws: Aws, input: Record<string, unknown>) => Promise<S3Answer> | S3Answer;

async function answerTo(aws: Omit<SmallAws, "url" | "env" | "close">, request: S3Request): Promise<S3Answer> {
  const { headers, url, body } = request;
  const target = headers["x-amz-target"];
  const batch = /^\/v1\/(\w+)$/.exec(url.pathname)?.[1];
  const isForm = headers["content-type"]?.startsWith("application/x-www-form-urlencoded") === true;
  const form = isForm ? Object.fromEntries(new URLSearchParams(body.toString())) : {};
  const name =
    typeof target === "string" ? target.split(".").at(-1)! : (batch ?? form["Action"] ?? `s3 ${request.method}`);
  aws.calls.push(name);
  const call = callOf(request);
  aws.asked.push(call);
  const failing = aws.failures.get(name) ?? aws.failures.get(call.command) ?? aws.failures.get("*");
  if (failing !== undefined) return failed(failing, isForm ? "query" : name.startsWith("s3 ") ? "s3" : "json");
  if (name.startsWith("s3 ")) return aws.s3.answer(request);
  const input = isForm ? form : (JSON.parse(body.toString() || "{}") as Record<string, unknown>);
  const answerer = ANSWERS[name];
  if (answerer === undefined) throw new Error(`nobody answers ${name}`);
  return answerer(aws, input);
}

function failed({ status, code }: Failure, as: "query" | "s3" | "json"): S3Answer {
  const message = `it is ${code}`;
  if (as === "json")
    return { status, headers: { "x-amzn-errortype": code }, body: JSON.stringify({ __type: code, message }) };
  const error = `<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  return { status, body: as === "s3" ? error : `<ErrorResponse>${error}</ErrorResponse>` };
}

const json = (value: unknown): S3Answer => ({
  status: 200,
  headers: { "content-type": "application/x-amz-json-1.0" },
  body: JSON.stringify(value),
});
const query = (action: string, result: string): S3Answer => ({
  status: 200,
  body: `<${action}Response><${action}Result>${result}</${action}Result></${action}Response>`,
});

const ANSWERS: Readonly<Record<string, Answerer>> = {
  DescribeStacks({ stacks }, { StackName }) {
    const outputs = stacks.get(String(StackName));
    if (outputs === undefined) return failed({ status: 400, code: "ValidationError" }, "query");
    const members = Object.entries(outputs).map(
      ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
    );
    return query(
      "DescribeStacks",
      `<Stacks><member><StackId>arn:aws:cloudformation:${REGION}:${ACCOUNT}:stack/${String(StackName)}/1</StackId><StackName>${String(StackName)}</StackName><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime><Outputs>${members.join("")}</Outputs></member></Stacks>`,
    );
  },
  GetCallerIdentity: () =>
    query(
      "GetCallerIdentity",
      `<Account>${ACCOUNT}</Account><Arn>arn:aws:iam::${ACCOUNT}:user/ada</Arn><UserId>A</UserId>`,
    ),
  /** Whoever takes a role is known by its name afterwards. */
  AssumeRole: (_aws, { RoleArn }) =>
    query(
      "AssumeRole",
      `<Credentials><AccessKeyId>${String(RoleArn).split("/").at(-1)}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>`,
    ),
  Publish({ published }, { Message }) {
    published.push(String(Message));
    return query("Publish", "<MessageId>1</MessageId>");
  },
  async SendMessage({ sent, onMessage }, { MessageBody }) {
    sent.push(String(MessageBody));
    await onMessage(String(MessageBody));
    return json({ MessageId: "1", MD5OfMessageBody: createHash("md5").update(String(MessageBody)).digest("hex") });
  },
  GetQueueAttributes: ({ deadLetters }) =>
    json({
      Attributes: {
        // somebody looks at one of them
        ApproximateNumberOfMessages: String(Math.max(0, deadLetters - 1)),
        ApproximateNumberOfMessagesNotVisible: String(Math.min(1, deadLetters)),
      },
    }),
  /** Pages of two lines; at the end the same token again. */
  GetLogEvents({ logs }, { logGroupName, logStreamName, nextToken, limit, startFromHead }) {
    const lines = logs.get(`${String(logGroupName)} ${String(logStreamName)}`);
    if (lines === undefined) return failed({ status: 400, code: "ResourceNotFoundException" }, "json");
    const from = nextToken === undefined ? 0 : Number(nextToken);
    const page = startFromHead === true ? lines.slice(from, from + 2) : lines.slice(-Number(limit ?? 2));
    return json({
      events: page.map((message) => ({ message: `${message}\n`, timestamp: 1 })),
      nextForwardToken: String(from + page.length),
    });
  },
  GetServiceQuota({ quotas }, { QuotaCode }) {
    const value = quotas.get(String(QuotaCode));
    if (value === undefined) return failed({ status: 400, code: "NoSuchResourceException" }, "json");
    return json({ Quota: { QuotaCode, Value: value } });
  },
  GetAWSDefaultServiceQuota: (_aws, { QuotaCode }) => json({ Quota: { QuotaCode, Value: 5 } }),
  async describejobs({ jobs }, { jobs: ids }) {
    const known = (await jobs?.describe(ids as string[])) ?? [];
    return json({
      jobs: known.map((job) => ({
        jobId: job.id,
        jobName: job.name,
        jobQueue: "q",
        jobDefinition: "d",
        status: { waiting: "RUNNABLE", running: "RUNNING", succeeded: "SUCCEEDED", failed: "FAILED" }[job.state],
        createdAt: job.createdMs,
        startedAt: job.startedMs,
        stoppedAt: job.stoppedMs,
        statusReason: job.reason,
        container: { exitCode: job.exitCode, logStreamName: job.log },
      })),
    });
  },
  async listjobs({ jobs }, { filters }) {
    const name = (filters as { values: string[] }[])[0]!.values[0]!;
    const known = (await jobs?.findByName(name)) ?? [];
    return json({ jobSummaryList: known.map((job) => ({ jobId: job.id, jobName: job.name })) });
  },
  async submitjob({ jobs }, { jobName, containerOverrides, timeout, jobDefinition }) {
    const { environment } = containerOverrides as { environment: { name: string; value: string }[] };
    const valueOf = (name: string): string => environment.find((one) => one.name === name)!.value;
    const submitted = await jobs!.submit({
      name: String(jobName),
      planKey: valueOf("ACCRETE_PLAN"),
      attempt: Number(valueOf("ACCRETE_ATTEMPT")),
      timeLimitMs: Number((timeout as { attemptDurationSeconds: number }).attemptDurationSeconds) * 1_000,
      jobDefinition: String(jobDefinition),
      mayRestart: true,
      onDemand: false,
    });
    return json({ jobId: submitted.outcome === "submitted" ? submitted.id : "", jobName });
  },
  async terminatejob({ jobs }, { jobId, reason }) {
    await jobs?.terminate(String(jobId), String(reason));
    return json({});
  },
};

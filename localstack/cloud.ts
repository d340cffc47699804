/**
 * An AWS on this machine: LocalStack for S3, SQS, EventBridge, Lambda, CloudFormation and more, our small server for Batch. On free ports of
 * 127.0.0.1, in a folder of its own, so that any number go side by side; and nothing of it is there afterwards.
 */
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { makePart, removeLeftParts } from "../adapters/native-part.ts";
import { localstackRoot, runsFolder } from "./cache.ts";
import { clientEnv, JOB_KEY, localstackEnv, withoutAws, type Between, type Endpoints } from "./environment.ts";
import { freePorts } from "./ports.ts";
import { startServer, type Server } from "./process.ts";
import type { Phases } from "./phases.ts";
import { ROOT } from "./root.ts";
import { needVenv } from "./venv.ts";

export interface CloudOptions {
  readonly phases: Phases;
  /** of a LocalStack that runs already: then only what it lacks is started */
  readonly endpoint?: string | undefined;
  /** of a Batch server that this LocalStack was told of: AWS_ENDPOINT_URL_BATCH in its environment */
  readonly batch?: string | undefined;
  /** between SIGTERM and SIGKILL of a job @default 30 */
  readonly graceSeconds?: number;
  /** all calls are written to logs/calls.jsonl, those of Batch to logs/batch-calls.jsonl: testing/calls.ts reads them @default false */
  readonly recordsCalls?: boolean;
  /** the end of a function's name: its process waits for a debugger, on 127.0.0.1:9229 if that is free; localstack.log says where */
  readonly inspect?: string | undefined;
  /** stands between everybody and the servers, of which none may be the caller's own */
  readonly between?: (servers: Endpoints) => Promise<Between>;
  readonly signal?: AbortSignal | undefined;
}

export interface Cloud extends Endpoints {
  /** for whoever uses it, and nothing of the user's own AWS */
  readonly env: Readonly<Record<string, string>>;
  /** where they listen themselves: another place if something stands between */
  readonly servers: Endpoints;
  /** of this run; its logs are in logs/ */
  readonly folder: string;
  /** of what was started here */
  readonly pids: Readonly<Record<string, number>>;
  /** Kills the Batch server and starts it again: same port, same state. Its jobs go on meanwhile. */
  restartBatch(): Promise<void>;
  /** Ends all that was started, and removes the folder. */
  stop(): Promise<void>;
}

/** @throws {Error} one sentence for a user to act on, such as where the log of a server is that doesn't start */
export async function startCloud(options: CloudOptions): Promise<Cloud> {
  const { phases, signal } = options;
  const runs = await runsFolder();
  await removeLeftParts(runs);
  const folder = await makePart(runs);
  const servers = new Map<string, Server>();
  let between: Between | undefined;
  const stop = async (): Promise<void> => {
    await Promise.all([...servers.values()].map((server) => server.stop()));
    await between?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    for (const name of ["logs", "state", "tmp", "home", "scratch", "batch"]) await mkdir(join(folder, name));
    const [localstackPort, batchPort] = await freePorts(2);
    const endpoint = options.endpoint ?? `http://127.0.0.1:${localstackPort}`;
    const batch = options.batch ?? (options.endpoint === undefined ? `http://127.0.0.1:${batchPort}` : endpoint);
    const own = { endpoint, batch };
    between = await options.between?.(own);
    const at: Place = {
      ...(between ?? own),
      servers: own,
      inside: between?.inside,
      folder,
      signal,
      recordsCalls: options.recordsCalls ?? false,
      inspect: options.inspect,
    };
    const grace = options.graceSeconds ?? GRACE_SECONDS;
    const starting: Promise<unknown>[] = [];
    const start = (name: string, server: () => Promise<Server>): void =>
      void starting.push(phases.time(`start ${name}`, async () => servers.set(name, await server())));
    if (options.endpoint === undefined) {
      const venv = await phases.time("install LocalStack", () => needVenv({ say: phases.say }));
      start("LocalStack", () => localstack(at, venv.python));
    }
    if (batch === endpoint) await needBatch(endpoint);
    else if (!(await isThere(batch))) start("Batch", () => batchServer(at, grace));
    // both, though one fails: else the other starts after it was looked for
    const faults = (await Promise.allSettled(starting)).filter((one) => one.status === "rejected");
    if (faults[0] !== undefined) throw faults[0].reason;
    const pids = Object.fromEntries([...servers].map(([name, { pid }]) => [name, pid]));
    const restartBatch = async (): Promise<void> => {
      await servers.get("Batch")?.kill();
      servers.set("Batch", await batchServer(at, grace));
    };
    return {
      endpoint: at.endpoint,
      batch: at.batch,
      env: clientEnv(at),
      servers: own,
      folder,
      pids,
      restartBatch,
      stop,
    };
  } catch (error) {
    const logs = await keepLogs(folder);
    await stop();
    phases.say(`logs: ${logs}`);
    throw error;
  }
}

/** Batch's own, on a machine that is taken back. */
const GRACE_SECONDS = 30;

interface Place extends Endpoints {
  readonly servers: Endpoints;
  readonly inside: string | undefined;
  readonly folder: string;
  readonly signal: AbortSignal | undefined;
  readonly recordsCalls: boolean;
  readonly inspect: string | undefined;
}

function localstack(at: Place, python: string): Promise<Server> {
  const { folder } = at;
  return startServer({
    name: "LocalStack",
    program: python,
    args: ["-m", "accrete_localstack.launch"],
    env: localstackEnv({
      endpoints: at,
      inspect: at.inspect,
      calls: at.recordsCalls ? join(folder, "logs/calls.jsonl") : undefined,
      behind: at.inside === undefined ? undefined : { endpoint: at.servers.endpoint, inside: at.inside },
      folder: { state: join(folder, "state"), tmp: join(folder, "tmp"), home: join(folder, "home") },
      node: process.execPath,
      path: process.env["PATH"] ?? "",
    }),
    cwd: folder,
    logFile: logFile(folder, "localstack"),
    health: `${at.servers.endpoint}/_localstack/health`,
    endBy: "SIGKILL", // SIGTERM takes it ten seconds, and it has nothing to save
    signal: at.signal,
  });
}

function batchServer(at: Place, graceSeconds: number): Promise<Server> {
  const { folder, endpoint, servers } = at;
  const trainer = JSON.stringify([process.execPath, join(ROOT, "trainer/main.ts")]);
  const places = ["--state", join(folder, "batch"), "--scratch", join(folder, "scratch")];
  const calls = at.recordsCalls ? ["--calls", join(folder, "logs/batch-calls.jsonl")] : [];
  // another key than the user's: whose calls are recorded is known by it
  const options = [
    "--env",
    `AWS_ACCESS_KEY_ID=${JOB_KEY}`,
    ...calls,
    "--port",
    new URL(servers.batch).port,
    "--endpoint",
    endpoint,
    "--entrypoint",
    trainer,
    ...places,
  ];
  return startServer({
    name: "Batch",
    program: process.execPath,
    args: [
      "--import",
      join(ROOT, "localstack/end-with-input.ts"),
      join(ROOT, "localstack/batch/main.ts"),
      ...options,
      "--grace",
      String(graceSeconds),
    ],
    env: { ...withoutAws(process.env), ...clientEnv(at), TMPDIR: join(folder, "tmp") },
    cwd: folder,
    logFile: logFile(folder, "batch"),
    health: servers.batch,
    endBy: "SIGTERM", // it ends its jobs, which have groups of their own
    signal: at.signal,
  });
}

const logFile = (folder: string, name: string): string => join(folder, "logs", `${name}.log`);

async function isThere(url: string): Promise<boolean> {
  return await fetch(url).then(
    () => true,
    () => false,
  );
}

/** Free LocalStack has none; the paid one, or one with our plugin, has. */
async function needBatch(endpoint: string): Promise<void> {
  const answer = await fetch(`${endpoint}/v1/describejobqueues`, {
    method: "POST",
    body: "{}",
    headers: {
      "content-type": "application/json",
      authorization: "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/batch/aws4_request",
    },
  }).catch(() => undefined);
  if (answer === undefined) throw new Error(`nobody answers at ${endpoint}`);
  if (!answer.ok)
    throw new Error(
      `the LocalStack at ${endpoint} has no AWS Batch: start it with the folder localstack/plugin in PYTHONPATH and AWS_ENDPOINT_URL_BATCH=http://127.0.0.1:PORT, and give --batch the same URL`,
    );
}

/** The run's folder goes. @returns where they are then */
async function keepLogs(folder: string): Promise<string> {
  const kept = join(localstackRoot(), "last-logs");
  await rm(kept, { recursive: true, force: true });
  await cp(join(folder, "logs"), kept, { recursive: true }).catch(() => {});
  return kept;
}

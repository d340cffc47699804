/** A small AWS Batch: its REST-JSON on 127.0.0.1, jobs as processes or containers of this machine. See README.md. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { messageOf } from "../../protocol/errors.ts";
import type { Resources as Needs } from "./decide.ts";
import { openEvents } from "./events.ts";
import { Jobs } from "./jobs.ts";
import { openTables } from "./journal.ts";
import { openLogs } from "./logs.ts";
import { Resources, type ArnOf } from "./resources.ts";
import { answer, type Service } from "./routes.ts";
import type { Runner } from "./runner.ts";
import { ClientException } from "./validate.ts";

/** The service takes no more of one call. */
const BODY_BYTES_MAX = 1_048_576;
const ACCOUNT = "000000000000";

export interface BatchOptions {
  readonly runner: Runner;
  /** what is known, and what jobs have written; a server that finds one goes on from there */
  readonly folder: string;
  /** @default any that is free */
  readonly port?: number;
  /** of EventBridge and CloudWatch Logs; undefined: nobody is told, and logs stay in the folder */
  readonly endpoint?: string | undefined;
  /** @default us-east-1 */
  readonly region?: string;
  /** of every job, besides what its definition says */
  readonly env?: Readonly<Record<string, string>>;
  /** what this machine has for jobs; @default as much as is asked for */
  readonly host?: Partial<Needs>;
  /** between SIGTERM and SIGKILL @default 30,000, as AWS has it */
  readonly graceMs?: number;
  /** how long a second of a job's time-out or of a queue's limit lasts, for tests @default 1,000 */
  readonly secondMs?: number;
  /** told of each call that was answered, for tests of what is asked for */
  readonly onCall?: (call: AnsweredCall) => void;
  /** what went wrong and is no caller's business @default to standard error */
  readonly onFault?: (message: string) => void;
}

export interface AnsweredCall {
  /** of the credentials that it was signed with; undefined: with none */
  readonly key: string | undefined;
  /** such as /v1/submitjob */
  readonly path: string;
  readonly body: unknown;
}

export interface BatchServer {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  /** Ends what runs. Another server that is opened on the folder takes those machines for lost. */
  close(): Promise<void>;
}

/** @throws {Error} if the port is taken, or another server has the folder */
export async function openBatch(options: BatchOptions): Promise<BatchServer> {
  const { folder, endpoint, region = "us-east-1", graceMs = 30_000, secondMs = 1_000 } = options;
  const onFault = options.onFault ?? ((message) => console.error(message));
  const arnOf: ArnOf = (kind, name) => `arn:aws:batch:${region}:${ACCOUNT}:${kind}/${name}`;
  const tables = openTables(folder);
  const client = endpoint === undefined ? undefined : { endpoint, region, onLost: onFault };
  const events = client && openEvents(client);
  const logs = client && openLogs(client);
  const jobs = new Jobs({
    tables,
    runner: options.runner,
    events,
    logs,
    folder: join(folder, "attempts"),
    env: options.env ?? {},
    host: { vcpus: Infinity, memoryMiB: Infinity, gpus: Infinity, ...options.host },
    graceMs,
    secondMs,
  });
  const service: Service = { tables, resources: new Resources(tables, arnOf), jobs, arnOf };
  const server = createServer(
    (request, response) => void respond(service, request, response, { onFault, onCall: options.onCall }),
  );
  server.listen(options.port ?? 0, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    tables.close();
    throw error;
  }
  jobs.recover();
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await jobs.close();
      tables.close();
      await events?.close();
      logs?.close();
    },
  };
}

async function respond(
  service: Service,
  request: IncomingMessage,
  response: ServerResponse,
  { onFault, onCall }: { onFault: (message: string) => void; onCall: BatchOptions["onCall"] },
): Promise<void> {
  const send = (status: number, body: object, type?: string): void => {
    const error = type === undefined ? {} : { "x-amzn-errortype": type };
    response.writeHead(status, { "content-type": "application/json", "x-amzn-requestid": randomUUID(), ...error });
    response.end(JSON.stringify(body));
  };
  try {
    const { method = "", headers, url = "/" } = request;
    // no page of a browser on this machine may start programs here
    if (headers.origin !== undefined || !/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(headers.host ?? ""))
      return send(403, { message: "not from here" }, "AccessDeniedException");
    const body = await bodyOf(request);
    const asked = new URL(url, "http://127.0.0.1");
    const answered = answer(service, { method, url: asked, body });
    if (answered === undefined)
      return send(404, { message: `no such call: ${method} ${url}` }, "UnknownOperationException");
    onCall?.({ key: /Credential=([^/]+)\//.exec(headers.authorization ?? "")?.[1], path: asked.pathname, body });
    send(200, answered);
  } catch (error) {
    if (error instanceof ClientException) return send(400, { message: error.message }, "ClientException");
    onFault(error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
    send(500, { message: messageOf(error) }, "ServerException");
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new ClientException("the request is too large");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new ClientException("the request is no JSON");
  }
}

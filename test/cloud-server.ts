/**
 * As much of S3 and SQS as the functions use, on loopback: objects in a memory store, messages in a list. It can be told to fail in the ways
 * that a network and a busy service do, so that the SDK's own stack is what answers.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { openMemoryStore, type MemoryStore } from "../adapters/memory-store.ts";
import { openServer } from "./http-server.ts";

/** `-after`: it is carried out, and then not answered as it should be. */
export type CloudFault = "throttled" | "fails" | "conflict" | "hangs" | "fails-after" | "hangs-after" | "drops-after";
type CloudOperation = "PUT" | "GET" | "HEAD" | "LIST" | "DELETE" | "SendMessage";

export interface SentMessage {
  readonly body: string;
  readonly delaySeconds: number;
}

export interface CloudServer {
  readonly url: string;
  /** keys begin with the bucket's name */
  readonly objects: MemoryStore;
  readonly sent: SentMessage[];
  readonly asked: CloudOperation[];
  /** the next calls of an operation fail so, one after the other; null: this one does not */
  fail(operation: CloudOperation, ...faults: (CloudFault | null)[]): void;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body?: string | Uint8Array;
  readonly headers?: Record<string, string>;
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\r", "&#13;");
const failed = (status: number, code: string): Answer => ({
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`,
});

export async function openCloudServer(nowMs: () => number = Date.now): Promise<CloudServer> {
  const objects = openMemoryStore({ nowMs });
  const [sent, asked]: [SentMessage[], CloudOperation[]] = [[], []];
  const faults = new Map<CloudOperation, (CloudFault | null)[]>();

  const store = async (request: IncomingMessage, key: string, body: Buffer): Promise<Answer> => {
    const { "if-none-match": ifNone, "if-match": ifMatch } = request.headers;
    if (ifNone === undefined && ifMatch === undefined) return failed(403, "AccessDenied");
    const expected = ifMatch?.replaceAll('"', "") ?? null;
    const written = await objects.replace(key, body, expected);
    return written === "won"
      ? { status: 200, headers: { etag: `"${(await objects.head(key))?.etag}"` } }
      : failed(412, "PreconditionFailed");
  };
  const fetched = async (key: string, isHead: boolean): Promise<Answer> => {
    const found = await objects.get(key);
    if (found === undefined) return isHead ? { status: 404 } : failed(404, "NoSuchKey");
    const headers = {
      etag: `"${found.etag}"`,
      "last-modified": new Date(found.modifiedMs).toUTCString(),
      "content-length": String(found.body.byteLength),
    };
    return { status: 200, headers, ...(isHead ? {} : { body: found.body }) };
  };
  const listed = async (bucket: string, query: URLSearchParams): Promise<Answer> => {
    const start = `${bucket}/`;
    const after = query.get("start-after");
    const limit = Number(query.get("max-keys") ?? 1_000);
    const page = await objects.list(start + (query.get("prefix") ?? ""), {
      limit,
      ...(after === null ? {} : { after: start + after }),
    });
    const contents = await Promise.all(
      page.objects.map(async ({ key, size, modifiedMs }) => {
        const etag = (await objects.head(key))?.etag ?? "";
        const name = escaped(key.slice(start.length));
        return `<Contents><Key>${name}</Key><LastModified>${new Date(modifiedMs).toISOString()}</LastModified><ETag>"${etag}"</ETag><Size>${size}</Size></Contents>`;
      }),
    );
    return {
      status: 200,
      body: `<?xml version="1.0"?><ListBucketResult><IsTruncated>${page.more}</IsTruncated>${contents.join("")}</ListBucketResult>`,
      headers: { date: new Date(page.nowMs).toUTCString() },
    };
  };
  const send = (body: string): Answer => {
    const { MessageBody, DelaySeconds = 0 } = JSON.parse(body);
    sent.push({ body: MessageBody, delaySeconds: DelaySeconds });
    const digest = createHash("md5").update(MessageBody).digest("hex");
    return {
      status: 200,
      headers: { "content-type": "application/x-amz-json-1.0" },
      body: JSON.stringify({ MessageId: String(sent.length), MD5OfMessageBody: digest }),
    };
  };

  async function respond(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const [path = "", search = ""] = (request.url ?? "").split("?");
    const name = decodeURIComponent(path.slice(1)).replace(/\/$/, "");
    const operation = operationOf(request, name);
    asked.push(operation);
    const fault = faults.get(operation)?.shift() ?? undefined;
    const act = (): Promise<Answer> | Answer => {
      if (operation === "SendMessage") return send(body.toString());
      if (operation === "LIST") return listed(name, new URLSearchParams(search));
      if (operation === "PUT") return store(request, name, body);
      if (operation === "DELETE") return objects.delete(name).then(() => ({ status: 204 }));
      return fetched(name, operation === "HEAD");
    };
    const answer = fault === undefined || fault.endsWith("-after") ? await act() : undefined;
    if (fault === "hangs" || fault === "hangs-after") return;
    if (fault === "drops-after") return void request.socket.destroy();
    const told = fault === undefined && answer !== undefined ? answer : answerOf(fault);
    response.writeHead(told.status, told.headers).end(operation === "HEAD" ? undefined : told.body);
  }

  const { url, close } = await openServer(respond);
  return {
    url,
    objects,
    sent,
    asked,
    fail: (operation, ...kinds) => void faults.set(operation, kinds),
    close,
  };
}

function operationOf({ method, headers }: IncomingMessage, name: string): CloudOperation {
  if (headers["x-amz-target"] === "AmazonSQS.SendMessage") return "SendMessage";
  if (method === "PUT" || method === "DELETE" || method === "HEAD") return method;
  return name.includes("/") ? "GET" : "LIST";
}

function answerOf(fault: CloudFault | undefined): Answer {
  if (fault === "throttled") return failed(503, "SlowDown");
  if (fault === "conflict") return failed(409, "ConditionalRequestConflict");
  return failed(500, "InternalError");
}

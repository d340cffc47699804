/**
 * AWS in memory, below the SDK: S3 answers from stores in memory as its REST API does, the other services with what a test puts there. Each
 * call that a client makes is recorded as its middleware sees it.
 */
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { BatchClient } from "@aws-sdk/client-batch";
import { S3Client } from "@aws-sdk/client-s3";
import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import type { Store } from "../../protocol/ports.ts";
import type { AwsCall } from "./aws-calls.ts";

/** A call, and who has made it. */
export interface Recorded extends AwsCall {
  readonly by: string;
}

/** Objects of a bucket, under keys that begin with `prefix`. */
export interface Bucket {
  readonly store: Store;
  /** that the store's keys are without */
  readonly prefix: string;
  /** keys that S3 answers 403 for */
  readonly forbidden?: ReadonlySet<string>;
}

interface Sent {
  readonly method: string;
  readonly hostname: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}
interface Answer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

const CONFIG = {
  region: "eu-central-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};

/** Something with a middleware stack: every client. */
interface Watched {
  readonly middlewareStack: {
    add(
      middleware: (
        next: (args: { input: object }) => Promise<unknown>,
        context: Record<string, unknown>,
      ) => (args: { input: object }) => Promise<unknown>,
      options: { step: "initialize"; name: string; priority: "high" },
    ): void;
  };
}

/** @param answer instead of AWS; undefined: the client's handler answers */
function record(
  client: object,
  by: string,
  calls: Recorded[],
  service: string,
  answer?: (command: string, input: object) => object,
): void {
  (client as Watched).middlewareStack.add(
    (next, context) => async (args) => {
      const command = String(context["commandName"]).replace(/Command$/, "");
      calls.push({ by, service, command, input: { ...args.input } });
      if (answer === undefined) return next(args);
      return { output: { $metadata: {}, ...answer(command, args.input) }, response: {} };
    },
    { step: "initialize", name: "record", priority: "high" },
  );
}

export function s3Client(by: string, calls: Recorded[], buckets: Readonly<Record<string, Bucket>>): S3Client {
  const s3 = new MemoryS3(buckets);
  const handler = {
    handle: async (request: Sent) => {
      const answer = await s3.answer(request);
      return { response: { ...answer, body: Readable.from([answer.body], { objectMode: false }) } };
    },
  };
  const client = new S3Client({
    ...CONFIG,
    forcePathStyle: true,
    requestHandler: handler as never,
  });
  record(client, by, calls, "S3");
  return client;
}

export function batchClient(by: string, calls: Recorded[], answer: (command: string) => object): BatchClient {
  const client = new BatchClient(CONFIG);
  record(client, by, calls, "Batch", answer);
  return client;
}

export function sqsClient(by: string, calls: Recorded[]): SQSClient {
  const client = new SQSClient(CONFIG);
  record(client, by, calls, "SQS", () => ({ MessageId: "1" }));
  return client;
}

export function snsClient(by: string, calls: Recorded[]): SNSClient {
  const client = new SNSClient(CONFIG);
  record(client, by, calls, "SNS", () => ({ MessageId: "1" }));
  return client;
}

/** What the adapters ask of S3, and no more: anything else is answered 501. */
class MemoryS3 {
  readonly #buckets: Readonly<Record<string, Bucket>>;
  readonly #uploads = new Map<string, Map<number, Uint8Array>>();

  constructor(buckets: Readonly<Record<string, Bucket>>) {
    this.#buckets = buckets;
  }

  async answer(request: Sent): Promise<Answer> {
    const [, name = "", ...rest] = request.path.split("/").map(decodeURIComponent);
    const bucket = this.#buckets[name];
    if (bucket === undefined) return failed(404, "NoSuchBucket");
    const key = rest.join("/");
    if (key === "") return this.#list(bucket, request);
    if (!key.startsWith(bucket.prefix)) return failed(501, "NotImplemented");
    if (bucket.forbidden?.has(key) === true) return failed(403, "AccessDenied");
    const inner = key.slice(bucket.prefix.length);
    const query = request.query ?? {};
    switch (request.method) {
      case "GET":
      case "HEAD":
        return this.#get(bucket.store, inner, request);
      case "PUT":
        return "partNumber" in query ? this.#putPart(request) : this.#put(bucket.store, inner, request);
      case "POST":
        return "uploads" in query ? this.#begin() : this.#complete(bucket.store, inner, request);
      case "DELETE":
        if (!("uploadId" in query)) await bucket.store.delete(inner);
        return { statusCode: 204, headers: headers(), body: new Uint8Array() };
      default:
        return failed(501, "NotImplemented");
    }
  }

  async #list({ store, prefix }: Bucket, { query = {} }: Sent): Promise<Answer> {
    const inner = (name: string): string => String(query[name] ?? "").slice(prefix.length);
    const after = inner("start-after");
    const page = await store.list(inner("prefix"), {
      limit: Number(query["max-keys"] ?? 1_000),
      ...(after === "" ? {} : { after }),
    });
    const contents = page.objects.map(
      ({ key, size, modifiedMs }) =>
        `<Contents><Key>${escape(prefix + key)}</Key><Size>${size}</Size><LastModified>${new Date(modifiedMs).toISOString()}</LastModified><ETag>&quot;0&quot;</ETag></Contents>`,
    );
    const body = `<ListBucketResult><IsTruncated>${page.more}</IsTruncated>${contents.join("")}</ListBucketResult>`;
    return {
      statusCode: 200,
      headers: { ...headers(page.nowMs), "content-type": "application/xml" },
      body: bytes(body),
    };
  }

  async #get(store: Store, key: string, request: Sent): Promise<Answer> {
    const stored = await store.get(key);
    if (stored === undefined) return failed(404, request.method === "HEAD" ? "" : "NoSuchKey");
    const wanted = request.headers["if-match"];
    if (wanted !== undefined && wanted !== `"${stored.etag}"`) return failed(412, "PreconditionFailed");
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers["range"] ?? "") ?? [];
    if (from !== undefined && stored.body.byteLength === 0) return failed(416, "InvalidRange");
    const body = from === undefined ? stored.body : stored.body.subarray(Number(from), Number(to) + 1);
    const all = stored.body.byteLength;
    return {
      statusCode: from === undefined ? 200 : 206,
      headers: {
        ...headers(),
        etag: `"${stored.etag}"`,
        "last-modified": timeOf(stored.modifiedMs),
        "content-length": String(body.byteLength),
        ...(from === undefined
          ? {}
          : { "content-range": `bytes ${from}-${Number(from) + body.byteLength - 1}/${all}` }),
      },
      body: request.method === "HEAD" ? new Uint8Array() : body,
    };
  }

  async #put(store: Store, key: string, request: Sent): Promise<Answer> {
    const body = bodyOf(request);
    const etag = request.headers["if-match"]?.replaceAll('"', "");
    const written = etag === undefined ? await store.create(key, body) : await store.replace(key, body, etag);
    if (written !== "won") return failed(412, "PreconditionFailed");
    return { statusCode: 200, headers: headers(), body: new Uint8Array() };
  }

  #begin(): Answer {
    const id = randomUUID();
    this.#uploads.set(id, new Map());
    return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
  }

  async #putPart(request: Sent): Promise<Answer> {
    const { query = {} } = request;
    const parts = this.#uploads.get(String(query["uploadId"]));
    const number = Number(query["partNumber"]);
    const source = request.headers["x-amz-copy-source"];
    if (source === undefined) {
      parts?.set(number, bodyOf(request));
      return { statusCode: 200, headers: { ...headers(), etag: `"${number}"` }, body: new Uint8Array() };
    }
    const copied = await this.answer({
      method: "GET",
      hostname: request.hostname,
      path: `/${source.replace(/^\//, "")}`,
      headers: { range: request.headers["x-amz-copy-source-range"] ?? "" },
    });
    if (copied.statusCode >= 300) return copied;
    parts?.set(number, copied.body);
    return xml(`<CopyPartResult><ETag>&quot;${number}&quot;</ETag></CopyPartResult>`);
  }

  async #complete(store: Store, key: string, { query = {} }: Sent): Promise<Answer> {
    const id = String(query["uploadId"]);
    const parts = [...(this.#uploads.get(id) ?? [])].toSorted(([a], [b]) => a - b).map(([, body]) => body);
    this.#uploads.delete(id);
    if ((await store.create(key, Buffer.concat(parts))) !== "won") return failed(412, "PreconditionFailed");
    return xml("<CompleteMultipartUploadResult><ETag>&quot;0&quot;</ETag></CompleteMultipartUploadResult>");
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** S3 says whole seconds; the simulation's clock is finer, and its books count by it. */
const timeOf = (ms: number): string =>
  new Date(ms).toUTCString().replace(" GMT", `.${String(ms % 1_000).padStart(3, "0")} GMT`);
const headers = (nowMs = 0): Record<string, string> => ({ date: timeOf(nowMs) });
const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const xml = (text: string): Answer => ({
  statusCode: 200,
  headers: { ...headers(), "content-type": "application/xml" },
  body: bytes(text),
});
const failed = (statusCode: number, code: string): Answer => ({
  statusCode,
  headers: { ...headers(), "content-type": "application/xml" },
  body: code === "" ? new Uint8Array() : bytes(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`),
});

function bodyOf({ body }: Sent): Uint8Array {
  if (typeof body === "string") return bytes(body);
  if (body instanceof Uint8Array) return body;
  throw new Error("a body that is a stream is not known here");
}

/** As much of S3 as the adapters use, on loopback, that fails as it is told: what a real one can't be made to do. */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { openServer } from "./http-server.ts";

/** `wrote`: it has done what was asked for, and answers so nevertheless. */
export type Fault =
  | { readonly status: number; readonly code?: string; readonly message?: string; readonly wrote?: boolean }
  | { readonly answer: "hang" | "reset"; readonly wrote?: boolean }
  /** half of the body, then the connection breaks; a body that is not that of its checksum */
  | { readonly answer: "half" | "damaged" };

export interface Request {
  /** as the SDK calls it, such as "PutObject" */
  readonly operation: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

export interface FakeS3 {
  readonly url: string;
  readonly requests: readonly Request[];
  /** by bucket/key */
  readonly objects: Map<string, Buffer>;
  /** uploads that are neither completed nor aborted */
  readonly uploads: ReadonlyMap<string, unknown>;
  /** the next calls of the operation, and no others; null: that one is answered as it should be */
  fail(operation: string, ...faults: (Fault | null)[]): void;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}
interface Call extends Request {
  /** bucket/key */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}
type Uploads = Map<string, Map<number, Buffer>>;

const md5 = (body: Buffer): string => createHash("md5").update(body).digest("hex");
const sha256 = (body: Buffer): string => createHash("sha256").update(body).digest("base64");
const error = (status: number, code: string, message = `${code} as told`): Answer => ({
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
});

export async function openFakeS3(): Promise<FakeS3> {
  const [requests, objects, uploads]: [Request[], Map<string, Buffer>, Uploads] = [[], new Map(), new Map()];
  const faults = new Map<string, (Fault | null)[]>();
  const { url, close } = await openServer((request, body, response) => {
    const call = callOf(request, body);
    requests.push(call);
    const fault = faults.get(call.operation)?.shift();
    const acts =
      fault == null ||
      ("wrote" in fault && fault.wrote === true) ||
      ("answer" in fault && ["half", "damaged"].includes(fault.answer));
    respond(response, acts ? perform(call, objects, uploads) : { status: 200 }, fault);
  });
  return {
    url,
    requests,
    objects,
    uploads,
    fail: (operation, ...next) => void faults.set(operation, next),
    close,
  };
}

function callOf({ method = "", url = "", headers }: IncomingMessage, body: Buffer): Call {
  const [path = "", search = ""] = url.split("?");
  const query = new URLSearchParams(search);
  const name = decodeURIComponent(path.slice(1));
  return { operation: operationOf(method, name, query, headers), url, headers, name, query, body };
}

function operationOf(
  method: string,
  name: string,
  query: URLSearchParams,
  headers: IncomingMessage["headers"],
): string {
  if (!name.includes("/") || name.endsWith("/")) return method === "HEAD" ? "HeadBucket" : "ListObjectsV2";
  if (query.has("uploads")) return "CreateMultipartUpload";
  if (query.has("partNumber")) return "x-amz-copy-source" in headers ? "UploadPartCopy" : "UploadPart";
  if (query.has("uploadId")) return method === "POST" ? "CompleteMultipartUpload" : "AbortMultipartUpload";
  return `${method[0]}${method.slice(1).toLowerCase()}Object`;
}

function respond(response: ServerResponse, answer: Answer, fault: Fault | null | undefined): void {
  const { status, headers = {}, body = "" } = answer;
  if (fault && "status" in fault) {
    const told = error(fault.status, fault.code ?? "InternalError", fault.message);
    response.writeHead(told.status).end(response.req.method === "HEAD" ? undefined : told.body);
  } else if (fault?.answer === "hang") return;
  else if (fault?.answer === "reset") response.destroy();
  else if (fault?.answer === "half") {
    response.writeHead(status, { ...headers, "content-length": String(body.length) });
    response.write(body.slice(0, body.length >> 1), () => response.destroy());
  } else if (fault?.answer === "damaged") {
    const damaged = Buffer.from(body);
    damaged[0]! ^= 1;
    response.writeHead(status, headers).end(damaged);
  } else response.writeHead(status, headers).end(body);
}

function perform(call: Call, objects: Map<string, Buffer>, uploads: Uploads): Answer {
  const { operation, name, query, body, headers } = call;
  const before = objects.get(name);
  const upload = uploads.get(query.get("uploadId") ?? "");
  switch (operation) {
    case "PutObject":
      return write(call, body, objects);
    case "CreateMultipartUpload": {
      const id = `upload-${uploads.size}-${name.length}`;
      uploads.set(id, new Map());
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
    }
    case "UploadPartCopy": {
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(String(headers["x-amz-copy-source-range"])) ?? [];
      const source = objects.get(decodeURIComponent(String(headers["x-amz-copy-source"])));
      if (upload === undefined || source === undefined) return error(404, "NoSuchKey");
      const part = source.subarray(Number(start), Number(end) + 1);
      upload.set(Number(query.get("partNumber")), part);
      return xml(`<CopyPartResult><ETag>"${md5(part)}"</ETag></CopyPartResult>`);
    }
    case "UploadPart":
      if (upload === undefined) return error(404, "NoSuchUpload");
      if (headers["x-amz-checksum-sha256"] !== sha256(body)) return error(400, "BadDigest");
      upload.set(Number(query.get("partNumber")), body);
      return { status: 200, headers: { etag: `"${md5(body)}"` } };
    case "CompleteMultipartUpload": {
      if (upload === undefined) return error(404, "NoSuchUpload");
      const parts = [...upload].sort(([a], [b]) => a - b).map(([, part]) => part);
      const written = write(call, Buffer.concat(parts), objects);
      if (written.status !== 200) return written;
      uploads.delete(query.get("uploadId")!);
      return xml(`<CompleteMultipartUploadResult><ETag>"x-1"</ETag></CompleteMultipartUploadResult>`);
    }
    case "AbortMultipartUpload":
      return uploads.delete(query.get("uploadId")!) ? { status: 204 } : error(404, "NoSuchUpload");
    case "DeleteObject":
      objects.delete(name);
      return { status: 204 };
    case "HeadBucket":
      return { status: 200 };
    case "ListObjectsV2":
      return list(call, objects);
    default:
      return before === undefined ? error(404, "NoSuchKey") : read(call, before);
  }
}

/** One page, of keys as S3 writes them: what XML has no character for is a number. */
function list({ name, query }: Call, objects: Map<string, Buffer>): Answer {
  const escaped = (key: string): string => key.replace(/[\0-\x20&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
  const contents = [...objects]
    .map(([object, body]): [string, Buffer] => [object.slice(name.replace(/\/$/, "").length + 1), body])
    .filter(([key]) => key.startsWith(query.get("prefix") ?? ""))
    .map(([key, body]) => `<Contents><Key>${escaped(key)}</Key><Size>${body.length}</Size></Contents>`);
  return xml(`<ListBucketResult>${contents.join("")}<IsTruncated>false</IsTruncated></ListBucketResult>`);
}

const xml = (body: string): Answer => ({ status: 200, body: `<?xml version="1.0"?>${body}` });

function write({ name, headers }: Call, body: Buffer, objects: Map<string, Buffer>): Answer {
  const before = objects.get(name);
  const expected = headers["if-match"];
  if (headers["if-none-match"] === "*" && before !== undefined) return error(412, "PreconditionFailed");
  if (expected !== undefined && before === undefined) return error(404, "NoSuchKey");
  if (expected !== undefined && expected !== `"${md5(before!)}"`) return error(412, "PreconditionFailed");
  objects.set(name, body);
  return { status: 200, headers: { etag: `"${md5(body)}"` } };
}

function read({ operation, headers }: Call, object: Buffer): Answer {
  const etag = `"${md5(object)}"`;
  if (headers["if-match"] !== undefined && headers["if-match"] !== etag) return error(412, "PreconditionFailed");
  const common = { etag, "last-modified": new Date().toUTCString() };
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
  if (operation === "HeadObject") return { status: 200, headers: { ...common, "content-length": `${object.length}` } };
  if (start === undefined)
    return { status: 200, headers: { ...common, "x-amz-checksum-sha256": sha256(object) }, body: object };
  if (Number(start) >= object.length) return error(416, "InvalidRange");
  const body = object.subarray(Number(start), Number(end) + 1);
  const range = `bytes ${start}-${Number(start) + body.length - 1}/${object.length}`;
  return { status: 206, headers: { ...common, "content-range": range }, body };
}

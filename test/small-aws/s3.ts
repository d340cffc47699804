/** As much of S3 as the adapters use, in memory: conditional writes, pages, ranges, uploads in parts. For tests on loopback. */
import { createHash, randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export interface SmallObject {
  readonly body: Buffer;
  readonly etag: string;
  readonly modified: Date;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface S3Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
export interface S3Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

const md5 = (body: Buffer): Buffer => createHash("md5").update(body).digest();
const xml = (name: string, inner: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?><${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${name}>`;
const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const failure = (status: number, code: string): S3Answer => ({
  status,
  body: `<Error><Code>${code}</Code><Message>${code}</Message></Error>`,
});

export class SmallS3 {
  /** by bucket, then key */
  readonly buckets = new Map<string, Map<string, SmallObject>>();
  /** what GetBucketNotificationConfiguration answers, by bucket: XML */
  readonly notifications = new Map<string, string>();
  readonly region: string;
  /** of buckets that are not in `region` */
  readonly elsewhere = new Map<string, string>();
  readonly #uploads = new Map<string, { parts: Map<number, Buffer>; metadata: Record<string, string> }>();

  constructor(region: string) {
    this.region = region;
  }

  answer(request: S3Request): S3Answer {
    const [, name = "", ...rest] = request.url.pathname.split("/").map(decodeURIComponent);
    const key = rest.join("/");
    const bucket = this.buckets.get(name);
    if (bucket === undefined) return failure(404, "NoSuchBucket");
    const region = this.elsewhere.get(name) ?? this.region;
    if (!request.headers.authorization?.includes(`/${region}/s3/aws4_request`))
      return { ...failure(301, "PermanentRedirect"), headers: { "x-amz-bucket-region": region } };
    if (key === "") return this.#ofBucket(name, bucket, request);
    const query = request.url.searchParams;
    if (request.method === "POST" && query.has("uploads")) return this.#begin(request);
    if (request.method === "PUT" && query.has("uploadId")) return this.#part(query, request.body);
    if (request.method === "POST" && query.has("uploadId")) return this.#complete(bucket, key, request);
    switch (request.method) {
      case "PUT":
        return put(bucket, key, request, { body: request.body, etag: md5(request.body).toString("hex") });
      case "GET":
      case "HEAD":
        return read(bucket, key, request);
      case "DELETE":
        if (query.has("uploadId")) this.#uploads.delete(query.get("uploadId")!);
        else bucket.delete(key);
        return { status: 204 };
      default:
        return failure(501, "NotImplemented");
    }
  }

  #ofBucket(name: string, bucket: Map<string, SmallObject>, { method, url }: S3Request): S3Answer {
    if (method === "HEAD") return { status: 200, headers: { "x-amz-bucket-region": this.region } };
    if (url.searchParams.has("notification"))
      return { status: 200, body: xml("NotificationConfiguration", this.notifications.get(name) ?? "") };
    return list(bucket, url.searchParams);
  }

  #begin({ headers }: S3Request): S3Answer {
    const id = randomUUID();
    this.#uploads.set(id, { parts: new Map(), metadata: metadataOf(headers) });
    return { status: 200, body: xml("InitiateMultipartUploadResult", `<UploadId>${id}</UploadId>`) };
  }

  #part(query: URLSearchParams, body: Buffer): S3Answer {
    const upload = this.#uploads.get(query.get("uploadId") ?? "");
    if (upload === undefined) return failure(404, "NoSuchUpload");
    upload.parts.set(Number(query.get("partNumber")), body);
    return { status: 200, headers: { etag: `"${md5(body).toString("hex")}"` } };
  }

  #complete(bucket: Map<string, SmallObject>, key: string, request: S3Request): S3Answer {
    const upload = this.#uploads.get(request.url.searchParams.get("uploadId") ?? "");
    if (upload === undefined) return failure(404, "NoSuchUpload");
    const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, body]) => body);
    const etag = `${md5(Buffer.concat(parts.map(md5))).toString("hex")}-${parts.length}`;
    const done = put(bucket, key, request, { body: Buffer.concat(parts), etag, metadata: upload.metadata });
    if (done.status !== 200) return done;
    return { status: 200, body: xml("CompleteMultipartUploadResult", `<ETag>"${etag}"</ETag>`) };
  }
}

function metadataOf(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.startsWith("x-amz-meta-") ? [[name.slice("x-amz-meta-".length), String(value)]] : [],
    ),
  );
}

function put(
  bucket: Map<string, SmallObject>,
  key: string,
  { headers }: S3Request,
  { body, etag, metadata = metadataOf(headers) }: { body: Buffer; etag: string; metadata?: Record<string, string> },
): S3Answer {
  const there = bucket.get(key);
  if (headers["if-none-match"] === "*" && there !== undefined) return failure(412, "PreconditionFailed");
  const expected = headers["if-match"];
  if (expected !== undefined && there === undefined) return failure(404, "NoSuchKey");
  if (expected !== undefined && expected.replaceAll('"', "") !== there?.etag) return failure(412, "PreconditionFailed");
  bucket.set(key, { body, etag, metadata, modified: wholeSecond() });
  return { status: 200, headers: { etag: `"${etag}"` } };
}

/** As S3 has it: finer times would be after those of an answer's Date. */
function wholeSecond(): Date {
  return new Date(Math.floor(Date.now() / 1_000) * 1_000);
}

function read(bucket: Map<string, SmallObject>, key: string, { method, headers }: S3Request): S3Answer {
  const there = bucket.get(key);
  if (there === undefined) return method === "HEAD" ? { status: 404 } : failure(404, "NoSuchKey");
  const expected = headers["if-match"];
  if (expected !== undefined && expected.replaceAll('"', "") !== there.etag) return failure(412, "PreconditionFailed");
  const common = {
    etag: `"${there.etag}"`,
    "last-modified": there.modified.toUTCString(),
    ...Object.fromEntries(Object.entries(there.metadata).map(([name, value]) => [`x-amz-meta-${name}`, value])),
  };
  if (method === "HEAD") return { status: 200, headers: { ...common, "content-length": String(there.body.length) } };
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
  if (from === undefined) return { status: 200, headers: common, body: there.body };
  const last = Math.min(to === "" ? Infinity : Number(to), there.body.length - 1);
  if (Number(from) > last) return failure(416, "InvalidRange");
  const range = { "content-range": `bytes ${from}-${last}/${there.body.length}` };
  return { status: 206, headers: { ...common, ...range }, body: there.body.subarray(Number(from), last + 1) };
}

function list(bucket: Map<string, SmallObject>, query: URLSearchParams): S3Answer {
  const prefix = query.get("prefix") ?? "";
  const after = query.get("start-after") ?? "";
  const delimiter = query.get("delimiter");
  const folders = new Set<string>();
  const contents: string[] = [];
  let more = false;
  for (const [key, { body, etag, modified }] of [...bucket].sort(([a], [b]) =>
    Buffer.compare(Buffer.from(a), Buffer.from(b)),
  )) {
    if (!key.startsWith(prefix) || (after !== "" && Buffer.compare(Buffer.from(key), Buffer.from(after)) <= 0))
      continue;
    if (contents.length >= Number(query.get("max-keys") ?? 1_000)) {
      more = true;
      break;
    }
    const cut = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut >= 0) folders.add(key.slice(0, cut + 1));
    else
      contents.push(
        `<Contents><Key>${escape(key)}</Key><ETag>"${etag}"</ETag><Size>${body.length}</Size><LastModified>${modified.toISOString()}</LastModified></Contents>`,
      );
  }
  const prefixes = [...folders].map((folder) => `<CommonPrefixes><Prefix>${escape(folder)}</Prefix></CommonPrefixes>`);
  return {
    status: 200,
    body: xml(
      "ListBucketResult",
      `<IsTruncated>${more}</IsTruncated><KeyCount>${contents.length}</KeyCount>${contents.join("")}${prefixes.join("")}`,
    ),
  };
}

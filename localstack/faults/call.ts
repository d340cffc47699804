/** What a request to AWS asks for, as far as a fault has to be aimed: read off as each of AWS' protocols says it. */
import type { IncomingHttpHeaders } from "node:http";

/** Who asks: the product's programs and tools, or LocalStack itself, on behalf of a rule, a bucket or an event source mapping. */
export type Side = "outside" | "inside";

export interface Call {
  readonly side: Side;
  /** as it signs, such as "s3", "sqs", "events", "batch"; "" of a request that is not signed */
  readonly service: string;
  /** such as "PutObject"; of Batch "SubmitJob"; "" of what is none of ours */
  readonly operation: string;
  /** with the query */
  readonly path: string;
  readonly body: Buffer;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export function callOf(side: Side, { method, path, headers, body }: Asked): Call {
  const [, service = ""] =
    /Credential=[^/]*\/\d+\/[^/]+\/([^/]+)\/aws4_request/.exec(headers.authorization ?? "") ?? [];
  const target = String(headers["x-amz-target"] ?? "");
  const operation =
    service === "s3"
      ? s3Operation(method, new URL(path, "http://s3"), headers)
      : service === "batch"
        ? batchOperation(path)
        : target !== ""
          ? target.slice(target.lastIndexOf(".") + 1)
          : (new URLSearchParams(body.toString("latin1", 0, QUERY_BYTES)).get("Action") ?? "");
  return { side, service, operation, path, body };
}

/** A query's action comes early. */
const QUERY_BYTES = 4_096;

/** /v1/submitjob -> SubmitJob, of those that the product calls. */
function batchOperation(path: string): string {
  const name = /^\/v1\/(\w+)/.exec(path)?.[1] ?? "";
  return ["SubmitJob", "DescribeJobs", "ListJobs", "TerminateJob"].find((one) => one.toLowerCase() === name) ?? name;
}

function s3Operation(method: string, { pathname, searchParams }: URL, headers: IncomingHttpHeaders): string {
  const isObject = /^\/[^/]+\/./.test(pathname);
  if (method === "POST" && searchParams.has("uploads")) return "CreateMultipartUpload";
  if (method === "POST" && searchParams.has("uploadId")) return "CompleteMultipartUpload";
  if (!isObject) return method === "GET" && searchParams.has("list-type") ? "ListObjectsV2" : "";
  const isCopy = "x-amz-copy-source" in headers;
  switch (method) {
    case "PUT":
      return `${searchParams.has("partNumber") ? "UploadPart" : isCopy ? "CopyObject" : "PutObject"}${searchParams.has("partNumber") && isCopy ? "Copy" : ""}`;
    case "GET":
      return "GetObject";
    case "HEAD":
      return "HeadObject";
    case "DELETE":
      return searchParams.has("uploadId") ? "AbortMultipartUpload" : "DeleteObject";
    default:
      return "";
  }
}

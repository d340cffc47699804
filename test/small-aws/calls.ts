/** Requests as AWS gets them, named as its SDK names the calls: what a program really asked for, whatever process it is. */
import type { S3Request } from "./s3.ts";

export interface SmallCall {
  /** the access key's id: who has asked */
  readonly by: string;
  /** such as "S3" */
  readonly service: string;
  /** such as "PutObject" */
  readonly command: string;
  readonly input: Readonly<Record<string, unknown>>;
}

const BATCH: Readonly<Record<string, string>> = {
  describejobs: "DescribeJobs",
  listjobs: "ListJobs",
  submitjob: "SubmitJob",
  terminatejob: "TerminateJob",
};
/** by the first part of x-amz-target */
const TARGETS: readonly (readonly [RegExp, string])[] = [
  [/^AmazonSQS/, "SQS"],
  [/^Logs_/, "CloudWatch Logs"],
  [/^ServiceQuotas/, "Service Quotas"],
];
const FORMS: Readonly<Record<string, string>> = {
  DescribeStacks: "CloudFormation",
  GetCallerIdentity: "STS",
  AssumeRole: "STS",
  Publish: "SNS",
};

/** @throws {Error} a request of a service that is not known here */
export function callOf(request: S3Request): SmallCall {
  const by = /Credential=([^/,\s]+)/.exec(request.headers.authorization ?? "")?.[1] ?? "";
  return { by, ...named(request) };
}

function named(request: S3Request): Omit<SmallCall, "by"> {
  const { headers, url, body } = request;
  const json = (): Record<string, unknown> => JSON.parse(body.toString() || "{}") as Record<string, unknown>;
  const target = headers["x-amz-target"];
  if (typeof target === "string") {
    const [prefix = "", command = ""] = target.split(".");
    const service = TARGETS.find(([pattern]) => pattern.test(prefix))?.[1];
    if (service === undefined) throw new Error(`${target}: which service?`);
    return { service, command, input: json() };
  }
  const batch = BATCH[/^\/v1\/(\w+)$/.exec(url.pathname)?.[1] ?? ""];
  if (batch !== undefined) return { service: "Batch", command: batch, input: json() };
  if (headers["content-type"]?.startsWith("application/x-www-form-urlencoded") === true) {
    const { Action = "", ...input } = Object.fromEntries(new URLSearchParams(body.toString()));
    const service = FORMS[Action];
    if (service === undefined) throw new Error(`${Action}: which service?`);
    return { service, command: Action, input };
  }
  return s3Call(request);
}

function s3Call({ method, url, headers }: S3Request): Omit<SmallCall, "by"> {
  const [, bucket = "", ...rest] = url.pathname.split("/").map(decodeURIComponent);
  const key = rest.join("/");
  const query = url.searchParams;
  const given: Readonly<Record<string, unknown>> = {
    Prefix: query.get("prefix"),
    Delimiter: query.get("delimiter"),
    MaxKeys: query.get("max-keys"),
    VersionId: query.get("versionId"),
    IfNoneMatch: headers["if-none-match"],
    IfMatch: headers["if-match"],
    CopySource: headers["x-amz-copy-source"],
    Tagging: headers["x-amz-tagging"],
    ExpectedBucketOwner: headers["x-amz-expected-bucket-owner"],
  };
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
  const of = key === "" ? { Bucket: bucket } : { Bucket: bucket, Key: key };
  return { service: "S3", command: s3Command(method, key, query, "CopySource" in input), input: { ...of, ...input } };
}

function s3Command(method: string, key: string, query: URLSearchParams, copies: boolean): string {
  const inParts = query.has("uploadId");
  if (key === "") {
    if (method === "HEAD") return "HeadBucket";
    return query.has("notification") ? "GetBucketNotificationConfiguration" : "ListObjectsV2";
  }
  if (method === "PUT") {
    if (inParts) return copies ? "UploadPartCopy" : "UploadPart";
    return copies ? "CopyObject" : "PutObject";
  }
  if (method === "POST") return inParts ? "CompleteMultipartUpload" : "CreateMultipartUpload";
  if (method === "DELETE") return inParts ? "AbortMultipartUpload" : "DeleteObject";
  return method === "HEAD" ? "HeadObject" : "GetObject";
}

/** What the state's and the data's adapter on S3 have in common: the client, whole answers, and what S3's errors mean. */
import {
  GetObjectCommand,
  S3Client,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import type { InitializeMiddleware } from "@smithy/types";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Written } from "../protocol/ports.ts";
import { awsClientOptions, type AwsClientOptions } from "./aws-client.ts";
import { fileError } from "./file-errors.ts";

/** A bucket, and the account that it has to belong to: names are given up and taken by others. */
export interface S3Bucket {
  readonly client: S3Client;
  readonly bucket: string;
  /** 12 digits */
  readonly owner: string;
}

export function openS3Client(options: AwsClientOptions & { readonly config?: S3ClientConfig } = {}): S3Client {
  return new S3Client({
    ...awsClientOptions(options),
    // by default each body over 2 MiB is asked for, on a connection of its own
    expectContinueHeader: false,
    ...options.config,
  });
}

/** What may go well the next time: the SDK's retries go by this property. */
class HalfAnAnswer extends Error {
  readonly $retryable = {};
}

/**
 * GetObject, with its body. The body is read within the client's retries: one that breaks off or does not fit its checksum is asked
 * for again, as an answer that did not come would be.
 * @throws what the SDK throws
 */
export async function getWhole(
  client: S3Client,
  input: GetObjectCommandInput,
  abortSignal?: AbortSignal,
): Promise<GetObjectCommandOutput & { readonly body: Uint8Array }> {
  let body: Uint8Array = new Uint8Array();
  const command = new GetObjectCommand(input);
  const read: InitializeMiddleware<GetObjectCommandInput, GetObjectCommandOutput> = (next) => async (args) => {
    const result = await next(args);
    const { Body, ContentLength } = result.output;
    try {
      body = (await Body?.transformToByteArray()) ?? new Uint8Array();
    } catch (cause) {
      throw new HalfAnAnswer(`the answer broke off: ${messageOf(cause)}`, { cause });
    }
    if (ContentLength !== undefined && body.byteLength !== ContentLength)
      throw new HalfAnAnswer(`the answer has ${body.byteLength} of ${ContentLength} bytes`);
    return result;
  };
  const within = { toMiddleware: "retryMiddleware", relation: "after" } as const;
  command.middlewareStack.addRelativeTo(read, { ...within, name: "accreteBody", override: true });
  const output = await client.send(command, abortSignal === undefined ? {} : { abortSignal });
  return { ...output, body };
}

/** S3 writes them with quotes; without, they are what events and the protocol have. */
export const withoutQuotes = (etag: string | undefined): string => (etag ?? "").replace(/^"|"$/g, "");
export const quoted = (etag: string): string => `"${etag}"`;

/** The SDK's name of an error, such as "NoSuchKey"; "" for anything else that was thrown. */
export const nameOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.name : "");

export function statusOf(thrown: unknown): number | undefined {
  if (typeof thrown !== "object" || thrown === null || !("$metadata" in thrown)) return undefined;
  const { $metadata } = thrown;
  if (typeof $metadata !== "object" || $metadata === null || !("httpStatusCode" in $metadata)) return undefined;
  return typeof $metadata.httpStatusCode === "number" ? $metadata.httpStatusCode : undefined;
}

/** There is no such object; whether there is no such bucket is another matter, which only HEAD can't tell. */
export function isNoKey(thrown: unknown): boolean {
  return statusOf(thrown) === 404 && nameOf(thrown) !== "NoSuchBucket" && nameOf(thrown) !== "NoSuchUpload";
}

/** A call's limit is over, or its connection broke: nobody knows what became of it. */
const CONNECTION = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ENOTFOUND",
  "ENETUNREACH",
  "EHOSTUNREACH",
]);

/**
 * Whether it may go well another time, and may have gone well this time: time-outs, 5xx, 409 (somebody else is writing), 429, and an
 * upload that is gone, since a first try may have finished it.
 */
export function mayPass(thrown: unknown): boolean {
  const [status, name] = [statusOf(thrown), nameOf(thrown)];
  if (status !== undefined && (status >= 500 || status === 409 || status === 429)) return true;
  if (["TimeoutError", "RequestTimeout", "SlowDown", "InternalError", "NoSuchUpload"].includes(name)) return true;
  if (thrown instanceof HalfAnAnswer) return true;
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return typeof code === "string" && CONNECTION.has(code);
}

/**
 * What a conditional write that has thrown has come to.
 * @throws {AccreteError} and whatever says nothing about the write
 */
export function outcomeOf(thrown: unknown, what: string): Written {
  // 412: the condition; 404: If-Match on a key that does not exist
  if (statusOf(thrown) === 412 || nameOf(thrown) === "NoSuchKey") return "lost";
  if (mayPass(thrown)) return "unknown";
  throw s3Error(thrown, what);
}

const NOT_SIGNED_IN = new Set([
  "CredentialsProviderError",
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidToken",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
]);

/** The bucket is in another region, or there is none of that name. */
const NO_BUCKET = new Set([
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "InvalidBucketName",
  "NoSuchBucket",
  "PermanentRedirect",
]);

/**
 * What a user can mend gets a code; the rest stays as it was thrown, as it may pass.
 * @param what s3://bucket/key, for the message
 */
export function s3Error(thrown: unknown, what: string): unknown {
  if (thrown instanceof AccreteError) return thrown;
  const [name, status] = [nameOf(thrown), statusOf(thrown)];
  const message = `${what}: ${name === "" ? "" : `${name}: `}${messageOf(thrown)}`;
  if (NOT_SIGNED_IN.has(name) || messageOf(thrown) === "Region is missing")
    return new AccreteError("AWS_NOT_SIGNED_IN", message, { cause: thrown });
  if (NO_BUCKET.has(name) || status === 301) return new AccreteError("BUCKET_NOT_FOUND", message, { cause: thrown });
  if (name === "KeyTooLongError") return new AccreteError("UNSAFE_KEY", message, { cause: thrown });
  if (status === 403 && name !== "RequestTimeTooSkewed")
    return new AccreteError("STORE_FORBIDDEN", message, { cause: thrown });
  return fileError(thrown, what);
}

/** What the state's and the data's adapter on S3 have in common: the client, whole answers, and what S3's errors mean. */
import {
  GetObjectCommand,
  S3Client,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import type { InitializeMiddleware } from "@smithy/types";
import { messageOf } from "../protocol/errors.ts";
import type { Written } from "../protocol/ports.ts";
import { awsClientOptions, type AwsClientOptions } from "./aws-client.ts";
import { lastingFromAws, passes, statusOf } from "./aws-errors.ts";
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

/** There is no such object; whether there is no such bucket is another matter, which only HEAD can't tell. */
export function isNoKey(thrown: unknown): boolean {
  return statusOf(thrown) === 404 && nameOf(thrown) !== "NoSuchBucket" && nameOf(thrown) !== "NoSuchUpload";
}

/**
 * Whether it may go well another time, and may have gone well this time: what passes, 409 (somebody else is writing), and an upload that is
 * gone, since a first try may have finished it.
 */
export function mayPass(thrown: unknown): boolean {
  return (
    thrown instanceof HalfAnAnswer || statusOf(thrown) === 409 || nameOf(thrown) === "NoSuchUpload" || passes(thrown)
  );
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

/**
 * What a user can mend gets a code; the rest stays as it was thrown, as it may pass.
 * @param what s3://bucket/key, for the message
 */
export function s3Error(thrown: unknown, what: string): unknown {
  const lasting = lastingFromAws(thrown, what);
  return lasting === thrown ? fileError(thrown, what) : lasting;
}

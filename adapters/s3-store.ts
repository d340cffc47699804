/**
 * The state in a bucket. Its promises are S3's own: reads and lists see the last finished write; `If-None-Match: *` and `If-Match` let
 * one writer win. A conditional write is sent once: what a time-out, a 5xx or a 409 has come to, the next read says.
 */
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
} from "@aws-sdk/client-s3";
import type { DeserializeMiddleware } from "@smithy/types";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { LIST_MAX, type FileDigest, type Page, type Store, type Stored, type Written } from "../protocol/ports.ts";
import { once } from "./aws-client.ts";
import { statusOf } from "./aws-errors.ts";
import { fileError } from "./file-errors.ts";
import { getWhole, isNoKey, outcomeOf, quoted, s3Error, withoutQuotes, type S3Bucket } from "./s3-client.ts";
import { copyParts, downloadParts, PART_BYTES, uploadParts } from "./s3-transfer.ts";

/** readToFile() begins again with an object that was replaced while it was read. */
const LOOKS_MAX = 5;

export interface S3StoreOptions extends S3Bucket {
  /** the pipeline's: keys are relative to it; "": to the bucket */
  readonly prefix: string;
}

/**
 * All methods throw AccreteError as lastingFromAws() has them, UNSAFE_KEY or OUT_OF_DISK where a user can mend it, and
 * what the SDK throws where that may pass, its own retries being used up.
 */
export function openS3Store(options: S3StoreOptions): Store {
  return new S3Store(options);
}

class S3Store implements Store {
  readonly #at: S3Bucket;
  readonly #root: string;

  constructor({ prefix, ...at }: S3StoreOptions) {
    this.#at = at;
    this.#root = prefix === "" ? "" : `${prefix}/`;
  }

  create(key: string, body: Uint8Array): Promise<Written> {
    return this.#put(key, body, { IfNoneMatch: "*" });
  }

  replace(key: string, body: Uint8Array, expected: string | null): Promise<Written> {
    return this.#put(key, body, expected === null ? { IfNoneMatch: "*" } : { IfMatch: quoted(expected) });
  }

  async get(key: string): Promise<Stored | undefined> {
    return this.#read(key, async () => {
      const { body, ETag, LastModified } = await getWhole(this.#at.client, this.#object(key));
      return { body, etag: withoutQuotes(ETag), modifiedMs: LastModified?.getTime() ?? 0 };
    });
  }

  async head(key: string): Promise<{ size: number; etag: string; modifiedMs: number } | undefined> {
    return this.#read(key, async () => {
      const { ContentLength, ETag, LastModified } = await this.#at.client.send(
        new HeadObjectCommand(this.#object(key)),
      );
      return { size: ContentLength ?? 0, etag: withoutQuotes(ETag), modifiedMs: LastModified?.getTime() ?? 0 };
    });
  }

  async list(prefix: string, options: { after?: string; limit?: number } = {}): Promise<Page> {
    const { bucket, owner } = this.#at;
    const { after = "", limit = LIST_MAX } = options;
    try {
      const { answer, nowMs } = await this.#listed({
        Bucket: bucket,
        ExpectedBucketOwner: owner,
        Prefix: this.#root + prefix,
        MaxKeys: Math.min(limit, LIST_MAX),
        ...(after === "" ? {} : { StartAfter: this.#root + after }),
      });
      const objects = (answer.Contents ?? []).map(({ Key = "", Size = 0, LastModified }) => ({
        key: Key.slice(this.#root.length),
        size: Size,
        modifiedMs: LastModified?.getTime() ?? 0,
      }));
      // the header's date has no milliseconds: no age is negative
      const newestMs = objects.reduce((newest, { modifiedMs }) => Math.max(newest, modifiedMs), nowMs);
      return { objects, more: answer.IsTruncated === true, nowMs: newestMs };
    } catch (error) {
      throw s3Error(error, this.#name(prefix));
    }
  }

  async delete(key: string): Promise<void> {
    try {
      await this.#at.client.send(new DeleteObjectCommand(this.#object(key)));
    } catch (error) {
      throw s3Error(error, this.#name(key));
    }
  }

  async createFromFile(key: string, path: string): Promise<Written> {
    const file = await open(path).catch((error: unknown) => {
      throw fileError(error, path, dirname(path));
    });
    try {
      const { size } = await file.stat();
      if (size <= PART_BYTES) return await this.create(key, await file.readFile());
      await uploadParts(this.#at, this.#root + key, file, size);
      return "won";
    } catch (error) {
      return outcomeOf(error, this.#name(key));
    } finally {
      await file.close();
    }
  }

  async readToFile(key: string, path: string): Promise<FileDigest | undefined> {
    return this.#read(key, async () => {
      for (let looks = 1; ; looks++) {
        try {
          return await downloadParts(this.#at, { key: this.#root + key }, path);
        } catch (error) {
          if (statusOf(error) !== 412 || looks === LOOKS_MAX) throw error;
        }
      }
    });
  }

  async copy(from: string, to: string): Promise<Written> {
    const source = await this.head(from);
    const missing = new AccreteError("STATE_MISSING", `${from}: not there to be copied to ${to}`);
    if (source === undefined) throw missing;
    if (source.size <= PART_BYTES) {
      // one answer more than S3's own copy, which does not heed If-None-Match everywhere
      const stored = await this.get(from);
      if (stored === undefined) throw missing;
      return this.create(to, stored.body);
    }
    try {
      const key = this.#root + to;
      await copyParts(this.#at, { key, from: this.#root + from, etag: source.etag, size: source.size });
      return "won";
    } catch (error) {
      return outcomeOf(error, this.#name(to));
    }
  }

  async #put(key: string, body: Uint8Array, condition: { IfNoneMatch: "*" } | { IfMatch: string }): Promise<Written> {
    const ChecksumSHA256 = Buffer.from(sha256(body), "hex").toString("base64");
    try {
      await this.#at.client.send(
        once(new PutObjectCommand({ ...this.#object(key), ...condition, Body: body, ChecksumSHA256 })),
      );
      return "won";
    } catch (error) {
      return outcomeOf(error, this.#name(key));
    }
  }

  /** undefined if there is no such object */
  async #read<T>(key: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (isNoKey(error)) return undefined;
      throw s3Error(error, this.#name(key));
    }
  }

  /** With the store's clock, which only a header of the answer tells. */
  async #listed(input: ListObjectsV2CommandInput): Promise<{ answer: ListObjectsV2CommandOutput; nowMs: number }> {
    let date: string | undefined;
    const command = new ListObjectsV2Command(input);
    const readDate: DeserializeMiddleware<ListObjectsV2CommandInput, ListObjectsV2CommandOutput> =
      (next) => async (args) => {
        const result = await next(args);
        date = dateOf(result.response);
        return result;
      };
    command.middlewareStack.add(readDate, { step: "deserialize", name: "accreteDate" });
    const answer = await this.#at.client.send(command);
    const nowMs = Date.parse(date ?? "");
    if (Number.isNaN(nowMs)) throw new Error(`S3 has answered without its time: Date is ${date ?? "not there"}`);
    return { answer, nowMs };
  }

  #object(key: string): { Bucket: string; Key: string; ExpectedBucketOwner: string } {
    return { Bucket: this.#at.bucket, Key: this.#root + key, ExpectedBucketOwner: this.#at.owner };
  }

  #name(key: string): string {
    return `s3://${this.#at.bucket}/${this.#root}${key} (account ${this.#at.owner})`;
  }
}

function dateOf(response: unknown): string | undefined {
  if (typeof response !== "object" || response === null || !("headers" in response)) return undefined;
  const { headers } = response;
  if (typeof headers !== "object" || headers === null || !("date" in headers)) return undefined;
  return typeof headers.date === "string" ? headers.date : undefined;
}

/** The data in a bucket: an item is an object with one etag, read by its version where that is known. Only ever read. */
import { dirname } from "node:path";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { messageOf } from "../protocol/errors.ts";
import { LIST_MAX, type Arrival, type FetchOutcome, type Items } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import { statusOf } from "./aws-errors.ts";
import { fileError } from "./file-errors.ts";
import { isNoKey, nameOf, s3Error, withoutQuotes, type S3Bucket } from "./s3-client.ts";
import { downloadParts } from "./s3-transfer.ts";

/** An item names its bucket itself: `bucket` is the one that is listed. All of them have to belong to `owner`. */
export function openS3Items(at: S3Bucket): Items {
  return new S3Items(at);
}

/**
 * Whoever writes data chooses its encryption: a key that its writer keeps (SSE-C), or one of KMS that is switched off or gone since. It will
 * be so at the next attempt, too.
 */
function isLocked(thrown: unknown): boolean {
  if (statusOf(thrown) !== 400) return false;
  const name = nameOf(thrown);
  return (
    /^KMS\.(Disabled|NotFound|KMSInvalidState|InvalidKeyUsage)/.test(name) ||
    (name === "InvalidRequest" && /server side encryption/i.test(messageOf(thrown)))
  );
}

class S3Items implements Items {
  readonly #at: S3Bucket;

  constructor(at: S3Bucket) {
    this.#at = at;
  }

  /** @throws {AccreteError} AWS_ACCESS_DENIED (the bucket itself), BUCKET_NOT_FOUND, AWS_CREDENTIALS_*, AWS_REGION_MISSING, OUT_OF_DISK */
  async fetch(item: Item, path: string): Promise<FetchOutcome> {
    const { key, etag, versionId, bucket } = item;
    try {
      await downloadParts({ ...this.#at, bucket }, { key, etag, versionId }, path);
      return { outcome: "fetched" };
    } catch (error) {
      // 405: the version is a delete marker
      if (isNoKey(error) || [405, 412].includes(statusOf(error) ?? 0)) return { outcome: "gone" };
      if (nameOf(error) === "InvalidObjectState") return { outcome: "archived" };
      if (isLocked(error)) return { outcome: "forbidden" };
      if (nameOf(error) !== "AccessDenied")
        throw s3Error(fileError(error, key, dirname(path)), `s3://${bucket}/${key} (account ${this.#at.owner})`);
      await this.#isOpen(bucket, key);
      return { outcome: "forbidden" };
    }
  }

  /** @throws {AccreteError} AWS_ACCESS_DENIED, BUCKET_NOT_FOUND, AWS_CREDENTIALS_*, AWS_REGION_MISSING */
  async list(prefix: string, next?: string): Promise<{ items: readonly Arrival[]; next?: string | undefined }> {
    const { client, bucket, owner } = this.#at;
    try {
      const page = await client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          ExpectedBucketOwner: owner,
          Prefix: prefix,
          MaxKeys: LIST_MAX,
          ...(next === undefined ? {} : { StartAfter: next }),
        }),
      );
      const items = (page.Contents ?? []).map(({ Key = "", ETag, Size = 0, LastModified }) => ({
        bucket,
        key: Key,
        etag: withoutQuotes(ETag),
        size: Size,
        ...(LastModified === undefined ? {} : { modifiedMs: LastModified.getTime() }),
      }));
      if (page.IsTruncated !== true) return { items };
      // a key, and no continuation token: it is the same page however often it is asked for
      const last = items.at(-1)?.key ?? "";
      // whoever may write data chooses the keys, and one of line ends alone is lost in XML: the same page would come for ever
      if (last === "" || last === next)
        throw new Error(`s3://${bucket}/${prefix}: a page that ends with ${JSON.stringify(last)} has no next one`);
      return { items, next: last };
    } catch (error) {
      throw s3Error(error, `s3://${bucket}/${prefix} (account ${owner})`);
    }
  }

  /**
   * One object may be closed to the trainer; that the bucket is, or has another owner, is no fault of the object. By a LIST and not by
   * HeadBucket, as a role may only be allowed to list its pipeline's prefix.
   */
  async #isOpen(bucket: string, key: string): Promise<void> {
    const { client, owner } = this.#at;
    try {
      await client.send(
        new ListObjectsV2Command({ Bucket: bucket, ExpectedBucketOwner: owner, Prefix: key, MaxKeys: 1 }),
      );
    } catch (error) {
      throw s3Error(error, `s3://${bucket} (account ${owner})`);
    }
  }
}

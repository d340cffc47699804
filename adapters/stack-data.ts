/** The data bucket, for people who put files there and look what it has. Jobs read it by s3-items.ts. */
import { HeadObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { AccreteError } from "../protocol/errors.ts";
import type { Items } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import { fromAws } from "./aws-errors.ts";

const MiB = 1_048_576;
/** Larger files go in parts: S3 takes at most 10,000 of them, and what fails is sent again by the part. */
const PART_BYTES_MIN = 8 * MiB;
const PARTS_MAX = 9_000;
/** Parts of one file under way; each is held in memory. */
const PARTS_AT_ONCE = 4;
/** More are looked for by listing the bucket, at a thousandth of the price each. */
const HEADS_MAX = 500;
const HEADS_AT_ONCE = 16;
/** What a shell shows of a folder. */
const NAMES_SHOWN_MAX = 1_000;
/** The sha256 of what `add` has put there: an etag is no digest where it was put in parts or by a key of KMS. */
const SHA256 = "accrete-sha256";

export interface DataBucket {
  readonly client: S3Client;
  readonly bucket: string;
  /** account, 12 digits */
  readonly owner: string;
}

/** What lies there beside a file: by size, and by sha256 or MD5 where the object has one. */
export async function besideFile(
  at: DataBucket,
  key: string,
  { path, size }: { path: string; size: number },
): Promise<"nothing" | "same" | "other"> {
  const there = await head(at, key);
  if (there === undefined) return "nothing";
  if (there.size !== size) return "other";
  const expected = there.sha256 ?? (/^[0-9a-f]{32}$/.test(there.etag) ? there.etag : undefined);
  if (expected === undefined) return "other";
  return (await digest(path, createHash(there.sha256 === undefined ? "md5" : "sha256"))) === expected
    ? "same"
    : "other";
}

/**
 * Sends a file, in parts if it is large: it appears whole or not at all.
 * @param options.onBytes told of how many more have arrived
 * @throws {AccreteError} TARGET_EXISTS if something is there and `overwrite` is false; what aws-errors.ts makes of AWS' errors
 */
export async function putFile(
  { client, bucket, owner }: DataBucket,
  key: string,
  path: string,
  options: { overwrite: boolean; onBytes: (more: number) => void; partBytes?: number },
): Promise<void> {
  const sha256 = await digest(path, createHash("sha256"));
  const { size } = await stat(path);
  const partSize = options.partBytes ?? Math.max(PART_BYTES_MIN, Math.ceil(size / PARTS_MAX));
  const upload = new Upload({
    client,
    partSize,
    queueSize: PARTS_AT_ONCE,
    params: {
      Bucket: bucket,
      Key: key,
      Body: createReadStream(path, { highWaterMark: MiB }),
      ContentLength: size,
      ExpectedBucketOwner: owner,
      Metadata: { [SHA256]: sha256 },
      ...(options.overwrite ? {} : { IfNoneMatch: "*" }),
    },
  });
  let sent = 0;
  upload.on("httpUploadProgress", ({ loaded = 0 }) => {
    options.onBytes(Math.max(0, loaded - sent));
    sent = Math.max(sent, loaded);
  });
  try {
    await upload.done();
  } catch (error) {
    if (!isRefused(error)) throw fromAws(error, `s3://${bucket}/${key}`);
    // a first try may have arrived, and its answer not
    const there = await head({ client, bucket, owner }, key);
    if (there?.sha256 !== sha256)
      throw new AccreteError("TARGET_EXISTS", `${key} has come into the data bucket meanwhile`, { cause: error });
  }
  options.onBytes(Math.max(0, size - sent));
}

/** Of `items` those that are not there now, by their size alone. @param list of the bucket, for many */
export async function missingItems(
  at: DataBucket,
  items: readonly Item[],
  { list, prefix }: { list: Items["list"]; prefix: string },
): Promise<Item[]> {
  const sizes = items.length > HEADS_MAX ? await sizesByList(list, prefix) : await sizesByHead(at, items);
  return items.filter(({ key, size }) => sizes.get(key) !== size);
}

/** Keys and folders (they end with a slash) right below a folder, as many as one LIST has. */
export async function namesBelow({ client, bucket, owner }: DataBucket, folder: string): Promise<string[]> {
  const page = await client
    .send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: folder,
        Delimiter: "/",
        MaxKeys: NAMES_SHOWN_MAX,
        ExpectedBucketOwner: owner,
      }),
    )
    .catch((error: unknown) => {
      throw fromAws(error, `s3://${bucket}`);
    });
  const folders = (page.CommonPrefixes ?? []).flatMap(({ Prefix }) => Prefix ?? []);
  return [...folders, ...(page.Contents ?? []).flatMap(({ Key }) => (Key === folder ? [] : (Key ?? [])))];
}

interface There {
  readonly size: number;
  readonly etag: string;
  readonly sha256: string | undefined;
}

async function head({ client, bucket, owner }: DataBucket, key: string): Promise<There | undefined> {
  try {
    const found = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key, ExpectedBucketOwner: owner }));
    return {
      size: found.ContentLength ?? 0,
      etag: (found.ETag ?? "").replaceAll('"', ""),
      sha256: found.Metadata?.[SHA256],
    };
  } catch (error) {
    if (error instanceof Error && error.name === "NotFound") return undefined;
    throw fromAws(error, `s3://${bucket}/${key}`);
  }
}

async function sizesByHead(at: DataBucket, items: readonly Item[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const keys = [...new Set(items.map(({ key }) => key))];
  for (let i = 0; i < keys.length; i += HEADS_AT_ONCE)
    await Promise.all(
      keys.slice(i, i + HEADS_AT_ONCE).map(async (key) => {
        const found = await head(at, key);
        if (found !== undefined) sizes.set(key, found.size);
      }),
    );
  return sizes;
}

async function sizesByList(list: Items["list"], prefix: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (let next: string | undefined, more = true; more; more = next !== undefined) {
    const page = await list(prefix, next);
    for (const { key, size } of page.items) sizes.set(key, size);
    ({ next } = page);
  }
  return sizes;
}

async function digest(path: string, hash: Hash): Promise<string> {
  await pipeline(createReadStream(path, { highWaterMark: MiB }), hash);
  return hash.digest("hex");
}

/** 412, or 409 where two write at once: S3 has not taken it. */
function isRefused(error: unknown): boolean {
  return error instanceof Error && (error.name === "PreconditionFailed" || error.name === "ConditionalRequestConflict");
}

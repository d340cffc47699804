/** Large objects to and from files: in parts, some at once, with never more than those in memory. */
import { createHash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type CompletedPart,
} from "@aws-sdk/client-s3";
import type { FileDigest } from "../protocol/ports.ts";
import { once } from "./aws-client.ts";
import { getWhole, nameOf, quoted, withoutQuotes, type S3Bucket } from "./s3-client.ts";

/** The smallest part: larger objects are sent and read in parts. S3 takes no less than 5 MiB. */
export const PART_BYTES = 8 * 1_048_576;
/** S3's own limit. */
const PARTS_MAX = 10_000;
/** Parts of one object at once: enough for a fast network, and 32 MiB. */
const TOGETHER = 4;

interface Part {
  /** from 1 */
  readonly number: number;
  readonly start: number;
  /** behind the last byte */
  readonly end: number;
}

/** By the size alone: so equal bytes of one key have equal etags, which are made of the parts' digests. */
function partsOf(size: number): Part[] {
  let bytes = PART_BYTES;
  while (size > bytes * PARTS_MAX) bytes *= 2;
  return Array.from({ length: Math.ceil(size / bytes) }, (_, i) => ({
    number: i + 1,
    start: i * bytes,
    end: Math.min((i + 1) * bytes, size),
  }));
}

/**
 * Creates an object of a file's bytes, if there is none under the key. For files of more than PART_BYTES.
 * @throws what the SDK throws: 412 if there is one
 */
export async function uploadParts(at: S3Bucket, key: string, file: FileHandle, size: number): Promise<void> {
  await createInParts(at, key, size, async (upload, { number, start, end }) => {
    const body = await readRange(file, start, end);
    const ChecksumSHA256 = createHash("sha256").update(body).digest("base64");
    const { ETag } = await at.client.send(
      new UploadPartCommand({ ...upload, PartNumber: number, Body: body, ChecksumSHA256 }),
    );
    return { PartNumber: number, ETag, ChecksumSHA256 };
  });
}

/**
 * Creates an object of another one's bytes, which S3 copies. For objects of more than PART_BYTES. In parts, as CopyObject has a limit of 5 GiB
 * and its If-None-Match is not honoured everywhere.
 * @throws what the SDK throws: 412 if there is one, or if the source has changed
 */
export async function copyParts(
  at: S3Bucket,
  { key, from, etag, size }: { key: string; from: string; etag: string; size: number },
): Promise<void> {
  const source = {
    CopySource: `${at.bucket}/${encodeURIComponent(from).replaceAll("%2F", "/")}`,
    CopySourceIfMatch: quoted(etag),
    ExpectedSourceBucketOwner: at.owner,
  };
  await createInParts(at, key, size, async (upload, { number, start, end }) => {
    const CopySourceRange = `bytes=${start}-${end - 1}`;
    const { CopyPartResult } = await at.client.send(
      new UploadPartCopyCommand({ ...upload, ...source, PartNumber: number, CopySourceRange }),
    );
    const { ETag, ChecksumSHA256 } = CopyPartResult ?? {};
    return { PartNumber: number, ETag, ...(ChecksumSHA256 === undefined ? {} : { ChecksumSHA256 }) };
  });
}

interface UploadAt {
  readonly Bucket: string;
  readonly Key: string;
  readonly ExpectedBucketOwner: string;
  readonly UploadId: string | undefined;
}

/** An upload that fails is taken back; one that can't be, as after a kill, is for the bucket's lifecycle rule. */
async function createInParts(
  { client, bucket, owner }: S3Bucket,
  key: string,
  size: number,
  send: (upload: UploadAt, part: Part) => Promise<CompletedPart>,
): Promise<void> {
  const where = { Bucket: bucket, Key: key, ExpectedBucketOwner: owner };
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...where, ChecksumAlgorithm: "SHA256", ChecksumType: "COMPOSITE" }),
  );
  const upload: UploadAt = { ...where, UploadId };
  try {
    const Parts = await someAtOnce(partsOf(size), (part) => send(upload, part));
    await client.send(
      once(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, IfNoneMatch: "*" })),
    );
  } catch (error) {
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw error;
  }
}

/** @returns the results in the parts' order; after the first failure no part is begun, and those under way are waited for */
async function someAtOnce<T>(parts: readonly Part[], work: (part: Part) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < parts.length && !failed) {
      const index = next++;
      try {
        results[index] = await work(parts[index]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  for (const ended of await Promise.allSettled(Array.from({ length: TOGETHER }, worker)))
    if (ended.status === "rejected") throw ended.reason;
  return results;
}

async function readRange(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start);
  for (let at = 0; at < bytes.length;) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at);
    if (bytesRead === 0) throw new Error("the file became shorter while it was read");
    at += bytesRead;
  }
  return bytes;
}

/** Which object, and which of those that a key has had. */
export interface Wanted {
  readonly key: string;
  readonly etag?: string;
  readonly versionId?: string | undefined;
}

/**
 * Writes an object's bytes to a file (created or truncated), all of the same object: later parts are asked for by the etag of the first. The
 * file is gone if it fails.
 * @throws what the SDK throws: 404, or 412 if it was replaced
 */
export async function downloadParts(at: S3Bucket, wanted: Wanted, path: string): Promise<FileDigest> {
  const stop = new AbortController();
  await rm(path, { force: true });
  const file = await open(path, "wx");
  let whole = false;
  try {
    const first = await firstPart(at, wanted, stop.signal);
    const same = { ...wanted, etag: first.etag };
    const hash = createHash("sha256");
    const parts = rangesAfter(first.body.byteLength, first.size);
    const ahead: Promise<Uint8Array>[] = [];
    const fetchAhead = (): void => {
      for (let range = parts.next(); range.done !== true; range = parts.next()) {
        const part = getRange(at, same, range.value, stop.signal).then(({ body }) => body);
        part.catch(() => undefined); // whoever waits for it hears of it; after a failure nobody does
        if (ahead.push(part) === TOGETHER) return;
      }
    };
    let size = 0;
    fetchAhead();
    for (let body: Uint8Array | undefined = first.body; body !== undefined;) {
      // hashed on this thread, while the system writes
      await Promise.all([writeAll(file, body, size), hash.update(body)]);
      size += body.byteLength;
      body = await ahead.shift();
      fetchAhead();
    }
    if (size !== first.size) throw new Error(`${wanted.key}: ${size} of ${first.size} bytes were read`);
    whole = true;
    return { sha256: hash.digest("hex"), size };
  } finally {
    stop.abort();
    await file.close();
    if (!whole) await rm(path, { force: true });
  }
}

function* rangesAfter(start: number, size: number): Generator<{ start: number; end: number }> {
  for (let at = start; at < size; at += PART_BYTES) yield { start: at, end: Math.min(at + PART_BYTES, size) };
}

async function firstPart(
  at: S3Bucket,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<{ body: Uint8Array; size: number; etag: string }> {
  let answer;
  try {
    answer = await getRange(at, wanted, { start: 0, end: PART_BYTES }, signal);
  } catch (error) {
    if (nameOf(error) !== "InvalidRange") throw error;
    answer = await getRange(at, wanted, undefined, signal); // an empty object has no first byte
  }
  const { body, ContentRange, ETag } = answer;
  const [, total] = /\/(\d+)$/.exec(ContentRange ?? "") ?? [];
  return { body, size: total === undefined ? body.byteLength : Number(total), etag: withoutQuotes(ETag) };
}

function getRange(
  { client, bucket, owner }: S3Bucket,
  { key, etag, versionId }: Wanted,
  range: { start: number; end: number } | undefined,
  signal: AbortSignal,
): ReturnType<typeof getWhole> {
  return getWhole(
    client,
    {
      Bucket: bucket,
      Key: key,
      ExpectedBucketOwner: owner,
      ...(etag === undefined ? {} : { IfMatch: quoted(etag) }),
      ...(versionId === undefined ? {} : { VersionId: versionId }),
      ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` }),
    },
    signal,
  );
}

async function writeAll(to: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await to.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

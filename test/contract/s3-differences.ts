/**
 * What the emulators of S3 do otherwise than AWS. A test for each, which fails on the day that an emulator is mended: then its name goes
 * from the list. Nothing in the product may need what is wrong here.
 */
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { statusOf } from "../../adapters/aws-errors.ts";
import { newBucket } from "./s3.ts";

export type Emulator = "LocalStack" | "ministack";

interface Difference {
  /** as AWS has it */
  readonly what: string;
  readonly wrongOn: readonly Emulator[];
  /** what is seen; AWS would have `expected` */
  readonly seen: (client: S3Client, Bucket: string) => Promise<unknown>;
  readonly expected: unknown;
}

const OTHER_ACCOUNT = "999988887777";
/** In pages of 2 some begin with one that sorts elsewhere once it is written as in a URL. */
const ODD_KEYS = ["a b", "a+b", "a/é", "b c", "b+c", "b/ü", "c d", "c+d"].toSorted();

/** 200, or the status of the refusal. */
async function statusFor(asked: Promise<unknown>): Promise<number | undefined> {
  return await asked.then(() => 200, statusOf);
}

const put = (client: S3Client, Bucket: string, Key: string, Body = "one"): Promise<{ ETag?: string | undefined }> =>
  client.send(new PutObjectCommand({ Bucket, Key, Body }));

/** Pages of 2, until there is no more, or a key comes again. */
async function keysInPages(client: S3Client, Bucket: string): Promise<string[]> {
  const keys: string[] = [];
  for (let token: string | undefined; ;) {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket, MaxKeys: 2, EncodingType: "url", ContinuationToken: token }),
    );
    for (const { Key = "" } of page.Contents ?? []) {
      const key = decodeURIComponent(Key.replaceAll("+", " "));
      if (keys.includes(key)) return [...keys, `${key} again`];
      keys.push(key);
    }
    token = page.NextContinuationToken;
    if (token === undefined) return keys;
  }
}

const DIFFERENCES: readonly Difference[] = [
  {
    what: "a DELETE with If-Match of another etag is refused",
    wrongOn: ["LocalStack"],
    seen: async (client, Bucket) => {
      await put(client, Bucket, "a");
      return await statusFor(
        client.send(new DeleteObjectCommand({ Bucket, Key: "a", IfMatch: `"${"0".repeat(32)}"` })),
      );
    },
    expected: 412,
  },
  {
    what: "a DELETE with If-Match of its etag goes through",
    wrongOn: ["LocalStack"],
    seen: async (client, Bucket) => {
      const { ETag } = await put(client, Bucket, "a");
      return await statusFor(client.send(new DeleteObjectCommand({ Bucket, Key: "a", IfMatch: ETag })));
    },
    expected: 200,
  },
  {
    what: "CopyObject with If-None-Match writes over nothing",
    wrongOn: ["LocalStack", "ministack"],
    seen: async (client, Bucket) => {
      await put(client, Bucket, "a");
      await put(client, Bucket, "b", "two");
      const status = await statusFor(
        client.send(new CopyObjectCommand({ Bucket, Key: "b", CopySource: `${Bucket}/a`, IfNoneMatch: "*" })),
      );
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: "b" }));
      return [status, await Body?.transformToString()];
    },
    expected: [412, "two"],
  },
  {
    what: "a bucket of another account than ExpectedBucketOwner is not used",
    wrongOn: ["LocalStack", "ministack"],
    seen: async (client, Bucket) => {
      await put(client, Bucket, "a");
      const owner = { ExpectedBucketOwner: OTHER_ACCOUNT };
      return [
        await statusFor(client.send(new HeadObjectCommand({ Bucket, Key: "a", ...owner }))),
        await statusFor(client.send(new PutObjectCommand({ Bucket, Key: "b", Body: "two", ...owner }))),
      ];
    },
    expected: [403, 403],
  },
  {
    what: "a bucket's policy is obeyed",
    wrongOn: ["LocalStack", "ministack"],
    seen: async (client, Bucket) => {
      const Statement = {
        Effect: "Deny",
        Principal: "*",
        Action: "s3:PutObject",
        Resource: `arn:aws:s3:::${Bucket}/*`,
      };
      await client.send(
        new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: "2012-10-17", Statement }) }),
      );
      return await statusFor(put(client, Bucket, "a"));
    },
    expected: 403,
  },
  {
    what: "LIST with EncodingType names each key once, whatever is in it",
    wrongOn: ["LocalStack"],
    seen: async (client, Bucket) => {
      for (const key of ODD_KEYS) await put(client, Bucket, key);
      return await keysInPages(client, Bucket);
    },
    expected: ODD_KEYS,
  },
  {
    what: "a PUT whose body has another SHA-256 than it says is refused",
    wrongOn: ["ministack"],
    seen: async (client, Bucket) =>
      await statusFor(
        client.send(
          new PutObjectCommand({ Bucket, Key: "a", Body: "one", ChecksumSHA256: Buffer.alloc(32).toString("base64") }),
        ),
      ),
    expected: 400,
  },
];

export function s3IsWrongAsListed(emulator: Emulator, clientOf: () => S3Client): void {
  describe("known differences from AWS", () => {
    for (const { what, wrongOn, seen, expected } of DIFFERENCES) {
      const isWrong = wrongOn.includes(emulator);
      it(`${isWrong ? "not here" : "here too"}: ${what}`, async () => {
        const client = clientOf();
        const found = await seen(client, await newBucket(client));
        if (isWrong) expect(found).not.toEqual(expected);
        else expect(found).toEqual(expected);
      });
    }
  });
}

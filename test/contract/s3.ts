/** What the Store and the Items on S3 keep, on whatever S3: the directory's suites, and what only an S3 can break. */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openS3Items } from "../../adapters/s3-items.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { PART_BYTES } from "../../adapters/s3-transfer.ts";
import { sha256 } from "../../protocol/digest.ts";
import { itemsKeepTheirPromises } from "./items.ts";
import { storeKeepsItsPromises } from "./store.ts";

/** @returns the name of a new bucket */
export async function newBucket(client: S3Client): Promise<string> {
  const bucket = `accrete-${randomBytes(8).toString("hex")}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return bucket;
}

/** @param clientOf asked once the tests run @param owner 12 digits: the account that the buckets belong to */
export function s3KeepsItsPromises(clientOf: () => S3Client, owner: string): void {
  storeKeepsItsPromises("S3", async () => {
    const client = clientOf();
    const bucket = await newBucket(client);
    // of a pipeline whose name begins alike
    await openS3Store({ client, bucket, prefix: "flowers-2", owner }).create("log/1", new Uint8Array(1));
    return openS3Store({ client, bucket, prefix: "flowers", owner });
  });

  itemsKeepTheirPromises("S3", async () => {
    const client = clientOf();
    const bucket = await newBucket(client);
    return {
      items: openS3Items({ client, bucket, owner }),
      put: async (Key, Body) => void (await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))),
      remove: async (Key) => void (await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }))),
    };
  });
}

/** Files of up to two parts, and what is left of their uploads. */
export function s3KeepsPartsTogether(clientOf: () => S3Client, owner: string): void {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "accrete-s3-contract-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("gives equal bytes of any size equal etags, sent or copied, and leaves no upload behind", async () => {
    const client = clientOf();
    const bucket = await newBucket(client);
    const store = openS3Store({ client, bucket, prefix: "p", owner });
    for (const size of [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES]) {
      const path = join(folder, "file");
      await writeFile(path, randomBytes(size));
      expect(await store.createFromFile(`${size}/a`, path)).toBe("won");
      expect(await store.createFromFile(`${size}/b`, path)).toBe("won");
      expect(await store.copy(`${size}/a`, `${size}/c`)).toBe("won");
      expect(await store.createFromFile(`${size}/c`, path)).toBe("lost");
      expect(await store.copy(`${size}/a`, `${size}/c`)).toBe("lost");
      const heads = await Promise.all(["a", "b", "c"].map((name) => store.head(`${size}/${name}`)));
      expect(heads.map((head) => head?.size)).toEqual([size, size, size]);
      expect(new Set(heads.map((head) => head?.etag)).size).toBe(1);
      const back = join(folder, "back");
      expect((await store.readToFile(`${size}/c`, back))?.sha256).toBe(sha256(await readFile(path)));
      expect(sha256(await readFile(back))).toBe(sha256(await readFile(path)));
    }
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads).toEqual([]);
  });
}

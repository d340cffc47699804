/** The Store and the Items on an S3 of this machine, by the suites that the directory's keep. */
import { randomBytes } from "node:crypto";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ministackFault, MINISTACK_ACCOUNT, startMinistack, type Ministack } from "../scripts/ministack.ts";
import { itemsKeepTheirPromises } from "../test/contract/items.ts";
import { storeKeepsItsPromises } from "../test/contract/store.ts";
import { openS3Client } from "./s3-client.ts";
import { openS3Items } from "./s3-items.ts";
import { openS3Store } from "./s3-store.ts";

const fault = await ministackFault();
const owner = MINISTACK_ACCOUNT;

describe.skipIf(fault !== undefined)(`on ministack${fault === undefined ? "" : ` (skipped: ${fault})`}`, () => {
  let ministack: Ministack;
  let client: S3Client;
  beforeAll(async () => {
    ministack = await startMinistack();
    const credentials = { accessKeyId: "test", secretAccessKey: "test" };
    client = openS3Client({ config: { endpoint: ministack.url, region: "us-east-1", credentials } });
  });
  afterAll(async () => {
    client.destroy();
    await ministack.close();
  });

  const newBucket = async (): Promise<string> => {
    const bucket = `accrete-${randomBytes(8).toString("hex")}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    return bucket;
  };

  storeKeepsItsPromises("S3", async () => {
    const bucket = await newBucket();
    // of a pipeline whose name begins alike
    await openS3Store({ client, bucket, prefix: "flowers-2", owner }).create("log/1", new Uint8Array(1));
    return openS3Store({ client, bucket, prefix: "flowers", owner });
  });

  itemsKeepTheirPromises("S3", async () => {
    const bucket = await newBucket();
    return {
      items: openS3Items({ client, bucket, owner }),
      put: async (Key, Body) => void (await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))),
      remove: async (Key) => void (await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }))),
    };
  });
});

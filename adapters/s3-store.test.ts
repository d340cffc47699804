/** The Store and the Items on an S3 of this machine, by the suites that the directory's keep. */
import type { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe } from "vitest";
import { ministackFault, MINISTACK_ACCOUNT, startMinistack, type Ministack } from "../scripts/ministack.ts";
import { s3IsWrongAsListed } from "../test/contract/s3-differences.ts";
import { s3KeepsItsPromises, s3KeepsPartsTogether } from "../test/contract/s3.ts";
import { openS3Client } from "./s3-client.ts";

const fault = await ministackFault();

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

  s3KeepsItsPromises(() => client, MINISTACK_ACCOUNT);
  s3KeepsPartsTogether(() => client, MINISTACK_ACCOUNT);
  s3IsWrongAsListed("ministack", () => client);
});

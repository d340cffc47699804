/** Large files on LocalStack's S3, which takes long for each byte. */
import { afterAll, describe } from "vitest";
import { openS3Client } from "../adapters/s3-client.ts";
import { s3KeepsPartsTogether } from "../test/contract/s3.ts";
import { ACCOUNT } from "./environment.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";

describe("S3 of LocalStack", () => {
  const client = openS3Client({ config: clientOptions(cloudOfTests()) });
  afterAll(() => client.destroy());
  s3KeepsPartsTogether(() => client, ACCOUNT);
});

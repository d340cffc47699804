/** The Store and the Items on LocalStack's S3, by the suites that ministack and the directory keep. */
import { afterAll, describe } from "vitest";
import { openS3Client } from "../adapters/s3-client.ts";
import { s3IsWrongAsListed } from "../test/contract/s3-differences.ts";
import { s3KeepsItsPromises } from "../test/contract/s3.ts";
import { ACCOUNT } from "./environment.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";

describe("on LocalStack", () => {
  const client = openS3Client({ config: clientOptions(cloudOfTests()) });
  afterAll(() => client.destroy());

  s3KeepsItsPromises(() => client, ACCOUNT);
  s3IsWrongAsListed("LocalStack", () => client);
});

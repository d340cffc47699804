/** What `accrete doctor` asks AWS for; nothing is changed. */
import { GetBucketNotificationConfigurationCommand, HeadBucketCommand, type S3Client } from "@aws-sdk/client-s3";
import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  type ServiceQuotasClient,
} from "@aws-sdk/client-service-quotas";
import { GetCallerIdentityCommand, type STSClient } from "@aws-sdk/client-sts";
import type { BucketNotifications } from "../protocol/own-bucket.ts";
import type { Quota } from "../protocol/quotas.ts";
import { fromAws } from "./aws-errors.ts";

/** @throws {AccreteError} what aws-errors.ts makes of AWS' errors, as all of these */
export async function whoAmI(client: STSClient): Promise<{ account: string; arn: string }> {
  const { Account = "", Arn = "" } = await asked("the identity", () => client.send(new GetCallerIdentityCommand({})));
  return { account: Account, arn: Arn };
}

/** In vCPUs; an account that never asked for more has AWS' default. */
export async function quotaOf(client: ServiceQuotasClient, { service, code, name }: Quota): Promise<number> {
  const which = { ServiceCode: service, QuotaCode: code };
  const answer = await asked(`the quota ${name}`, async () => {
    try {
      return await client.send(new GetServiceQuotaCommand(which));
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "NoSuchResourceException") throw error;
      return client.send(new GetAWSDefaultServiceQuotaCommand(which));
    }
  });
  return answer.Quota?.Value ?? 0;
}

interface Bucket {
  readonly bucket: string;
  readonly owner: string;
}

/** As S3 has it now. */
export async function notificationOf(client: S3Client, { bucket, owner }: Bucket): Promise<BucketNotifications> {
  const { $metadata: _, ...setting } = await asked(`s3://${bucket}`, () =>
    client.send(new GetBucketNotificationConfigurationCommand({ Bucket: bucket, ExpectedBucketOwner: owner })),
  );
  return setting;
}

export async function regionOf(client: S3Client, { bucket, owner }: Bucket): Promise<string> {
  return asked(`s3://${bucket}`, async () => {
    try {
      const found = await client.send(new HeadBucketCommand({ Bucket: bucket, ExpectedBucketOwner: owner }));
      return found.BucketRegion ?? "";
    } catch (error) {
      // a bucket of another region is a 301, which names it
      const region = regionTold(error);
      if (region === undefined) throw error;
      return region;
    }
  });
}

function regionTold(error: unknown): string | undefined {
  if (!(error instanceof Error && "$response" in error)) return undefined;
  const { $response } = error;
  if (!(typeof $response === "object" && $response !== null && "headers" in $response && "statusCode" in $response))
    return undefined;
  const { headers, statusCode } = $response;
  if (statusCode !== 301 || !(typeof headers === "object" && headers !== null && "x-amz-bucket-region" in headers))
    return undefined;
  return String(headers["x-amz-bucket-region"]);
}

async function asked<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromAws(error, what);
  }
}

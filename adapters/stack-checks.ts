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
  const { BucketRegion = "" } = await asked(`s3://${bucket}`, () =>
    client.send(new HeadBucketCommand({ Bucket: bucket, ExpectedBucketOwner: owner })),
  );
  return BucketRegion;
}

async function asked<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromAws(error, what);
  }
}

/** The two buckets. By L1: the L2's event notifications are a custom resource. Both outlive their stack. */
import { RemovalPolicy, Stack, Validations } from "aws-cdk-lib";
import * as s3 from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";
import { documentOf } from "./roles.ts";
import type { ResourceStatement } from "./statement.ts";

/**
 * After so many days what was replaced or deleted is gone for good: until then it can be brought back by hand. Of the state that is mostly
 * checkpoints, which are large.
 */
const NONCURRENT_DAYS = { state: 7, data: 30 } as const;
const UNFINISHED_UPLOAD_DAYS = 7;

export interface BucketRef {
  readonly name: string;
  readonly arn: string;
}

/** Versioned, encrypted, not public. Nothing of it is told to EventBridge: what the pipeline writes must not wake it. */
export function stateBucket(scope: Construct, id: string, kmsKeyArn: string | undefined): BucketRef {
  return refOf(bucket(scope, id, { kmsKeyArn, events: false, noncurrentDays: NONCURRENT_DAYS.state }));
}

/** The same, and each object that comes is told to EventBridge. */
export function dataBucket(scope: Construct, id: string): BucketRef {
  return refOf(bucket(scope, id, { kmsKeyArn: undefined, events: true, noncurrentDays: NONCURRENT_DAYS.data }));
}

/** A bucket that exists. */
export function ownBucket(scope: Construct, name: string): BucketRef {
  return { name, arn: Stack.of(scope).formatArn({ service: "s3", region: "", account: "", resource: name }) };
}

/** Goes with the stack: a new stack over the same bucket brings its own. */
export function bucketPolicy(
  scope: Construct,
  id: string,
  bucket: BucketRef,
  statements: readonly ResourceStatement[],
): void {
  new s3.CfnBucketPolicy(scope, id, { bucket: bucket.name, policyDocument: documentOf(statements) });
}

function bucket(
  scope: Construct,
  id: string,
  {
    kmsKeyArn,
    events,
    noncurrentDays,
  }: { readonly kmsKeyArn: string | undefined; readonly events: boolean; readonly noncurrentDays: number },
): s3.CfnBucket {
  const made = new s3.CfnBucket(scope, id, {
    versioningConfiguration: { status: "Enabled" },
    ownershipControls: { rules: [{ objectOwnership: "BucketOwnerEnforced" }] },
    publicAccessBlockConfiguration: {
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    },
    bucketEncryption: {
      serverSideEncryptionConfiguration: [
        kmsKeyArn === undefined
          ? { serverSideEncryptionByDefault: { sseAlgorithm: "AES256" } }
          : {
              bucketKeyEnabled: true, // one call of KMS for many objects
              serverSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: kmsKeyArn },
            },
      ],
    },
    // no rule touches a current version
    lifecycleConfiguration: {
      rules: [
        {
          id: "what-was-replaced-or-deleted",
          status: "Enabled",
          noncurrentVersionExpiration: { noncurrentDays },
          expiredObjectDeleteMarker: true,
          abortIncompleteMultipartUpload: { daysAfterInitiation: UNFINISHED_UPLOAD_DAYS },
        },
      ],
    },
    ...(events ? { notificationConfiguration: { eventBridgeConfiguration: { eventBridgeEnabled: true } } } : {}),
  });
  made.applyRemovalPolicy(RemovalPolicy.RETAIN);
  Validations.of(made).acknowledge({
    id: "AwsSolutions-S1",
    reason:
      "Access logs would cost more than all else while nothing is trained, and need a bucket of their own; CloudTrail's data events say the same to whoever wants them.",
  });
  return made;
}

function refOf(made: s3.CfnBucket): BucketRef {
  return { name: made.ref, arn: made.attrArn };
}

/**
 * What IAM decides on for each call of the AWS SDK. From the table "API operations" of each service's page in the Service Authorization
 * Reference, and of S3 from "Required permissions for Amazon S3 API operations" and "Enforce conditional writes on Amazon S3 buckets" in its User Guide.
 */
import type { Asked } from "./evaluate.ts";

/** A call as a client's middleware sees it. */
export interface AwsCall {
  /** such as "S3" */
  readonly service: string;
  /** such as "PutObject" */
  readonly command: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** What a call's names stand for. */
export interface Surroundings {
  readonly partition: string;
  readonly region: string;
  /** 12 digits */
  readonly account: string;
  /** account of a bucket, where it is another */
  readonly owners: Readonly<Record<string, string>>;
  /** ARN of the key that encrypts a bucket's objects, where it is not the service's own */
  readonly keys: Readonly<Record<string, string>>;
  /** the queues' and the topic's key */
  readonly messageKey: string | null;
  /** ARN by URL */
  readonly queues: Readonly<Record<string, string>>;
}

/** @throws {Error} a command that nobody has said anything of yet */
export function askedFor(call: AwsCall, around: Surroundings): Asked[] {
  const rule = RULES[`${call.service}.${call.command}`];
  if (rule === undefined) throw new Error(`${call.service}.${call.command}: which permissions does it need?`);
  return rule(call.input, around);
}

type Input = AwsCall["input"];
type Rule = (input: Input, around: Surroundings) => Asked[];

function text(input: Input, name: string): string {
  const value = input[name];
  if (typeof value !== "string") throw new Error(`${name} is missing`);
  return value;
}

function maybe(input: Input, name: string): string | undefined {
  const value = input[name];
  return value === undefined || value === null ? undefined : String(value);
}

// ------------------------------------------------------------------------------------------------ S3

function onBucket(around: Surroundings, bucket: string, action: string, context: Asked["context"] = {}): Asked {
  const resource = `arn:${around.partition}:s3:::${bucket}`;
  return { action: `s3:${action}`, resource, account: around.owners[bucket] ?? around.account, context };
}

function onObject(around: Surroundings, input: Input, action: string, context: Asked["context"] = {}): Asked {
  const asked = onBucket(around, text(input, "Bucket"), action, context);
  return { ...asked, resource: `${asked.resource}/${text(input, "Key")}` };
}

function onKey(around: Surroundings, key: string | null | undefined, service: string, actions: string[]): Asked[] {
  if (key === undefined || key === null) return [];
  const suffix = around.partition === "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com";
  const context = { "kms:ViaService": `${service}.${around.region}.${suffix}` };
  const account = key.split(":")[4]!;
  return actions.map((action) => ({ action: `kms:${action}`, resource: key, account, context }));
}

const objectKey = (around: Surroundings, input: Input, actions: string[]): Asked[] =>
  onKey(around, around.keys[text(input, "Bucket")], "s3", actions);

/** Of a key that is not there S3 says 404 only to who may list it, the key itself being the prefix. */
const reads: Rule = (input, around) => {
  const version = maybe(input, "VersionId");
  return [
    version === undefined
      ? onObject(around, input, "GetObject")
      : onObject(around, input, "GetObjectVersion", { "s3:versionid": version }),
    onBucket(around, text(input, "Bucket"), "ListBucket", { "s3:prefix": text(input, "Key") }),
    ...objectKey(around, input, ["Decrypt"]),
  ];
};

/** @param creates whether an object is there afterwards: a part of a multipart upload is none yet, and carries no condition */
const writes =
  (creates: boolean, keyActions: string[]): Rule =>
  (input, around) => {
    const [ifNoneMatch, ifMatch] = [maybe(input, "IfNoneMatch"), maybe(input, "IfMatch")];
    return [
      onObject(around, input, "PutObject", {
        "s3:ObjectCreationOperation": String(creates),
        ...(ifNoneMatch === undefined ? {} : { "s3:if-none-match": ifNoneMatch }),
        ...(ifMatch === undefined ? {} : { "s3:if-match": ifMatch }),
        ...(maybe(input, "CopySource") === undefined ? {} : { "s3:x-amz-copy-source": text(input, "CopySource") }),
      }),
      // "to use If-Match you need s3:GetObject as well"
      ...(ifMatch === undefined ? [] : [onObject(around, input, "GetObject")]),
      ...(maybe(input, "Tagging") === undefined ? [] : [onObject(around, input, "PutObjectTagging")]),
      ...objectKey(around, input, keyActions),
    ];
  };

const copies =
  (creates: boolean): Rule =>
  (input, around) => [...copied(input, around), ...writes(creates, ["GenerateDataKey", "Decrypt"])(input, around)];

function copied(input: Input, around: Surroundings): Asked[] {
  const [path, query] = text(input, "CopySource").replace(/^\//, "").split("?versionId=");
  const [bucket, ...key] = decodeURIComponent(path!).split("/");
  return reads({ Bucket: bucket, Key: key.join("/"), ...(query === undefined ? {} : { VersionId: query }) }, around);
}

const lists: Rule = (input, around) => {
  const context: Record<string, string> = {};
  for (const [name, key] of [
    ["Prefix", "s3:prefix"],
    ["Delimiter", "s3:delimiter"],
    ["MaxKeys", "s3:max-keys"],
  ] as const) {
    const value = maybe(input, name);
    if (value !== undefined) context[key] = value;
  }
  return [onBucket(around, text(input, "Bucket"), "ListBucket", context)];
};

const deletes: Rule = (input, around) => {
  const version = maybe(input, "VersionId");
  return [
    version === undefined
      ? onObject(around, input, "DeleteObject")
      : onObject(around, input, "DeleteObjectVersion", { "s3:versionid": version }),
  ];
};

const aboutBucket =
  (action: string): Rule =>
  (input, around) => [onBucket(around, text(input, "Bucket"), action)];

// ------------------------------------------------------------------------------------------------ the other services

const arn = ({ partition, region, account }: Surroundings, service: string, rest: string): string =>
  `arn:${partition}:${service}:${region}:${account}:${rest}`;

function on(around: Surroundings, action: string, resource: string): Asked {
  return { action, resource, account: around.account, context: {} };
}

const onQueue =
  (action: string): Rule =>
  (input, around) => {
    const queue = around.queues[text(input, "QueueUrl")];
    if (queue === undefined) throw new Error(`${text(input, "QueueUrl")}: no queue`);
    return [on(around, `sqs:${action}`, queue), ...onKey(around, around.messageKey, "sqs", KEY_OF[action] ?? [])];
  };
const KEY_OF: Readonly<Record<string, string[]>> = {
  SendMessage: ["GenerateDataKey", "Decrypt"],
  ReceiveMessage: ["Decrypt"],
};

const anywhere =
  (action: string): Rule =>
  (_input, around) => [on(around, action, "*")];

/** Queue and definition are named by ARN or by name. */
const submits: Rule = (input, around) => {
  const [queue, definition] = [text(input, "jobQueue"), text(input, "jobDefinition")];
  return [
    on(around, "batch:SubmitJob", queue.startsWith("arn:") ? queue : arn(around, "batch", `job-queue/${queue}`)),
    on(
      around,
      "batch:SubmitJob",
      definition.startsWith("arn:") ? definition : arn(around, "batch", `job-definition/${definition}`),
    ),
  ];
};

const logGroup = (input: Input, around: Surroundings): string =>
  maybe(input, "logGroupIdentifier") ?? arn(around, "logs", `log-group:${text(input, "logGroupName")}`);

function onLogStream(action: string): Rule {
  return (input, around) => [
    on(around, `logs:${action}`, `${logGroup(input, around)}:log-stream:${text(input, "logStreamName")}`),
  ];
}

const RULES: Readonly<Record<string, Rule>> = {
  "S3.GetObject": reads,
  "S3.HeadObject": reads,
  "S3.PutObject": writes(true, ["GenerateDataKey"]),
  "S3.CreateMultipartUpload": writes(false, ["GenerateDataKey"]),
  "S3.UploadPart": writes(false, ["GenerateDataKey", "Decrypt"]),
  "S3.CompleteMultipartUpload": writes(true, ["GenerateDataKey", "Decrypt"]),
  "S3.AbortMultipartUpload": (input, around) => [onObject(around, input, "AbortMultipartUpload")],
  "S3.CopyObject": copies(true),
  "S3.UploadPartCopy": copies(false),
  "S3.ListObjectsV2": lists,
  "S3.DeleteObject": deletes,
  "S3.HeadBucket": aboutBucket("ListBucket"),
  "S3.GetBucketLocation": aboutBucket("GetBucketLocation"),
  "S3.GetBucketNotificationConfiguration": aboutBucket("GetBucketNotification"),
  "SQS.SendMessage": onQueue("SendMessage"),
  // Lambda's own, as the function: "Using Lambda with Amazon SQS", execution role permissions
  "SQS.ReceiveMessage": onQueue("ReceiveMessage"),
  "SQS.DeleteMessage": onQueue("DeleteMessage"),
  "SQS.DeleteMessageBatch": onQueue("DeleteMessage"),
  "SQS.GetQueueAttributes": onQueue("GetQueueAttributes"),
  "Batch.SubmitJob": submits,
  "Batch.DescribeJobs": anywhere("batch:DescribeJobs"),
  "Batch.ListJobs": anywhere("batch:ListJobs"),
  "Batch.TerminateJob": (input, around) => [
    on(around, "batch:TerminateJob", arn(around, "batch", `job/${text(input, "jobId")}`)),
  ],
  "SNS.Publish": (input, around) => [
    on(around, "sns:Publish", text(input, "TopicArn")),
    ...onKey(around, around.messageKey, "sns", ["GenerateDataKey", "Decrypt"]),
  ],
  "CloudWatch Logs.GetLogEvents": onLogStream("GetLogEvents"),
  // Lambda's own, as the function
  "CloudWatch Logs.CreateLogStream": onLogStream("CreateLogStream"),
  "CloudWatch Logs.PutLogEvents": onLogStream("PutLogEvents"),
  "CloudWatch Logs.FilterLogEvents": (input, around) => [on(around, "logs:FilterLogEvents", logGroup(input, around))],
  // a stack is asked for by its name, and found with an id behind it
  "CloudFormation.DescribeStacks": (input, around) => [
    on(
      around,
      "cloudformation:DescribeStacks",
      arn(around, "cloudformation", `stack/${text(input, "StackName")}/0f3a`),
    ),
  ],
  "Service Quotas.GetServiceQuota": (input, around) => [
    on(
      around,
      "servicequotas:GetServiceQuota",
      arn(around, "servicequotas", `${text(input, "ServiceCode")}/${text(input, "QuotaCode")}`),
    ),
  ],
  "Service Quotas.GetAWSDefaultServiceQuota": anywhere("servicequotas:GetAWSDefaultServiceQuota"),
  "STS.AssumeRole": (input, around) => {
    const role = text(input, "RoleArn");
    return [{ ...on(around, "sts:AssumeRole", role), account: role.split(":")[4]! }];
  },
  // nobody needs a permission for it
  "STS.GetCallerIdentity": () => [],
};

/** What of a stage is in a cloud, as each service itself lists it. */
import { readFileSync } from "node:fs";
import {
  BatchClient,
  DescribeComputeEnvironmentsCommand,
  DescribeJobDefinitionsCommand,
  DescribeJobQueuesCommand,
} from "@aws-sdk/client-batch";
import { CloudFormationClient, DescribeStacksCommand } from "@aws-sdk/client-cloudformation";
import {
  CloudWatchLogsClient,
  DescribeLogGroupsCommand,
  FilterLogEventsCommand,
} from "@aws-sdk/client-cloudwatch-logs";
import { EventBridgeClient, ListRulesCommand } from "@aws-sdk/client-eventbridge";
import { LambdaClient, ListFunctionsCommand } from "@aws-sdk/client-lambda";
import { GetObjectCommand, ListBucketsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import {
  GetScheduleCommand,
  ListSchedulesCommand,
  SchedulerClient,
  type GetScheduleOutput,
} from "@aws-sdk/client-scheduler";
import { ListQueuesCommand, SQSClient } from "@aws-sdk/client-sqs";
import * as z from "zod/mini";
import { bucketOf, type Stack } from "../../adapters/stack-outputs.ts";
import { clientOptions, type CloudOfTests } from "./cloud-of-tests.ts";

/** Of a stack, the retraining before the sweep. */
export async function schedulesOf(cloud: CloudOfTests, stack: string): Promise<GetScheduleOutput[]> {
  const client = new SchedulerClient(clientOptions(cloud));
  const { Schedules = [] } = await client.send(new ListSchedulesCommand({ NamePrefix: `${stack}-` }));
  const found = await Promise.all(Schedules.map(({ Name }) => client.send(new GetScheduleCommand({ Name }))));
  const isSweep = ({ Target }: GetScheduleOutput): number => Number(Target?.Input?.includes('"sweep"'));
  return found.sort((a, b) => isSweep(a) - isSweep(b));
}

/** Names that begin with that of a stage, each sorted; what CloudFormation has named begins with its stack's. */
export async function remainsOf(cloud: CloudOfTests, start: string) {
  const at = clientOptions(cloud);
  const batch = new BatchClient({ ...at, endpoint: cloud.batch });
  const named = (names: readonly (string | undefined)[]): string[] =>
    names.flatMap((name) => (name?.startsWith(start) ? [name] : [])).sort();
  const { Stacks = [] } = await new CloudFormationClient(at).send(new DescribeStacksCommand({}));
  const { QueueUrls = [] } = await new SQSClient(at).send(new ListQueuesCommand({}));
  const { Functions = [] } = await new LambdaClient(at).send(new ListFunctionsCommand({}));
  const { logGroups = [] } = await new CloudWatchLogsClient(at).send(new DescribeLogGroupsCommand({}));
  const { Schedules = [] } = await new SchedulerClient(at).send(new ListSchedulesCommand({}));
  const { Rules = [] } = await new EventBridgeClient(at).send(new ListRulesCommand({}));
  const { Buckets = [] } = await new S3Client(at).send(new ListBucketsCommand({}));
  const { jobQueues = [] } = await batch.send(new DescribeJobQueuesCommand({}));
  const { computeEnvironments = [] } = await batch.send(new DescribeComputeEnvironmentsCommand({}));
  const { jobDefinitions = [] } = await batch.send(new DescribeJobDefinitionsCommand({ status: "ACTIVE" }));
  return {
    // LocalStack lists deleted ones too
    stacks: named(
      Stacks.flatMap(({ StackName, StackStatus }) => (StackStatus === "DELETE_COMPLETE" ? [] : [StackName])),
    ),
    queues: named(QueueUrls.map((url) => url.split("/").at(-1))),
    functions: named(Functions.map(({ FunctionName }) => FunctionName)),
    logGroups: named(logGroups.map(({ logGroupName }) => logGroupName?.replace(/^\//, "").replaceAll("/", "-"))),
    schedules: named(Schedules.map(({ Name }) => Name)),
    rules: named(Rules.map(({ Name }) => Name)),
    jobQueues: named(jobQueues.map(({ jobQueueName }) => jobQueueName)),
    environments: named(computeEnvironments.map(({ computeEnvironmentName }) => computeEnvironmentName)),
    definitions: named(jobDefinitions.map(({ jobDefinitionName, revision }) => `${jobDefinitionName}:${revision}`)),
    buckets: named(Buckets.map(({ Name }) => Name)),
  };
}

/** All that a pipeline has written: its state, file by file, and its logs. @returns texts by key or log group */
export async function allTextOf(cloud: CloudOfTests, outputs: Stack["outputs"]): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  const s3 = new S3Client(clientOptions(cloud));
  const { bucket: Bucket } = bucketOf(outputs.StateUrl);
  for (let after: string | undefined; ;) {
    const { Contents = [], IsTruncated } = await s3.send(new ListObjectsV2Command({ Bucket, StartAfter: after }));
    for (const { Key } of Contents) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      texts[Key!] = (await Body?.transformToString("latin1")) ?? "";
    }
    after = Contents.at(-1)?.Key;
    if (IsTruncated !== true) break;
  }
  const logs = new CloudWatchLogsClient(clientOptions(cloud));
  for (const part of ["jobs", "intake", "ledger"]) {
    const logGroupName = outputs.JobLogGroup.replace(/jobs$/, part);
    const { events = [] } = await logs.send(new FilterLogEventsCommand({ logGroupName }));
    texts[logGroupName] = events.map(({ message }) => message).join("\n");
  }
  return texts;
}

/** A stage's compute environments and job queues, as they are now. */
export async function batchOf(cloud: CloudOfTests, start: string) {
  const client = new BatchClient({ ...clientOptions(cloud), endpoint: cloud.batch });
  const { computeEnvironments = [] } = await client.send(new DescribeComputeEnvironmentsCommand({}));
  const { jobQueues = [] } = await client.send(new DescribeJobQueuesCommand({}));
  return {
    environments: computeEnvironments
      .filter(({ computeEnvironmentName: name }) => name?.startsWith(start))
      .map(({ computeEnvironmentArn: arn, computeResources: resources }) => ({ arn, resources })),
    queues: jobQueues.filter(({ jobQueueName: name }) => name?.startsWith(start)).map(({ jobQueueArn }) => jobQueueArn),
  };
}

const Template = z.object({
  Resources: z.record(z.string(), z.object({ Type: z.string(), DeletionPolicy: z.optional(z.string()) })),
});

/** Types of the resources that outlive the stack of a template, one for each. @param file of the template */
export function keptBy(file: string): string[] {
  const { Resources } = Template.parse(JSON.parse(readFileSync(file, "utf8")));
  return Object.values(Resources).flatMap(({ Type, DeletionPolicy }) => (DeletionPolicy === "Retain" ? [Type] : []));
}

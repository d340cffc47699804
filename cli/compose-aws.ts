/** On AWS: a pipeline's stack as a Pipeline. Loaded by --stack alone, as AWS' SDK takes its time. */
import { BatchClient } from "@aws-sdk/client-batch";
import { CloudFormationClient } from "@aws-sdk/client-cloudformation";
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import { ServiceQuotasClient } from "@aws-sdk/client-service-quotas";
import type { S3Client } from "@aws-sdk/client-s3";
import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import { STSClient } from "@aws-sdk/client-sts";
import { awsClientOptions } from "../adapters/aws-client.ts";
import { fromAws } from "../adapters/aws-errors.ts";
import { openBatchJobs } from "../adapters/batch-jobs.ts";
import { systemClock } from "../adapters/clock.ts";
import type { ConfigFile } from "../adapters/config-file.ts";
import { openS3Client } from "../adapters/s3-client.ts";
import { openS3Items } from "../adapters/s3-items.ts";
import { openS3Store } from "../adapters/s3-store.ts";
import { openSnsNotices } from "../adapters/sns-notices.ts";
import { openSqsTicks } from "../adapters/sqs-ticks.ts";
import { notificationOf, quotaOf, regionOf, whoAmI } from "../adapters/stack-checks.ts";
import { besideFile, missingItems, namesBelow, putFile, type DataBucket } from "../adapters/stack-data.ts";
import { countDeadLetters } from "../adapters/stack-dead-letters.ts";
import { readLastLine, readLines } from "../adapters/stack-logs.ts";
import { takeRepairRole, type TakenRole } from "../adapters/stack-repair.ts";
import { bucketOf, readStack, type Stack } from "../adapters/stack-outputs.ts";
import { configDigest, type PipelineConfig } from "../protocol/config.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { BucketNotifications } from "../protocol/own-bucket.ts";
import type { Items, Job, Notify, Store } from "../protocol/ports.ts";
import { printable } from "../protocol/printable.ts";
import type { Quota } from "../protocol/quotas.ts";
import { askAndLook } from "./await-ledger.ts";
import { bundleToday, findConfig } from "./compose-local.ts";
import type { DataPlace, GlobalOptions, JobLog, Operator, Pipeline } from "./pipeline.ts";
import { userFolder } from "./user-folder.ts";
import { onStack } from "./words.ts";

/** A job that has ended so long ago has no lines on their way to CloudWatch any more. */
const SETTLED_MS = 60_000;

/**
 * The pipeline of a stack, with the config beside it.
 * @throws {AccreteError} as openPipelinesOf
 */
export async function openStackPipeline(
  options: GlobalOptions,
  name: string,
  warn: (text: string) => void,
): Promise<Pipeline> {
  const file = await findConfig(options.dir, userFolder(process.env));
  const clients = openClients(file);
  const stack = await readStack(clients.cloudFormation, name);
  const config = configOf(stack, file, options.pipeline);
  if (configDigest(config) !== stack.outputs.ConfigDigest)
    warn(`the deployed config of ${config.name} is another one than ${file.file} says: \`npx cdk deploy --all\``);
  return pipelineOf({ stack, config, folder: file.folder, clients });
}

type Clients = ReturnType<typeof openClients>;

/** Where the config says no region, that of the environment or the profile. */
function openClients({ config }: ConfigFile) {
  const { region } = config.aws;
  const options = { ...awsClientOptions(), ...(region === null ? {} : { region }) };
  return {
    batch: new BatchClient(options),
    cloudFormation: new CloudFormationClient(options),
    logs: new CloudWatchLogsClient(options),
    quotas: new ServiceQuotasClient(options),
    s3: openS3Client(region === null ? {} : { config: { region } }),
    /** under another role */
    s3As: (credentials: () => Promise<TakenRole>) =>
      openS3Client({ config: { credentials, ...(region === null ? {} : { region }) } }),
    sns: new SNSClient(options),
    sqs: new SQSClient(options),
    sts: new STSClient(options),
  };
}

/** @throws {AccreteError} USAGE, PIPELINE_UNKNOWN */
function configOf({ name, outputs }: Stack, { config, file }: ConfigFile, asked: string | undefined): PipelineConfig {
  const { Pipeline: pipeline } = outputs;
  if (asked !== undefined && asked !== pipeline)
    throw new AccreteError("USAGE", `the stack ${name} is of the pipeline ${pipeline}, not of ${asked}`);
  const found = config.pipelines.find((one) => one.name === pipeline);
  if (found === undefined)
    throw new AccreteError(
      "PIPELINE_UNKNOWN",
      `the stack ${name} is of the pipeline ${pipeline}, which ${file} has not`,
    );
  return found;
}

interface Opened {
  readonly stack: Stack;
  readonly config: PipelineConfig;
  readonly folder: string;
  readonly clients: Clients;
}

function pipelineOf({ stack, config, folder, clients }: Opened): Pipeline {
  const { outputs, account } = stack;
  const state = bucketOf(outputs.StateUrl);
  const data = dataBucketOf(stack, config, clients);
  const items = itemsBelow(openS3Items(data), config.data.prefix);
  const clock = systemClock();
  const storeBy = (client: S3Client): Store =>
    openS3Store({ client, bucket: state.bucket, prefix: state.prefix, owner: account });
  const pipeline: Pipeline = {
    config,
    folder,
    words: onStack(process.env["ACCRETE_STACK"] === stack.name ? undefined : stack.name),
    store: storeBy(clients.s3),
    items: {
      fetch: (item, path) => items.fetch(item, path),
      list: (prefix, next) => items.list(prefix, next),
      settleMs: 0, // an object is there whole
      missing: (asked) =>
        missingItems(data, asked, { list: (prefix, next) => items.list(prefix, next), prefix: config.data.prefix }),
    },
    data: dataPlaceOf(data, items, config.data.prefix),
    jobs: openBatchJobs({ client: clients.batch, queue: outputs.JobQueue, onDemandQueue: outputs.OnDemandJobQueue }),
    clock,
    logOf: (job) => logOf(clients.logs, outputs.JobLogGroup, job),
    openOperator: async (notify) => operatorOf(pipeline, { clients, stack, notify }),
    async openRepair() {
      const take = () => takeRepairRole(clients.sts, outputs.RepairRoleArn);
      let taken: Promise<TakenRole> | undefined = take();
      await taken; // said before anything is looked at
      return storeBy(
        clients.s3As(() => {
          const role = taken ?? take();
          taken = undefined;
          return role;
        }),
      );
    },
    bundleToday: () => bundleToday({ folder }, config),
    undelivered: async () => [],
    deadLetters: async () => ({
      count: await countDeadLetters(clients.sqs, outputs.DeadLettersUrl),
      alarm: outputs.DeadLettersAlarm,
    }),
    takeIn: async () => undefined,
  };
  return pipeline;
}

/** It may be in a region of its own; nothing else is. */
function dataBucketOf({ outputs }: Stack, { buckets }: PipelineConfig, clients: Clients): DataBucket {
  const { dataRegion: region } = buckets;
  const client = region === null ? clients.s3 : openS3Client({ config: { region } });
  return { client, bucket: bucketOf(outputs.DataUrl).bucket, owner: outputs.DataAccount };
}

/** Without what lies beside the pipeline's prefix, however a key is typed: an operator may see no more. */
function itemsBelow(items: Items, prefix: string): Items {
  return {
    fetch: (item, path) => items.fetch(item, path),
    async list(start, next) {
      if (start.startsWith(prefix)) return items.list(start, next);
      return prefix.startsWith(start) ? items.list(prefix, next) : { items: [] };
    },
  };
}

/** @param prefix what the pipeline has of the bucket: an operator may see no more */
function dataPlaceOf(at: DataBucket, items: Items, prefix: string): DataPlace {
  const url = `s3://${at.bucket}`;
  return {
    name: url,
    now: items,
    keyOf: (path) => (path.startsWith(`${url}/`) ? path.slice(url.length + 1) || undefined : undefined),
    async look(folder) {
      if (folder.startsWith(prefix)) return namesBelow(at, folder);
      return prefix.startsWith(folder) ? namesBelow(at, prefix) : [];
    },
    beside: (key, file) => besideFile(at, key, file),
    put: (key, path, options) => putFile(at, key, path, options),
    together: 8,
  };
}

function logOf(client: CloudWatchLogsClient, group: string, { log, stoppedMs }: Job): JobLog | undefined {
  if (log === undefined) return undefined;
  const at = { group, stream: log };
  const settled = stoppedMs !== undefined && Date.now() - stoppedMs > SETTLED_MS;
  return {
    lines: (ended) => readLines(client, at, { ended: settled ? undefined : ended }),
    last: () => readLastLine(client, at),
  };
}

/** Entries are written here, with the operator's role; ticks are the stack's. */
function operatorOf(
  { config, store, jobs, clock }: Pipeline,
  { clients, stack, notify }: { clients: Clients; stack: Stack; notify: Notify },
): Operator {
  const { TicksUrl, TopicArn } = stack.outputs;
  const ticks = openSqsTicks({ client: clients.sqs, url: TicksUrl, nowMs: clock.nowMs });
  // who finishes an entry tells of it: a commit whose end this command has met would reach nobody else
  const topic =
    TopicArn === ""
      ? undefined
      : openSnsNotices({
          client: clients.sns,
          topic: TopicArn,
          nowMs: clock.nowMs,
          onRefused: (error) => void process.stderr.write(`warning: a notice was not taken: ${printable(error)}\n`),
        });
  const ports = { config, store, jobs, ticks };
  return {
    ledger: {
      ...ports,
      clock,
      notify: {
        async notify(notice) {
          await notify.notify(notice);
          await topic?.notify(notice);
        },
      },
    },
    async tick(why) {
      await askAndLook(ports, why);
      return undefined;
    },
  };
}

/** What `accrete doctor` asks of a stack; each may fail alone. */
export interface StackDoctor {
  readonly file: ConfigFile;
  region(): Promise<string>;
  identity(): Promise<{ account: string; arn: string }>;
  stack(): Promise<Stack>;
  configOf(stack: Stack): PipelineConfig;
  /** in vCPUs */
  quota(quota: Quota): Promise<number>;
  notification(stack: Stack): Promise<BucketNotifications>;
  dataRegion(stack: Stack): Promise<string>;
}

/** @throws {AccreteError} of the config alone */
export async function openStackDoctor(options: GlobalOptions, name: string): Promise<StackDoctor> {
  const file = await findConfig(options.dir, userFolder(process.env));
  const clients = openClients(file);
  return {
    file,
    region: () =>
      clients.sts.config.region().catch((error: unknown) => {
        throw fromAws(error, "the region");
      }),
    identity: () => whoAmI(clients.sts),
    stack: () => readStack(clients.cloudFormation, name),
    configOf: (stack) => configOf(stack, file, options.pipeline),
    quota: (quota) => quotaOf(clients.quotas, quota),
    notification: async (stack) => {
      const at = dataBucketOf(stack, configOf(stack, file, options.pipeline), clients);
      return notificationOf(at.client, at);
    },
    // whatever the config says
    dataRegion: async (stack) =>
      regionOf(clients.s3, { bucket: bucketOf(stack.outputs.DataUrl).bucket, owner: stack.outputs.DataAccount }),
  };
}

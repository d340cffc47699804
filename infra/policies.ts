/**
 * Who may do what in the account, as plain policy statements. Pure functions of names and ARNs, which may be CDK's tokens as well: so the
 * tests evaluate the same statements without a stack. docs/security.md has the table that people read; docs/protocol.md says who writes which key.
 */
import { CODE, CONSUMED, DAMAGED, INBOX, LIVE, LOG, QUARANTINE, ROUNDS, STARTS } from "../protocol/keys.ts";
import { pullImages, writeLogs } from "./instance-policy.ts";
import {
  allow,
  ATTEMPTS,
  CHECKPOINTS,
  dataObjects,
  literal,
  NUMBER,
  PLAN,
  REPLACED,
  RESULT,
  stateKeys,
  type Statement,
} from "./statement.ts";

/** The trusted parts of one pipeline. `operator`: who uses the CLI; `repairer`: who also runs `verify --repair`. */
export type Role = "intake" | "ledger" | "trainer" | "operator" | "repairer" | "scheduler" | "execution";

/** Where a pipeline's parts are. ARNs, where not said otherwise. */
export interface PipelineNames {
  /** aws, aws-cn, aws-us-gov */
  readonly partition: string;
  readonly region: string;
  /** 12 digits: the stack's */
  readonly account: string;
  /** the pipeline's name */
  readonly pipeline: string;
  readonly stateBucket: string;
  readonly dataBucket: string;
  /** 12 digits: the data bucket's */
  readonly dataAccount: string;
  /** the config's data.prefix; no token: it is a literal text */
  readonly dataPrefix: string;
  readonly ticksQueue: string;
  readonly arrivalsQueue: string;
  readonly deadLettersQueue: string;
  /** of AWS Batch: one or two */
  readonly jobQueues: readonly string[];
  /** without a revision */
  readonly jobDefinition: string;
  readonly topic: string | null;
  /** log groups, without a ":*" behind */
  readonly logGroups: { readonly intake: string; readonly ledger: string; readonly jobs: string };
  /** taken for `verify --repair` */
  readonly repairRole: string;
  /** ARN pattern of the pipeline's stack, "...:stack/NAME/*" */
  readonly stack: string;
  /** of the trainer's image, if it is in ECR; else none */
  readonly imageRepositories: readonly string[];
  /** encrypts state, queues and topic; null: the services' own keys */
  readonly stateKey: string | null;
  /** encrypts the data; null: the service's own key */
  readonly dataKey: string | null;
}

/** What each role writes, as in protocol.md's table. */
const CREATES = {
  intake: [`${INBOX}*`],
  ledger: [
    `${INBOX}*`, // the sweep passes what it finds through intake
    `${CODE}*`,
    `${STARTS}*`,
    PLAN,
    `${ATTEMPTS}${NUMBER}.json`,
    `${ATTEMPTS}${NUMBER}.job.json`,
    `${LOG}${NUMBER}.json`,
    `${QUARANTINE}*`,
  ],
  trainer: [CHECKPOINTS, RESULT, `${ATTEMPTS}${NUMBER}.failure.json`],
  // a command finishes the head, then creates its entry
  operator: [`${LOG}${NUMBER}.json`, `${QUARANTINE}*`],
} as const;

/**
 * What each role of a pipeline is allowed.
 * @returns statements of identity policies; the bucket's own refusals come on top
 */
export function policiesOf(names: PipelineNames): Record<Role, Statement[]> {
  return {
    intake: intakeOf(names),
    ledger: ledgerOf(names),
    trainer: trainerOf(names),
    operator: operatorOf(names),
    repairer: repairerOf(names),
    scheduler: [allow("Ask", ["sqs:SendMessage"], [names.ticksQueue]), ...keysOf(names, ["sqs"])],
    execution: [...pullImages(names.imageRepositories), writeLogs([names.logGroups.jobs])],
  };
}

/** Never reads anything. */
function intakeOf(names: PipelineNames): Statement[] {
  return [
    create(names, CREATES.intake),
    allow("Ask", ["sqs:SendMessage"], [names.ticksQueue]),
    receive(names.arrivalsQueue),
    writeLogs([names.logGroups.intake]),
    ...keysOf(names, ["s3", "sqs"]),
  ];
}

function ledgerOf(names: PipelineNames): Statement[] {
  return [
    read(names, [`${INBOX}*`, `${STARTS}*`, `${ROUNDS}*`, `${LOG}*`, `${CONSUMED}*`, LIVE]),
    create(names, [...CREATES.ledger, ...REPLACED]),
    remove(names, [`${INBOX}*`, CHECKPOINTS]),
    giveUp(names, [`${STARTS}*`]),
    list(names, ["*"]),
    listData(names), // the sweep; what is in an object it never sees
    allow("Ask", ["sqs:SendMessage"], [names.ticksQueue]),
    receive(names.ticksQueue),
    allow("Submit", ["batch:SubmitJob"], [...names.jobQueues, `${names.jobDefinition}:*`]),
    ...watchJobs(names, ["batch:DescribeJobs", "batch:ListJobs"]),
    ...tell(names),
    writeLogs([names.logGroups.ledger]),
    ...keysOf(names, ["s3", "sqs", "sns"]),
  ];
}

function trainerOf(names: PipelineNames): Statement[] {
  const reads = [`${CODE}*`, `${STARTS}*`, `${ROUNDS}*`, `${LOG}*`];
  return [
    read(names, reads),
    create(names, CREATES.trainer),
    giveUp(names, [CHECKPOINTS]),
    list(names, reads),
    readData(names, ["s3:GetObject", "s3:GetObjectVersion"]),
    listData(names),
    ...keysOf(names, ["s3"]),
    ...dataKeyOf(names, ["kms:Decrypt"]),
  ];
}

function operatorOf(names: PipelineNames): Statement[] {
  const { intake, ledger, jobs } = names.logGroups;
  return [
    read(names, ["*"]), // verify reads all there is
    create(names, [...CREATES.operator, ...REPLACED]),
    remove(names, [`${INBOX}*`]),
    list(names, ["*"]),
    readData(names, ["s3:GetObject"]),
    allow("Add", ["s3:PutObject", "s3:AbortMultipartUpload"], [dataObjects(names)], ofAccount(names.dataAccount)),
    // HeadBucket says no prefix: names in the data bucket are no secret to an operator
    listData(names, "StringLikeIfExists"),
    allow("ReadEvents", ["s3:GetBucketNotification"], [names.dataBucket]),
    allow("Ask", ["sqs:SendMessage"], [names.ticksQueue]),
    allow("CountDeadLetters", ["sqs:GetQueueAttributes"], [names.deadLettersQueue]),
    ...tell(names), // of an entry that a command has finished
    ...watchJobs(names, ["batch:DescribeJobs"]),
    allow("ReadJobLogs", ["logs:GetLogEvents"], [`${jobs}:*`]),
    // by `aws logs tail`, which asks for the group or for all its streams
    allow(
      "TailLogs",
      ["logs:FilterLogEvents"],
      [intake, ledger, jobs].flatMap((group) => [group, `${group}:*`]),
    ),
    // what a repair may do is not an operator's until it is asked for, and CloudTrail has who did
    allow("TakeRepairRole", ["sts:AssumeRole"], [names.repairRole]),
    allow("ReadStack", ["cloudformation:DescribeStacks"], [names.stack]),
    allow("ReadQuotas", ["servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota"], ["*"]),
    ...keysOf(names, ["s3", "sqs", "sns"]),
    ...dataKeyOf(names, ["kms:Decrypt", "kms:GenerateDataKey"]),
  ];
}

/** Beside the operator's. All but `damaged/` it can only do if stateBucketStatements() has been told of it. */
function repairerOf(names: PipelineNames): Statement[] {
  const mended = [`${INBOX}*`, `${CODE}*`, `${STARTS}*`, `${ROUNDS}*`, `${LOG}*`, `${QUARANTINE}*`];
  return [create(names, [`${DAMAGED}*`, ...mended]), remove(names, mended), giveUp(names, mended)];
}

// ------------------------------------------------------------------------------------------------ parts

/** A bucket that was deleted and made again by a stranger is not ours. */
const ofAccount = (account: string): Record<string, Record<string, string>> => ({
  StringEquals: { "s3:ResourceAccount": account },
});

/** GET and HEAD. */
function read(names: PipelineNames, patterns: readonly string[]): Statement {
  return onState(names, "ReadState", ["s3:GetObject"], patterns);
}

function create(names: PipelineNames, patterns: readonly string[]): Statement {
  return onState(names, "WriteState", ["s3:PutObject"], patterns);
}

function remove(names: PipelineNames, patterns: readonly string[]): Statement {
  return onState(names, "DeleteState", ["s3:DeleteObject"], patterns);
}

/** Of a multipart upload that has failed. */
function giveUp(names: PipelineNames, patterns: readonly string[]): Statement {
  return onState(names, "GiveUploadsUp", ["s3:AbortMultipartUpload"], patterns);
}

function onState(
  names: PipelineNames,
  sid: string,
  actions: readonly string[],
  patterns: readonly string[],
): Statement {
  return allow(
    sid,
    actions,
    patterns.map((pattern) => stateKeys(names, pattern)),
    ofAccount(names.account),
  );
}

/**
 * LIST, and that a key that is not there is a 404 and not a 403: S3 asks for s3:ListBucket then, with the key itself as s3:prefix.
 */
function list(names: PipelineNames, patterns: readonly string[]): Statement {
  return allow("ListState", ["s3:ListBucket"], [names.stateBucket], {
    ...ofAccount(names.account),
    StringLike: { "s3:prefix": patterns.map((pattern) => `${names.pipeline}/${pattern}`) },
  });
}

function listData(names: PipelineNames, like: "StringLike" | "StringLikeIfExists" = "StringLike"): Statement {
  const { dataBucket, dataAccount, dataPrefix } = names;
  // the whole bucket needs no condition, which a request without any prefix would not meet
  const prefixes = dataPrefix === "" ? {} : { [like]: { "s3:prefix": [`${literal(dataPrefix)}*`] } };
  return allow("ListData", ["s3:ListBucket"], [dataBucket], { ...ofAccount(dataAccount), ...prefixes });
}

function readData(names: PipelineNames, actions: readonly string[]): Statement {
  return allow("ReadData", actions, [dataObjects(names)], ofAccount(names.dataAccount));
}

/** As Lambda takes them from a queue. */
function receive(queue: string): Statement {
  return allow("Receive", ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], [queue]);
}

function tell({ topic }: PipelineNames): Statement[] {
  return topic === null ? [] : [allow("Notify", ["sns:Publish"], [topic])];
}

/** Batch can only be asked for all jobs; and a job's ARN has an id that nobody knows before. */
function watchJobs({ partition, region, account }: PipelineNames, looks: readonly string[]): Statement[] {
  return [
    allow("FindJobs", looks, ["*"]),
    allow("EndJobs", ["batch:TerminateJob"], [`arn:${partition}:batch:${region}:${account}:job/*`]),
  ];
}

/** The own key, only through the services that use it. Decrypt is for a multipart upload and for a message as well. */
function keysOf(names: PipelineNames, services: readonly ("s3" | "sqs" | "sns")[]): Statement[] {
  if (names.stateKey === null) return [];
  return [
    allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [names.stateKey], {
      // "*": in China ".cn" follows
      StringLike: { "kms:ViaService": services.map((service) => `${service}.${names.region}.amazonaws.com*`) },
    }),
  ];
}

/** Of the data bucket's region, which may be another. */
function dataKeyOf(names: PipelineNames, actions: readonly string[]): Statement[] {
  if (names.dataKey === null) return [];
  return [allow("UseDataKey", actions, [names.dataKey], { StringLike: { "kms:ViaService": "s3.*.amazonaws.com*" } })];
}

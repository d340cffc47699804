import { ArnFormat, CfnOutput, Stack, Token } from "aws-cdk-lib";
import { Construct } from "constructs";
import { configDigest, type PipelineConfig, type PipelineInput } from "../protocol/config.ts";
import { AccreteError } from "../protocol/errors.ts";
import { regionFault } from "../protocol/own-bucket.ts";
import { Alarms } from "./alarms.ts";
import { bucketPolicy, dataBucket, ownBucket, stateBucket, type BucketRef } from "./buckets.ts";
import type { PipelineCode } from "./code.ts";
import { checkedPipelines } from "./checked-pipelines.ts";
import { dashboard } from "./dashboard.ts";
import { jobQueueArns, Rules } from "./events.ts";
import { forTheDatasOwner } from "./far-data.ts";
import { INTAKE_SECONDS, LEDGER_SECONDS, PipelineFunctions } from "./functions.ts";
import { imageOf, imageRepositories, warnOfTag, type TrainerImage } from "./image.ts";
import { jobDefinition, jobDefinitionArn } from "./job-definition.ts";
import { checkNames, jobQueueName, logGroupName, metricsName } from "./names.ts";
import { PipelineRoles } from "./pipeline-roles.ts";
import { dataBucketStatements, stateBucketStatements } from "./bucket-policies.ts";
import type { PipelineNames } from "./policies.ts";
import { Queues } from "./queues.ts";
import { Schedules } from "./schedule.ts";
import { tagsOf } from "./stage.ts";

export interface IncrementalTrainingPipelineProps {
  /** As in accrete.config.ts, with its buckets, schedule and compute. */
  readonly pipeline: PipelineInput | PipelineConfig;
  /** Made by `await pipelineCode({ pipeline, folder })`. */
  readonly code: PipelineCode;
  /** Part of every name; that of the platform. @default "prod" */
  readonly stage?: string;
  /**
   * What jobs run in, if the pipeline names no image: `await trainerImage({ pipelines })`, which CDK's CLI builds, or the name of
   * one that is there. The platform's too. @default - the pipeline's `compute.image`
   */
  readonly image?: string | TrainerImage;
  /**
   * ARN of a key that encrypts state, queues, topic and logs. Its policy has to let EventBridge, CloudWatch and CloudWatch Logs use
   * it: docs/operations.md has the statements. @default - the services' own keys, which cost nothing
   */
  readonly kmsKeyArn?: string;
  /** ARN of a policy that bounds every role. @default - none */
  readonly permissionsBoundaryArn?: string;
  /** Hears of alarms and notices, after it has confirmed. @default - nobody */
  readonly alarmEmail?: string;
  /** ARN of an SNS topic that hears of them. @default - one is made if there is an `alarmEmail` */
  readonly alarmTopicArn?: string;
  /** Days that logs are kept: one of CloudWatch's numbers. @default 30 */
  readonly logRetentionDays?: number;
  /** A CloudWatch dashboard, $3 a month. @default false */
  readonly dashboard?: boolean;
  /** Where docs/operations.md can be read; alarms link to it. @default "docs/operations.md" */
  readonly runbook?: string;
  /** On jobs as well. @default - accrete:stage and accrete:pipeline alone */
  readonly tags?: Readonly<Record<string, string>>;
}

/**
 * One model that keeps learning: buckets, queues, rules, functions, job definition, schedules, alarms. Its jobs run in the
 * `TrainingPlatform` of the same stage, region and account. Idle it costs less than a dollar a month
 * with up to 480,000 objects in its data bucket, and the image's storage: docs/cost.md.
 * One in a stack: the CLI finds it by the stack's outputs. The platform's stack has to be there first, which CDK is to be told:
 * ```ts
 * const image = await trainerImage({ pipelines: [pipeline] });
 * new TrainingPlatform(platform, "Platform", { pipelines: [pipeline], image });
 * const code = await pipelineCode({ pipeline, folder: import.meta.dirname });
 * new IncrementalTrainingPipeline(stack, "Digits", { pipeline, code, image });
 * stack.addStackDependency(platform);
 * ```
 */
export class IncrementalTrainingPipeline extends Construct {
  readonly stateBucketName: string;
  readonly dataBucketName: string;
  /** ARN of the policy for whoever uses the CLI. */
  readonly operatorPolicyArn: string;

  /** @throws {AccreteError} CONFIG_INVALID */
  constructor(scope: Construct, id: string, props: IncrementalTrainingPipelineProps) {
    super(scope, id);
    const stage = props.stage ?? "prod";
    const pipeline = checked(this, stage, props.pipeline);
    const stack = Stack.of(this);
    const at = { stage, pipeline: pipeline.name, region: stack.region };
    const { kmsKeyArn } = props;
    const state =
      pipeline.buckets.state === null ? stateBucket(this, "State", kmsKeyArn) : ownBucket(this, pipeline.buckets.state);
    const data = pipeline.buckets.data === null ? dataBucket(this, "Data") : ownBucket(this, pipeline.buckets.data);
    const queues = new Queues(this, "Queues", {
      intakeSeconds: INTAKE_SECONDS,
      ledgerSeconds: LEDGER_SECONDS,
      kmsKeyArn,
    });
    const alarms = new Alarms(this, "Alarms", {
      stage,
      pipeline,
      queues,
      topicArn: props.alarmTopicArn,
      email: props.alarmEmail,
      kmsKeyArn,
      runbook: props.runbook ?? "docs/operations.md",
    });
    const { topicArn = "" } = alarms;
    const image = imageOf(stack, pipeline, props.image);
    warnOfTag(this, pipeline.name, pipeline, props.image);
    const names: Omit<PipelineNames, "repairRole"> = {
      ...placesOf(this, stage, pipeline),
      stateBucket: state.arn,
      dataBucket: data.arn,
      ticksQueue: queues.ticks.attrArn,
      arrivalsQueue: queues.arrivals.attrArn,
      deadLettersQueue: queues.deadLetters.attrArn,
      topic: topicArn === "" ? null : topicArn,
      imageRepositories: imageRepositories([image]),
      stateKey: kmsKeyArn ?? null,
    };
    const roles = new PipelineRoles(this, "Roles", { names, boundary: props.permissionsBoundaryArn ?? null });
    protect(this, { state, data, pipeline, roles });
    const everywhere = {
      ACCRETE_STATE: `s3://${state.name}/${pipeline.name}`,
      ACCRETE_DATA: `s3://${data.name}`,
      ACCRETE_ACCOUNT: stack.account,
      ACCRETE_DATA_ACCOUNT: names.dataAccount,
    };
    const definition = jobDefinition(this, "Job", {
      stage,
      pipeline,
      image: image.uri,
      jobRoleArn: roles.trainer.attrArn,
      executionRoleArn: roles.execution.attrArn,
      logRetentionDays: props.logRetentionDays ?? LOG_DAYS,
      kmsKeyArn,
      environment: {
        ...everywhere,
        ACCRETE_SCRATCH: "/scratch",
        // Lambda tells a function its region; a container on a machine of Batch is told none, and refused the metadata that know it
        AWS_REGION: stack.region,
        ...(pipeline.buckets.dataRegion === null ? {} : { ACCRETE_DATA_REGION: pipeline.buckets.dataRegion }),
      },
      tags: tagsOf(stage, pipeline.name, props.tags ?? {}),
    });
    const queueNames = {
      JobQueue: jobQueueName(at),
      OnDemandJobQueue: pipeline.compute.spot ? jobQueueName(at, true) : "",
    };
    const functions = new PipelineFunctions(this, "Functions", {
      at,
      code: props.code,
      roles,
      queues,
      logRetentionDays: props.logRetentionDays ?? LOG_DAYS,
      kmsKeyArn,
      environment: { ...everywhere, ACCRETE_TICKS: queues.ticks.ref, ACCRETE_METRICS: metricsName(at) },
      ledgerEnvironment: {
        ACCRETE_JOB_QUEUE: queueNames.JobQueue,
        ACCRETE_ONDEMAND_JOB_QUEUE: queueNames.OnDemandJobQueue,
        ACCRETE_JOB_DEFINITION: definition.ref,
        ACCRETE_IMAGE: image.uri,
        ACCRETE_TOPIC: topicArn,
      },
    });
    new Rules(this, "Rules", {
      stage,
      pipeline,
      dataBucket: data.name,
      otherAccount: pipeline.buckets.dataAccount,
      queues,
    });
    new Schedules(this, "Schedules", { pipeline, queues, role: roles.scheduler, kmsKeyArn });
    if (props.dashboard === true) dashboard(this, "Dashboard", { stage, pipeline: pipeline.name, queues });

    this.stateBucketName = state.name;
    this.dataBucketName = data.name;
    this.operatorPolicyArn = roles.operatorPolicyArn;
    outputs(this, {
      Pipeline: pipeline.name,
      StateUrl: everywhere.ACCRETE_STATE,
      DataUrl: everywhere.ACCRETE_DATA,
      DataAccount: names.dataAccount,
      TicksUrl: queues.ticks.ref,
      ArrivalsUrl: queues.arrivals.ref,
      DeadLettersUrl: queues.deadLetters.ref,
      DeadLettersAlarm: alarms.deadLetters,
      ...queueNames,
      JobDefinition: definition.ref,
      Image: image.uri,
      JobLogGroup: logGroupName(at, "jobs"),
      IntakeFunction: functions.intake,
      LedgerFunction: functions.ledger,
      TopicArn: topicArn,
      OperatorPolicyArn: roles.operatorPolicyArn,
      RepairRoleArn: roles.repair.attrArn,
      ConfigDigest: configDigest(pipeline),
      AccreteVersion: props.code.version,
      ...forTheDatasOwner(this, { pipeline, names, roles }),
    });
  }
}

/** Days that logs are kept. */
const LOG_DAYS = 30;

function checked(scope: Construct, stage: string, input: PipelineInput | PipelineConfig): PipelineConfig {
  const [pipeline] = checkedPipelines([input]);
  if (pipeline === undefined) throw new Error("one pipeline was checked");
  checkNames(stage, [pipeline.name]);
  const { region } = Stack.of(scope);
  const fault = regionFault(pipeline.buckets, Token.isUnresolved(region) ? undefined : region);
  if (fault !== undefined) throw new AccreteError("CONFIG_INVALID", `${pipeline.name}: ${fault}`);
  return pipeline;
}

/** What is known by name alone. */
function placesOf(
  scope: Construct,
  stage: string,
  pipeline: PipelineConfig,
): Omit<
  PipelineNames,
  | "stateBucket"
  | "dataBucket"
  | "ticksQueue"
  | "arrivalsQueue"
  | "deadLettersQueue"
  | "repairRole"
  | "topic"
  | "imageRepositories"
  | "stateKey"
> {
  const stack = Stack.of(scope);
  const at = { stage, pipeline: pipeline.name };
  const group = (name: "intake" | "ledger" | "jobs"): string =>
    stack.formatArn({
      service: "logs",
      resource: "log-group",
      resourceName: logGroupName(at, name),
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  return {
    partition: stack.partition,
    region: stack.region,
    account: stack.account,
    pipeline: pipeline.name,
    dataAccount: pipeline.buckets.dataAccount ?? stack.account,
    dataPrefix: pipeline.data.prefix,
    dataKey: pipeline.buckets.dataKey,
    jobQueues: jobQueueArns(scope, { stage, pipeline }),
    jobDefinition: jobDefinitionArn(scope, at),
    logGroups: { intake: group("intake"), ledger: group("ledger"), jobs: group("jobs") },
    stack: stack.formatArn({ service: "cloudformation", resource: "stack", resourceName: `${stack.stackName}/*` }),
  };
}

function protect(
  scope: Construct,
  {
    state,
    data,
    pipeline,
    roles,
  }: {
    readonly state: BucketRef;
    readonly data: BucketRef;
    readonly pipeline: PipelineConfig;
    readonly roles: PipelineRoles;
  },
): void {
  const who = { ledgerRole: roles.ledger.attrArn, repairerRole: roles.repair.attrArn };
  bucketPolicy(
    scope,
    "StatePolicy",
    state,
    stateBucketStatements({ stateBucket: state.arn, pipeline: pipeline.name, ...who }),
  );
  // a policy would replace the one that an own bucket has
  if (pipeline.buckets.data === null)
    bucketPolicy(scope, "DataPolicy", data, dataBucketStatements({ dataBucket: data.arn }));
}

function outputs(scope: Construct, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values))
    new CfnOutput(scope, `Output${name}`, { value }).overrideLogicalId(name);
}

/** The two functions: what they run with, and the queues they take from. */
import * as iam from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import * as logs from "aws-cdk-lib/aws-logs";
import * as sqs from "aws-cdk-lib/aws-sqs";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";
import type { PipelineCode } from "./code.ts";
import { logGroup } from "./log-group.ts";
import { functionName } from "./names.ts";
import type { PipelineRoles } from "./pipeline-roles.ts";
import type { Queues } from "./queues.ts";

/** Seconds; the queue's visibility is six times as long. */
export const INTAKE_SECONDS = 60;
/** A sweep of a large bucket, or the end of a large round, is one call. */
export const LEDGER_SECONDS = 300;

interface PipelineFunctionProps {
  readonly functionName: string;
  readonly description: string;
  /** folder with index.mjs, whose export `handler` is called */
  readonly code: string;
  readonly role: iam.CfnRole;
  readonly logGroup: logs.CfnLogGroup;
  readonly seconds: number;
  readonly memoryMb: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly queue: sqs.CfnQueue;
  readonly batch: {
    readonly size: number;
    /** how long a batch is collected */
    readonly windowSeconds: number;
    /** calls at a time; AWS takes 2 and more */
    readonly concurrency: number;
  };
}

class PipelineFunction extends Construct {
  readonly name: string;

  constructor(scope: Construct, id: string, props: PipelineFunctionProps) {
    super(scope, id);
    const code = new Asset(this, "Code", { path: props.code });
    const made = new lambda.CfnFunction(this, "Function", {
      functionName: props.functionName,
      description: props.description,
      role: props.role.attrArn,
      code: { s3Bucket: code.s3BucketName, s3Key: code.s3ObjectKey },
      handler: "index.handler",
      runtime: lambda.Runtime.NODEJS_24_X.name,
      architectures: ["arm64"], // a fifth cheaper; nothing in the bundles is native
      memorySize: props.memoryMb,
      timeout: props.seconds,
      environment: { variables: { ...props.environment } },
      loggingConfig: { logGroup: props.logGroup.ref },
    });
    new lambda.CfnEventSourceMapping(this, "Source", {
      eventSourceArn: props.queue.attrArn,
      functionName: made.ref,
      batchSize: props.batch.size,
      maximumBatchingWindowInSeconds: props.batch.windowSeconds,
      functionResponseTypes: ["ReportBatchItemFailures"],
      scalingConfig: { maximumConcurrency: props.batch.concurrency },
    });
    this.name = made.ref;
  }
}

export interface PipelineFunctionsProps {
  readonly at: { readonly stage: string; readonly pipeline: string };
  readonly code: PipelineCode;
  readonly roles: PipelineRoles;
  readonly queues: Queues;
  readonly logRetentionDays: number;
  readonly kmsKeyArn: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** beside that */
  readonly ledgerEnvironment: Readonly<Record<string, string>>;
}

export class PipelineFunctions extends Construct {
  /** Names. */
  readonly intake: string;
  readonly ledger: string;

  constructor(scope: Construct, id: string, props: PipelineFunctionsProps) {
    super(scope, id);
    const { at, roles, queues } = props;
    this.intake = new PipelineFunction(this, "Intake", {
      functionName: functionName(at, "intake"),
      description: "accrete: data that has come -> the inbox",
      code: props.code.intake,
      role: roles.intake,
      logGroup: logGroup(this, "IntakeLogs", { ...props, name: "intake" }),
      seconds: INTAKE_SECONDS,
      memoryMb: 512,
      environment: props.environment,
      queue: queues.arrivals,
      batch: { size: 1_000, windowSeconds: 5, concurrency: 2 },
    }).name;
    this.ledger = new PipelineFunction(this, "Ledger", {
      functionName: functionName(at, "ledger"),
      description: "accrete: plans, submits, commits",
      code: props.code.ledger,
      role: roles.ledger,
      logGroup: logGroup(this, "LedgerLogs", { ...props, name: "ledger" }),
      seconds: LEDGER_SECONDS,
      memoryMb: 1_024,
      environment: { ...props.environment, ...props.ledgerEnvironment },
      queue: queues.ticks,
      batch: { size: 10, windowSeconds: 0, concurrency: 2 },
    }).name;
  }
}

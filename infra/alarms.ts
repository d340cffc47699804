/**
 * What tells people. Three alarms, of which each costs $0.10 a month; what AWS says by an event (a job that failed, a queue that is
 * blocked) is sent on by a rule, which costs nothing. Each says where docs/operations.md has it.
 */
import { Stack } from "aws-cdk-lib";
import * as cloudwatch from "aws-cdk-lib/aws-cloudwatch";
import * as events from "aws-cdk-lib/aws-events";
import * as sns from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { jobQueueArns } from "./events.ts";
import { metricsName } from "./names.ts";
import type { Queues } from "./queues.ts";
import { documentOf } from "./roles.ts";

/** Of the functions' own metrics, which have one dimension: `pipeline`, with STAGE-PIPELINE as its value. */
export const METRICS = { namespace: "Accrete", blocked: "blocked", oldestPending: "oldestPendingSeconds" } as const;
/** Longer than data waits if all is well: the longest wait, a round's time limit, and a day for a machine to be had. */
const AGE_SLACK_SECONDS = 86_400;

export interface AlarmsProps {
  readonly stage: string;
  readonly pipeline: PipelineConfig;
  readonly queues: Queues;
  readonly topicArn: string | undefined;
  readonly email: string | undefined;
  readonly kmsKeyArn: string | undefined;
  /** Where docs/operations.md can be read. */
  readonly runbook: string;
}

export class Alarms extends Construct {
  /** Undefined: nobody is told. */
  readonly topicArn: string | undefined;
  /** Name of the alarm. */
  readonly deadLetters: string;

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    this.topicArn =
      props.topicArn ?? (props.email === undefined ? undefined : this.#topic(props.email, props.kmsKeyArn));
    const { stage, pipeline, queues } = props;
    const value = metricsName({ stage, pipeline: pipeline.name });
    const own = { namespace: METRICS.namespace, dimensions: [{ name: "pipeline", value }] };
    this.#alarm("Blocked", props, "A round is blocked, or the pipeline is paused: it waits for an operator.", {
      ...own,
      metricName: METRICS.blocked,
      statistic: "Maximum",
      // said on each tick, and the sweep's comes every 15 minutes
      period: 1_800,
      threshold: 1,
    });
    this.#alarm("OldestPending", props, "Data has waited longer than it ever should.", {
      ...own,
      metricName: METRICS.oldestPending,
      statistic: "Maximum",
      period: 3_600,
      threshold: Math.ceil((pipeline.trigger.longestWait + pipeline.jobs.timeLimit) / 1000) + AGE_SLACK_SECONDS,
    });
    this.deadLetters = this.#alarm(
      "DeadLetters",
      props,
      "A message could not be handled five times, or was never delivered.",
      {
        namespace: "AWS/SQS",
        metricName: "ApproximateNumberOfMessagesVisible",
        dimensions: [{ name: "QueueName", value: queues.deadLetters.attrQueueName }],
        statistic: "Maximum",
        period: 300,
        threshold: 1,
      },
    );
    if (this.topicArn !== undefined) this.#rules(this.topicArn, props);
  }

  /** @returns its name */
  #alarm(
    id: string,
    { stage, pipeline, runbook }: AlarmsProps,
    what: string,
    metric: Pick<
      cloudwatch.CfnAlarmProps,
      "namespace" | "metricName" | "dimensions" | "statistic" | "period" | "threshold"
    >,
  ): string {
    const alarmName = `accrete-${stage}-${pipeline.name}-${kebab(id)}`;
    new cloudwatch.CfnAlarm(this, id, {
      alarmName,
      alarmDescription: `${what} What to do: ${runbook}#${kebab(id)}`,
      comparisonOperator: "GreaterThanOrEqualToThreshold",
      evaluationPeriods: 1,
      // metrics come with events alone: none is no news
      treatMissingData: "notBreaching",
      ...(this.topicArn === undefined ? {} : { alarmActions: [this.topicArn], okActions: [this.topicArn] }),
      ...metric,
    });
    return alarmName;
  }

  #rules(topicArn: string, props: AlarmsProps): void {
    const name = `${props.stage}/${props.pipeline.name}`;
    this.#rule("JobFailed", topicArn, {
      pattern: {
        source: ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        detail: { status: ["FAILED"], jobQueue: jobQueueArns(this, props) },
      },
      paths: { job: "$.detail.jobName", id: "$.detail.jobId", reason: "$.detail.statusReason" },
      text: `accrete ${name}: an attempt has failed: job <job> (<id>): <reason>. Another one follows by itself, up to jobs.attempts. What to do: ${props.runbook}#job-failed`,
    });
    this.#rule("JobQueueBlocked", topicArn, {
      pattern: {
        source: ["aws.batch"],
        "detail-type": ["Batch Job Queue Blocked"],
        detail: { jobQueue: jobQueueArns(this, props) },
      },
      paths: { queue: "$.detail.jobQueue", reason: "$.detail.statusReason" },
      text: `accrete ${name}: no machine can be had in <queue>: <reason>. What to do: ${props.runbook}#job-queue-blocked`,
    });
  }

  #rule(
    id: string,
    topicArn: string,
    {
      pattern,
      paths,
      text,
    }: { readonly pattern: object; readonly paths: Record<string, string>; readonly text: string },
  ): void {
    new events.CfnRule(this, id, {
      eventPattern: pattern,
      state: "ENABLED",
      targets: [
        {
          id: "Topic",
          arn: topicArn,
          inputTransformer: { inputPathsMap: paths, inputTemplate: JSON.stringify(text) },
        },
      ],
    });
  }

  #topic(email: string, kmsKeyArn: string | undefined): string {
    const topic = new sns.CfnTopic(this, "Topic", kmsKeyArn === undefined ? {} : { kmsMasterKeyId: kmsKeyArn });
    new sns.CfnSubscription(this, "Email", { topicArn: topic.ref, protocol: "email", endpoint: email });
    const { account } = Stack.of(this);
    new sns.CfnTopicPolicy(this, "TopicPolicy", {
      topics: [topic.ref],
      policyDocument: documentOf([
        {
          Sid: "TlsOnly",
          Effect: "Deny",
          Principal: "*",
          Action: "sns:Publish",
          Resource: topic.ref,
          Condition: { Bool: { "aws:SecureTransport": "false" } },
        },
        {
          Sid: "Alarms",
          Effect: "Allow",
          Principal: { Service: ["cloudwatch.amazonaws.com", "events.amazonaws.com"] },
          Action: "sns:Publish",
          Resource: topic.ref,
          Condition: { StringEquals: { "aws:SourceAccount": account } },
        },
      ]),
    });
    return topic.ref;
  }
}

/** DeadLetters -> dead-letters: the heading in docs/operations.md. */
const kebab = (id: string): string => id.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase();

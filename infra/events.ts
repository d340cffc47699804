/** Which events wake the pipeline: data that has come, the end of its own jobs, and of a deploy. */
import { ArnFormat, Stack } from "aws-cdk-lib";
import * as events from "aws-cdk-lib/aws-events";
import { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { jobQueueName } from "./names.ts";
import type { Queues } from "./queues.ts";

export interface RulesProps {
  readonly stage: string;
  readonly pipeline: PipelineConfig;
  /** name */
  readonly dataBucket: string;
  /** 12 digits: of another account, whose bus sends its events on to this one; null: this account */
  readonly otherAccount: string | null;
  readonly queues: Queues;
}

export class Rules extends Construct {
  constructor(scope: Construct, id: string, props: RulesProps) {
    super(scope, id);
    const { queues, otherAccount } = props;
    if (otherAccount !== null) this.#letIn(otherAccount, props);
    const created = this.#rule("ObjectCreated", queues, queues.arrivals.attrArn, {
      source: ["aws.s3"],
      account: [otherAccount ?? Stack.of(this).account],
      "detail-type": ["Object Created"],
      detail: { bucket: { name: [props.dataBucket] }, object: { key: [{ prefix: props.pipeline.data.prefix }] } },
    });
    const ended = this.#rule("JobEnded", queues, queues.ticks.attrArn, {
      source: ["aws.batch"],
      "detail-type": ["Batch Job State Change"],
      detail: { status: ["SUCCEEDED", "FAILED"], jobQueue: jobQueueArns(this, props) },
    });
    // a deploy may let in what no event told of (another prefix, an earlier `since`), and until it ends events may be lost
    const deployed = this.#rule(
      "Deployed",
      queues,
      queues.ticks.attrArn,
      {
        source: ["aws.cloudformation"],
        "detail-type": ["CloudFormation Stack Status Change"],
        detail: {
          "stack-id": [Stack.of(this).stackId],
          "status-details": { status: ["CREATE_COMPLETE", "UPDATE_COMPLETE"] },
        },
      },
      { format: 1, sweep: true, whole: true },
    );
    queues.allow({ arrivals: [created.attrArn], ticks: [ended.attrArn, deployed.attrArn] });
  }

  /** @param message instead of the event itself */
  #rule(id: string, queues: Queues, queueArn: string, eventPattern: object, message?: object): events.CfnRule {
    return new events.CfnRule(this, id, {
      eventPattern,
      state: "ENABLED",
      targets: [
        {
          id: "Queue",
          arn: queueArn,
          ...(message === undefined ? {} : { input: JSON.stringify(message) }),
          deadLetterConfig: { arn: queues.deadLetters.attrArn },
          retryPolicy: { maximumEventAgeInSeconds: 86_400, maximumRetryAttempts: 185 },
        },
      ],
    });
  }

  /** The account of the data may send events of S3 to this account's bus, and no others. */
  #letIn(account: string, { stage, pipeline }: RulesProps): void {
    const { partition } = Stack.of(this);
    const Sid = `accrete-${stage}-${pipeline.name}`;
    new events.CfnEventBusPolicy(this, "OtherAccount", {
      statementId: Sid,
      statement: {
        Sid,
        Effect: "Allow",
        Principal: { AWS: `arn:${partition}:iam::${account}:root` },
        Action: "events:PutEvents",
        Resource: defaultBusArn(this),
        Condition: { StringEquals: { "events:source": "aws.s3" } },
      },
    });
  }
}

export function defaultBusArn(scope: Construct): string {
  return Stack.of(scope).formatArn({ service: "events", resource: "event-bus", resourceName: "default" });
}

/** Of the pipeline's queues, on demand last. */
export function jobQueueArns(
  scope: Construct,
  { stage, pipeline }: { readonly stage: string; readonly pipeline: PipelineConfig },
): string[] {
  const stack = Stack.of(scope);
  return (pipeline.compute.spot ? [false, true] : [false]).map((onDemand) =>
    stack.formatArn({
      service: "batch",
      resource: "job-queue",
      resourceName: jobQueueName({ stage, region: stack.region, pipeline: pipeline.name }, onDemand),
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    }),
  );
}

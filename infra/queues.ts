/** Where news waits: of data for intake, of anything else for the ledger. What fails again and again ends in one queue of dead letters. */
import { Stack } from "aws-cdk-lib";
import * as sqs from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import { documentOf } from "./roles.ts";

/** Of the functions that take from them: AWS asks for six times as much before a message shows again. */
const VISIBILITY_TIMES = 6;
/** Fewer would take a message that was throttled for one that can't be handled. */
const RECEIVES = 5;
const DAYS = 86_400;

export interface QueuesProps {
  /** of the function that takes from it */
  readonly intakeSeconds: number;
  readonly ledgerSeconds: number;
  readonly kmsKeyArn: string | undefined;
}

export class Queues extends Construct {
  readonly arrivals: sqs.CfnQueue;
  readonly ticks: sqs.CfnQueue;
  readonly deadLetters: sqs.CfnQueue;

  constructor(scope: Construct, id: string, { intakeSeconds, ledgerSeconds, kmsKeyArn }: QueuesProps) {
    super(scope, id);
    const encrypted =
      kmsKeyArn === undefined
        ? { sqsManagedSseEnabled: true }
        : { kmsMasterKeyId: kmsKeyArn, kmsDataKeyReusePeriodSeconds: 3_600 };
    this.deadLetters = new sqs.CfnQueue(this, "DeadLetters", { messageRetentionPeriod: 14 * DAYS, ...encrypted });
    const queue = (id: string, functionSeconds: number): sqs.CfnQueue =>
      new sqs.CfnQueue(this, id, {
        visibilityTimeout: VISIBILITY_TIMES * functionSeconds,
        messageRetentionPeriod: 4 * DAYS,
        receiveMessageWaitTimeSeconds: 20,
        redrivePolicy: { deadLetterTargetArn: this.deadLetters.attrArn, maxReceiveCount: RECEIVES },
        ...encrypted,
      });
    this.arrivals = queue("Arrivals", intakeSeconds);
    this.ticks = queue("Ticks", ledgerSeconds);
  }

  /**
   * TLS alone; and the rules of EventBridge that may send to each.
   * @param rules ARNs
   */
  allow(rules: { readonly arrivals: readonly string[]; readonly ticks: readonly string[] }): void {
    const both = [...rules.arrivals, ...rules.ticks];
    for (const [id, queue, senders] of [
      ["ArrivalsPolicy", this.arrivals, rules.arrivals],
      ["TicksPolicy", this.ticks, rules.ticks],
      ["DeadLettersPolicy", this.deadLetters, both],
    ] as const)
      new sqs.CfnQueuePolicy(this, id, {
        queues: [queue.ref],
        policyDocument: documentOf([
          {
            Sid: "TlsOnly",
            Effect: "Deny",
            Principal: "*",
            Action: "sqs:*",
            Resource: queue.attrArn,
            Condition: { Bool: { "aws:SecureTransport": "false" } },
          },
          {
            Sid: "Rules",
            Effect: "Allow",
            Principal: { Service: "events.amazonaws.com" },
            Action: "sqs:SendMessage",
            Resource: queue.attrArn,
            Condition: {
              ArnEquals: { "aws:SourceArn": senders },
              StringEquals: { "aws:SourceAccount": Stack.of(this).account },
            },
          },
        ]),
      });
  }
}

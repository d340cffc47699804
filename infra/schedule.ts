/** What comes by the clock: the sweep, and the retraining of the config. As messages to the ledger's queue. */
import * as iam from "aws-cdk-lib/aws-iam";
import * as scheduler from "aws-cdk-lib/aws-scheduler";
import { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { scheduleTimes } from "./cron.ts";
import type { Queues } from "./queues.ts";

/** Of the net's tick, and of the sweep, which protocol/sweep.ts has act on few of them; to the minute: it goes by quarters of an hour. */
const SWEEP = "cron(0/15 * * * ? *)";

export interface SchedulesProps {
  readonly pipeline: PipelineConfig;
  readonly queues: Queues;
  readonly role: iam.CfnRole;
  readonly kmsKeyArn: string | undefined;
}

export class Schedules extends Construct {
  constructor(scope: Construct, id: string, { pipeline, queues, role, kmsKeyArn }: SchedulesProps) {
    super(scope, id);
    const send = (id: string, expression: string, timeZone: string, message: object): void => {
      new scheduler.CfnSchedule(this, id, {
        scheduleExpression: expression,
        scheduleExpressionTimezone: timeZone,
        flexibleTimeWindow: { mode: "OFF" },
        ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
        target: {
          arn: queues.ticks.attrArn,
          roleArn: role.attrArn,
          input: JSON.stringify(message),
          // older than that the next one has come
          retryPolicy: { maximumEventAgeInSeconds: 3_600, maximumRetryAttempts: 20 },
        },
      });
    };
    send("Sweep", SWEEP, "UTC", { format: 1, sweep: true });
    if (pipeline.schedule === null) return;
    const { expression, timeZone } = scheduleTimes(pipeline.name, pipeline.schedule);
    send("Retraining", expression, timeZone, {
      format: 1,
      schedule: "<aws.scheduler.scheduled-time>",
      retrain: pipeline.schedule.retrain,
    });
  }
}

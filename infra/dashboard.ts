import { Stack } from "aws-cdk-lib";
import * as cloudwatch from "aws-cdk-lib/aws-cloudwatch";
import type { Construct } from "constructs";
import { METRICS } from "./alarms.ts";
import { metricsName } from "./names.ts";
import type { Queues } from "./queues.ts";

/** One page: what waits, what was trained, what is wrong. $3 a month. */
export function dashboard(
  scope: Construct,
  id: string,
  { stage, pipeline, queues }: { readonly stage: string; readonly pipeline: string; readonly queues: Queues },
): cloudwatch.CfnDashboard {
  const stack = Stack.of(scope);
  const own = (metric: string): string[] => [METRICS.namespace, metric, "pipeline", metricsName({ stage, pipeline })];
  const waiting = (queue: string): string[] => ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue];
  const widget = (title: string, metrics: string[][], at: number): object => ({
    type: "metric",
    x: (at % 2) * 12,
    y: Math.floor(at / 2) * 6,
    width: 12,
    height: 6,
    properties: { title, region: stack.region, metrics, stat: "Maximum", period: 300 },
  });
  const widgets = [
    widget("Data that waits: seconds of the oldest", [own(METRICS.oldestPending)], 0),
    widget("Blocked", [own(METRICS.blocked)], 1),
    widget(
      "Messages that wait",
      [queues.arrivals, queues.ticks, queues.deadLetters].map((queue) => waiting(queue.attrQueueName)),
      2,
    ),
  ];
  return new cloudwatch.CfnDashboard(scope, id, {
    dashboardName: `accrete-${stage}-${pipeline}`,
    dashboardBody: stack.toJsonString({ widgets }),
  });
}

/** LocalStack's scheduler never fires: one with the same properties does, on ministack. */
import { CreateScheduleCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { CreateQueueCommand, GetQueueAttributesCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { expect, it } from "vitest";
import { ministackFault, startMinistack } from "../scripts/ministack.ts";
import { until } from "../scripts/workspace.ts";
import { parseWaking } from "../functions/wakings.ts";
import { clientOptions, cloudOfTests } from "./testing/cloud-of-tests.ts";
import { schedulesOf } from "./testing/remains.ts";

const cloud = cloudOfTests();
const fault = await ministackFault();
/** rate(1 minute), from its creation */
const FIRED_MS_MAX = 100_000;

it.skipIf(fault !== undefined)(
  `fires a deployed schedule each minute${fault === undefined ? "" : `: ${fault}`}`,
  async () => {
    const [deployed] = await schedulesOf(cloud, "accrete-prod-digits");
    const { FlexibleTimeWindow, ScheduleExpressionTimezone, State, Target } = deployed!;
    const ministack = await startMinistack("scheduler,sqs,events");
    try {
      const at = clientOptions({ endpoint: ministack.url });
      const sqs = new SQSClient(at);
      const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "ticks" }));
      const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }));
      await new SchedulerClient(at).send(
        new CreateScheduleCommand({
          Name: "sweep",
          ScheduleExpression: "rate(1 minute)",
          ScheduleExpressionTimezone,
          FlexibleTimeWindow,
          State,
          Target: { ...Target!, Arn: Attributes?.["QueueArn"] },
        }),
      );
      const body = await until(
        "a message",
        FIRED_MS_MAX,
        async () => {
          const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1 }));
          return Messages[0]?.Body;
        },
        500,
      );
      expect(body).toBe(Target?.Input);
      // which the ledger's function understands
      expect(parseWaking(body)).toEqual({ is: "sweep", whole: false });
    } finally {
      await ministack.close();
    }
  },
  180_000,
);

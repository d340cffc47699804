/** What a stack's functions could not handle: messages in its queue of dead letters. */
import { GetQueueAttributesCommand, type SQSClient } from "@aws-sdk/client-sqs";
import * as z from "zod/mini";
import { fromAws } from "./aws-errors.ts";

const Count = z.coerce.number().check(z.int(), z.gte(0));

/**
 * @returns how many there are, those included that somebody looks at just now; SQS counts them about right
 * @throws {AccreteError} what aws-errors.ts makes of AWS' errors
 */
export async function countDeadLetters(client: SQSClient, url: string): Promise<number> {
  try {
    const { Attributes = {} } = await client.send(
      new GetQueueAttributesCommand({
        QueueUrl: url,
        AttributeNames: ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
      }),
    );
    const { ApproximateNumberOfMessages: there, ApproximateNumberOfMessagesNotVisible: looked } = Attributes;
    return Count.parse(there ?? 0) + Count.parse(looked ?? 0);
  } catch (error) {
    throw fromAws(error, "the dead letters could not be counted");
  }
}

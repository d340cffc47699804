/** Ticks by an SQS queue, whose messages wake the ledger. */
import { SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { Ticks } from "../protocol/ports.ts";
import { tickMessage } from "../protocol/tick-message.ts";

/** SQS holds a message back so long at most; then it comes early, and whoever gets it asks again. */
const DELAY_MAX_MS = 900_000;

export interface SqsTicksOptions {
  readonly client: SQSClient;
  readonly url: string;
  readonly nowMs: () => number;
}

/** A call that the SDK sends again may bring a tick twice: that does no harm. */
export function openSqsTicks({ client, url, nowMs }: SqsTicksOptions): Ticks {
  return {
    async ask(tick, delayMs) {
      if (!Number.isFinite(delayMs)) throw new RangeError(`a delay of ${delayMs} ms: expected a finite number`);
      const delay = Math.max(0, delayMs);
      await client.send(
        new SendMessageCommand({
          QueueUrl: url,
          MessageBody: tickMessage(tick, nowMs() + delay),
          DelaySeconds: Math.ceil(Math.min(delay, DELAY_MAX_MS) / 1_000),
        }),
      );
    },
  };
}

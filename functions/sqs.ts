/** The batch of messages that Lambda hands to a function, and what it is told about them. */
import * as z from "zod/mini";

const SqsEvent = z.looseObject({
  Records: z.array(
    z.looseObject({
      messageId: z.string(),
      body: z.string(),
      attributes: z.optional(z.looseObject({ SentTimestamp: z.optional(z.string()) })),
    }),
  ),
});

export interface Message {
  readonly id: string;
  readonly body: string;
  /** by the queue's clock; undefined if it does not say */
  readonly sentMs: number | undefined;
}

/** Messages that are named come again; all others are gone from the queue. */
export interface BatchResponse {
  readonly batchItemFailures: { readonly itemIdentifier: string }[];
}

/** @throws {ZodError} of what no queue sends: the whole batch comes again */
export function messagesOf(event: unknown): Message[] {
  return SqsEvent.parse(event).Records.map(({ messageId, body, attributes }) => {
    const sentMs = Number(attributes?.SentTimestamp);
    return { id: messageId, body, sentMs: Number.isSafeInteger(sentMs) && sentMs > 0 ? sentMs : undefined };
  });
}

export function responseOf(failed: ReadonlySet<string>): BatchResponse {
  return { batchItemFailures: [...failed].map((itemIdentifier) => ({ itemIdentifier })) };
}

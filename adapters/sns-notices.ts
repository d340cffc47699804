/** Notices to an SNS topic, which takes them to people and programs. */
import { PublishCommand, type SNSClient } from "@aws-sdk/client-sns";
import { messageOf } from "../protocol/errors.ts";
import { noticeBody } from "../protocol/notices.ts";
import type { Notify } from "../protocol/ports.ts";
import { isRefusedForGood } from "./aws-client.ts";

export interface SnsNoticesOptions {
  readonly client: SNSClient;
  /** its ARN */
  readonly topic: string;
  readonly nowMs: () => number;
  /** A notice that the topic will never take: it is lost, and the pipeline goes on. */
  readonly onRefused: (error: string) => void;
}

/**
 * Once it has answered, SNS has the notice. What may pass is thrown, so that whoever tells comes again with it; a topic that is gone or
 * not allowed must not stop the pipeline.
 */
export function openSnsNotices({ client, topic, nowMs, onRefused }: SnsNoticesOptions): Notify {
  return {
    async notify(notice) {
      const command = new PublishCommand({
        TopicArn: topic,
        // ASCII, on one line, below 100 characters: SNS refuses others
        Subject: `accrete: ${notice.pipeline}: ${notice.kind}`,
        Message: noticeBody(notice, new Date(nowMs()).toISOString()),
      });
      try {
        await client.send(command);
      } catch (error) {
        if (!isRefusedForGood(error)) throw error;
        onRefused(messageOf(error));
      }
    },
  };
}

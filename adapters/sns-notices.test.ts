import { SNSClient } from "@aws-sdk/client-sns";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NoticeBody } from "../protocol/notices.ts";
import type { Notice, Notify } from "../protocol/ports.ts";
import { openLoopback, type Loopback } from "../test/loopback.ts";
import { awsClientOptions } from "./aws-client.ts";
import { openSnsNotices } from "./sns-notices.ts";

const OK = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
const notice: Notice = {
  kind: "rolled-back",
  pipeline: "digits",
  seq: 4,
  message: "goes on from round 2: a\nreason \u202e with anything in it",
};
const refusal = (code: string): string =>
  `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>no such topic</Message></Error></ErrorResponse>`;

describe("notices to a topic", () => {
  let server: Loopback;
  let notify: Notify;
  const refused: string[] = [];
  beforeEach(async () => {
    refused.length = 0;
    server = await openLoopback();
    const client = new SNSClient({
      ...awsClientOptions({ answerMs: 500 }),
      region: "eu-central-1",
      endpoint: new URL(server.url).origin,
      credentials: { accessKeyId: "AKIATEST", secretAccessKey: "test" },
    });
    const topic = "arn:aws:sns:eu-central-1:123456789012:alarms";
    const onRefused = (error: string): void => void refused.push(error);
    notify = openSnsNotices({ client, topic, nowMs: () => 1_700_000_000_000, onRefused });
  });
  afterEach(() => server.close());

  it("have a subject that SNS takes, and their JSON as body", async () => {
    server.answer({ status: 200, text: OK });
    await notify.notify(notice);
    const form = new URLSearchParams(server.got[0]?.body);
    expect(form.get("TopicArn")).toBe("arn:aws:sns:eu-central-1:123456789012:alarms");
    expect(form.get("Subject")).toBe("accrete: digits: rolled-back");
    const message = form.get("Message") ?? "";
    expect(NoticeBody.parse(JSON.parse(message))).toEqual({ format: 1, ...notice, at: "2023-11-14T22:13:20.000Z" });
    expect(message).not.toContain("\u202e");
  });

  it("are told again by whoever tells, if SNS could not be asked", async () => {
    server.answer({ status: 503, text: "" });
    await expect(notify.notify(notice)).rejects.toThrow(/unknown|503|service/i);
    expect(server.got.length).toBeGreaterThan(1);
    expect(refused).toEqual([]);
  });

  it("don't stop the pipeline where the topic is gone", async () => {
    server.answer({ status: 404, text: refusal("NotFound") });
    await notify.notify(notice);
    expect(refused).toEqual(["no such topic"]);
    expect(server.got).toHaveLength(1);
  });
});

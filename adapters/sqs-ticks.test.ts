import { SQSClient } from "@aws-sdk/client-sqs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Tick, Ticks } from "../protocol/ports.ts";
import { TickMessage } from "../protocol/tick-message.ts";
import { openLoopback, type Loopback } from "../test/loopback.ts";
import { awsClientOptions } from "./aws-client.ts";
import { openSqsTicks } from "./sqs-ticks.ts";

const NOW = 1_700_000_000_000;

describe("ticks by a queue", () => {
  let server: Loopback;
  let ticks: Ticks;
  beforeEach(async () => {
    server = await openLoopback();
    server.answer({
      status: 200,
      headers: { "content-type": "application/x-amz-json-1.0" },
      text: '{"MessageId":"1"}',
    });
    const client = new SQSClient({
      ...awsClientOptions({ answerMs: 500 }),
      region: "eu-central-1",
      endpoint: new URL(server.url).origin,
      credentials: { accessKeyId: "AKIATEST", secretAccessKey: "test" },
      // the loopback's answer has no digest of the body
      md5: false,
    });
    ticks = openSqsTicks({ client, url: `${new URL(server.url).origin}/123456789012/ticks`, nowMs: () => NOW });
  });
  afterEach(() => server.close());
  const sent = (): { delay: number; url: string; message: TickMessage }[] =>
    server.got.map(({ body }) => {
      const { DelaySeconds, MessageBody, QueueUrl } = JSON.parse(body);
      return { delay: DelaySeconds, url: QueueUrl, message: TickMessage.parse(JSON.parse(MessageBody)) };
    });

  it.each([
    [0, 0],
    [-5, 0],
    [1, 1],
    [2_000.4, 3],
    [900_000, 900],
    [900_001, 900],
    [86_400_000, 900],
  ])("is held back for %d ms as far as the queue can: %d s", async (delayMs, seconds) => {
    await ticks.ask({ kind: "plain" }, delayMs);
    const [one] = sent();
    expect(one).toMatchObject({ delay: seconds, message: { tick: { kind: "plain" } } });
    expect(one?.message.dueMs).toBe(NOW + Math.round(Math.max(0, delayMs)));
  });

  it.each<Tick>([
    { kind: "net" },
    { kind: "segment", segment: "inbox/1.json" },
    { kind: "train", seq: 3 },
    { kind: "rehearse", seq: 3 },
    { kind: "retry", seq: 3, round: 2, attempt: 5 },
    { kind: "schedule", timeMs: NOW, retrain: "full" },
  ])("arrives as it was asked for: $kind", async (tick) => {
    await ticks.ask(tick, 10);
    expect(sent().map(({ message }) => message.tick)).toEqual([tick]);
  });

  it("is asked for again after what passes, and throws what does not", async () => {
    server.answer(500, "hang", { status: 200, text: '{"MessageId":"1"}' });
    await ticks.ask({ kind: "plain" }, 0);
    expect(server.got).toHaveLength(3);
    server.answer({ status: 400, headers: { "x-amzn-errortype": "QueueDoesNotExist" }, text: '{"message":"gone"}' });
    await expect(ticks.ask({ kind: "plain" }, 0)).rejects.toThrow("gone");
    await expect(ticks.ask({ kind: "plain" }, Number.NaN)).rejects.toThrow(RangeError);
  });
});

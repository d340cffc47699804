/** What AWS puts into the functions' queues, and a log that remembers. */
import type { Field, Log, MetricValues } from "../functions/log.ts";

export interface RecordOptions {
  readonly bucket?: string;
  readonly requester?: string;
  readonly size?: number;
  readonly etag?: string;
  readonly versionId?: string;
  readonly time?: string;
}

/** As EventBridge tells of an object, with fields that nobody here reads. */
export function objectCreated(key: string, options: RecordOptions = {}): string {
  const { bucket = "data", requester = "123456789012", size = 10, etag = "9a0364b9e99bb480dd25e1f0284c8555" } = options;
  return JSON.stringify({
    version: "0",
    id: "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    source: "aws.s3",
    account: "123456789012",
    time: options.time ?? "2026-01-31T08:00:00Z",
    region: "eu-central-1",
    resources: [`arn:aws:s3:::${bucket}`],
    detail: {
      version: "0",
      bucket: { name: bucket },
      object: {
        key,
        size,
        etag,
        sequencer: "00617F08299329D189",
        ...(options.versionId === undefined ? {} : { "version-id": options.versionId }),
      },
      "request-id": "N4N7GDK58NMKJ12R",
      requester,
      "source-ip-address": "1.2.3.4",
      reason: "PutObject",
    },
  });
}

/** As S3 itself tells a queue of it: the key is encoded as in a form. */
export function notified(key: string, options: RecordOptions = {}): string {
  const {
    bucket = "data",
    requester = "AWS:AIDAEXAMPLE",
    size = 10,
    etag = "9a0364b9e99bb480dd25e1f0284c8555",
  } = options;
  return JSON.stringify({
    Records: [
      {
        eventVersion: "2.1",
        eventSource: "aws:s3",
        awsRegion: "eu-central-1",
        eventTime: options.time ?? "2026-01-31T08:00:00.000Z",
        eventName: "ObjectCreated:Put",
        userIdentity: { principalId: requester },
        s3: {
          s3SchemaVersion: "1.0",
          bucket: { name: bucket, arn: `arn:aws:s3:::${bucket}` },
          object: { key: encodeURIComponent(key).replaceAll("%20", "+"), size, eTag: etag },
        },
      },
    ],
  });
}

/** A batch as Lambda gets it; messages are named m0, m1 ... */
export function sqsBatch(bodies: readonly string[], sentMs = Date.parse("2026-01-31T12:00:00Z")): object {
  return {
    Records: bodies.map((body, i) => ({
      messageId: `m${i}`,
      receiptHandle: "AQEB",
      body,
      attributes: { ApproximateReceiveCount: "1", SentTimestamp: String(sentMs) },
      messageAttributes: {},
      eventSource: "aws:sqs",
      eventSourceARN: "arn:aws:sqs:eu-central-1:123456789012:queue",
      awsRegion: "eu-central-1",
    })),
  };
}

export function jobChanged(jobName: string, status: string, more: object = {}): string {
  return JSON.stringify({
    version: "0",
    "detail-type": "Batch Job State Change",
    source: "aws.batch",
    time: "2026-01-31T08:00:00Z",
    detail: { jobId: "4c7599ae-0a82-49aa-ba5a-4727fcce14a8", jobName, status, attempts: [], ...more },
  });
}

export interface Said {
  readonly level: "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, Field>>;
}

export interface RememberingLog extends Log {
  readonly said: Said[];
  readonly measured: MetricValues[];
}

export function rememberingLog(): RememberingLog {
  const said: Said[] = [];
  const measured: MetricValues[] = [];
  return {
    said,
    measured,
    info: (event, fields = {}) => void said.push({ level: "info", event, fields }),
    warn: (event, fields = {}) => void said.push({ level: "warn", event, fields }),
    error: (event, error, fields = {}) =>
      void said.push({ level: "error", event, fields: { ...fields, message: String(error) } }),
    metrics: (values) => void measured.push(values),
  };
}

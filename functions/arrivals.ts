/**
 * News of objects, as EventBridge or S3 itself puts it into the queue. Strict about what an item needs, lenient about what AWS may add.
 * What is no news of an object is understood and dropped; what can't be understood is said to be so, and ends among the dead letters.
 */
import * as z from "zod/mini";
import type { Arrival } from "../protocol/ports.ts";

export interface News {
  readonly arrival: Arrival;
  /** who put the object there: an account or a principal, as S3 says it */
  readonly requester: string;
}

export interface ParsedNews {
  readonly news: readonly News[];
  /** what was understood and is no news */
  readonly dropped: readonly string[];
  /** why it could not be understood, or a part of it */
  readonly unreadable?: string;
}

// a lone surrogate is no text: no object has it in its key, and it could not be written down
const Text = z.string().check(
  z.minLength(1),
  z.refine((text) => text.isWellFormed(), "no text"),
);
const Time = z.iso.datetime({ offset: true });
const NO_ONE = "unknown";
const REQUESTER_MAX = 256;

const Bridged = z.looseObject({ source: z.string(), "detail-type": z.string() });
const ObjectCreated = z.looseObject({
  time: z.optional(Time),
  detail: z.looseObject({
    bucket: z.looseObject({ name: Text }),
    object: z.looseObject({
      key: Text,
      size: z.int().check(z.gte(0)),
      etag: Text,
      "version-id": z.optional(z.string()),
    }),
    requester: z.optional(Text),
  }),
});

const Notified = z.looseObject({ Records: z.array(z.unknown()) });
const NotifiedRecord = z.looseObject({ eventSource: z.literal("aws:s3"), eventName: z.string() });
const NotifiedCreation = z.looseObject({
  eventTime: z.optional(Time),
  userIdentity: z.optional(z.looseObject({ principalId: z.optional(Text) })),
  s3: z.looseObject({
    bucket: z.looseObject({ name: Text }),
    object: z.looseObject({
      key: Text,
      size: z.int().check(z.gte(0)),
      eTag: Text,
      versionId: z.optional(z.string()),
    }),
  }),
});
const TestEvent = z.looseObject({ Event: z.literal("s3:TestEvent") });

/** @param body of one message */
export function parseNews(body: string): ParsedNews {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return unreadable("not JSON");
  }
  const bridged = Bridged.safeParse(value);
  if (bridged.success) return parseBridged(bridged.data);
  const notified = Notified.safeParse(value);
  if (notified.success) {
    const each = notified.data.Records.map(parseNotified);
    const fault = each.find((one) => one.unreadable !== undefined)?.unreadable;
    return {
      news: each.flatMap(({ news }) => news),
      dropped: each.flatMap(({ dropped }) => dropped),
      ...(fault === undefined ? {} : { unreadable: fault }),
    };
  }
  return TestEvent.safeParse(value).success
    ? dropped("s3:TestEvent")
    : unreadable("neither an event nor a notification");
}

function parseBridged(event: z.infer<typeof Bridged>): ParsedNews {
  const type = event["detail-type"];
  if (event.source !== "aws.s3" || type !== "Object Created") return dropped(`${event.source} ${type}`);
  const parsed = ObjectCreated.safeParse(event);
  if (!parsed.success) return unreadable(issueOf(parsed.error));
  const { time, detail } = parsed.data;
  const { key, size, etag, "version-id": versionId } = detail.object;
  return newsOf({ bucket: detail.bucket.name, key, etag, size, versionId, time, requester: detail.requester });
}

function parseNotified(record: unknown): ParsedNews {
  const known = NotifiedRecord.safeParse(record);
  if (!known.success) return unreadable(issueOf(known.error));
  const { eventName } = known.data;
  // ObjectCreated:Put ..., with "s3:" before it in the configuration alone
  if (!/^(s3:)?ObjectCreated:/.test(eventName)) return dropped(eventName);
  const parsed = NotifiedCreation.safeParse(record);
  if (!parsed.success) return unreadable(issueOf(parsed.error));
  const { eventTime, userIdentity, s3 } = parsed.data;
  const key = decodeKey(s3.object.key);
  if (key === undefined) return unreadable("a key that is not URL-encoded");
  const { size, eTag: etag, versionId } = s3.object;
  const requester = userIdentity?.principalId;
  return newsOf({ bucket: s3.bucket.name, key, etag, size, versionId, time: eventTime, requester });
}

/** S3's own notifications have keys as in a form; those of EventBridge are as they are. */
function decodeKey(key: string): string | undefined {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function newsOf(found: {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
  readonly size: number;
  readonly versionId: string | undefined;
  readonly time: string | undefined;
  readonly requester: string | undefined;
}): ParsedNews {
  const { bucket, key, size, versionId, time, requester = NO_ONE } = found;
  // "null" is the version of an unversioned put, which another one may replace: then the etag tells
  const hasVersion = versionId !== undefined && versionId !== "" && versionId !== "null";
  const arrival: Arrival = {
    bucket,
    key,
    etag: found.etag.replaceAll('"', ""),
    size,
    ...(hasVersion ? { versionId } : {}),
    ...(time === undefined ? {} : { modifiedMs: Date.parse(time) }),
  };
  return { news: [{ arrival, requester: requester.slice(0, REQUESTER_MAX) }], dropped: [] };
}

const dropped = (what: string): ParsedNews => ({ news: [], dropped: [what] });
const unreadable = (why: string): ParsedNews => ({ news: [], dropped: [], unreadable: why });

/** Where it is wrong, without what was found there. */
function issueOf({ issues }: z.core.$ZodError): string {
  const [issue] = issues;
  return `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "wrong"}`;
}

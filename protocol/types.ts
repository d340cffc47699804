/**
 * Strict, versioned, size-capped schemas of every stored document. Whatever is read from a store is parsed by one of
 * these, once; what is written is checked too. See docs/protocol.md for what each means.
 */
import * as z from "zod/mini";
import { AccreteError, messageOf } from "./errors.ts";
import { canonicalJson, canonicalMembers, joinMembers, jsonBytes, sha256 } from "./digest.ts";
import { DataConfig } from "./data-config.ts";
import { TrainerConfig } from "./trainer-config.ts";

const MiB = 1_048_576;

/** Arrivals in one segment. More in one delivery become several segments: a segment is read whole. */
export const SEGMENT_ITEMS_MAX = 1_000;
/** Items in one plan: the plan is one document, read whole by each tick that needs it. */
export const PLAN_ITEMS_MAX = 100_000;

const Count = z.int().check(z.gte(0));
const Round = z.int().check(z.gte(0), z.lte(9_999_999_999));
const Seq = Round;
const Ms = z.int().check(z.gte(0), z.lte(9_999_999_999_999));
const Sha256 = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const ItemId = z.string().check(z.regex(/^[A-Za-z0-9_-]{22}$/));
const Key = z.string().check(z.minLength(1), z.maxLength(1_024));
const Text = z.string().check(z.maxLength(4_096));
const Format1 = z.literal(1);
const MetricName = z.string().check(z.regex(/^[a-zA-Z][a-zA-Z0-9._-]{0,63}$/));
/** A number a metric; NaN cannot be stored, so a metric that is not finite is left out. */
export const Metrics = z.record(MetricName, z.number());
export type Metrics = z.infer<typeof Metrics>;

export const Item = z.strictObject({
  bucket: z.string().check(z.minLength(1), z.maxLength(255)),
  key: Key,
  /** without quotes; in a directory the content's sha256 */
  etag: z.string().check(z.minLength(1), z.maxLength(255)),
  size: z.int().check(z.gte(0)),
  /** how to read it, where the news brought one; no part of its identity */
  versionId: z.optional(z.string().check(z.maxLength(1_024))),
});
export type Item = z.infer<typeof Item>;

export const Segment = z.strictObject({
  format: Format1,
  items: z.array(Item).check(z.minLength(1), z.maxLength(SEGMENT_ITEMS_MAX)),
});
export type Segment = z.infer<typeof Segment>;

/** A committed checkpoint, as entries, plans and live.json name it; null in their place is "nothing trained". */
export const Checkpoint = z.strictObject({
  /** the manifest's key */
  manifest: Key,
  /** the manifest's digest */
  sha256: Sha256,
  /** the round whose result it is */
  round: Round,
  /** optimizer updates since nothing was trained */
  step: Count,
  /** passes over data since nothing was trained */
  epoch: Count,
});
export type Checkpoint = z.infer<typeof Checkpoint>;

export const Plan = z.strictObject({
  format: Format1,
  pipeline: z.string().check(z.regex(/^[a-z][a-z0-9-]{0,39}$/)),
  round: Round,
  /** extend: added data; redo: consumed items that a rollback left to be trained again; rehearse: memory only */
  kind: z.enum(["extend", "redo", "rehearse"]),
  /** sorted by key's bytes, then etag; each once */
  items: z.array(Item).check(z.maxLength(PLAN_ITEMS_MAX)),
  /** keys of the segments taken: whole ones */
  segments: z.array(Key).check(z.maxLength(1_000)),
  parent: z.nullable(Checkpoint),
  live: z.nullable(Checkpoint),
  epochsToAdd: z.int().check(z.gte(1)),
  trainer: TrainerConfig,
  data: DataConfig,
  /** digest of the bundled model module: code/<sha256>.mjs */
  code: Sha256,
  /** digest of the weights of a warm start, start/<sha256>.safetensors: of a round before which nothing was trained */
  start: z.nullable(Sha256),
  image: z.nullable(Text),
  jobDefinition: z.nullable(Text),
  /** 1..2^32-1, a hash of config seed, pipeline and round */
  seed: z.int().check(z.gte(1), z.lte(0xffff_ffff)),
  /** time of the schedule that asked for it; 0: none */
  scheduled: Ms,
});
export type Plan = z.infer<typeof Plan>;

/** attempts/<k>.json: only who created it submits, once. */
export const Intent = z.strictObject({
  format: Format1,
  round: Round,
  attempt: Count,
  /** 32 hex digits; the job's name ends with it */
  nonce: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
  jobName: z.string().check(z.minLength(1), z.maxLength(128)),
  /** made by an operator's `retry` */
  retry: z.boolean(),
});
export type Intent = z.infer<typeof Intent>;

export const JobRecord = z.strictObject({
  format: Format1,
  jobId: z.string().check(z.minLength(1), z.maxLength(256)),
});
export type JobRecord = z.infer<typeof JobRecord>;

/** attempts/<k>.failure.json: why the attempt can't go on as things are. */
export const FailureRecord = z.strictObject({
  format: Format1,
  code: z.string().check(z.regex(/^[A-Z][A-Z0-9_]{1,63}$/)),
  message: Text,
  /** keys of the items at fault, the first few */
  items: z.array(Key).check(z.maxLength(20)),
  /** the exit code that follows */
  exit: z.int().check(z.gte(0), z.lte(255)),
});
export type FailureRecord = z.infer<typeof FailureRecord>;

/** MANIFEST.json: written last; without it the checkpoint does not exist. */
export const Manifest = z.strictObject({
  format: Format1,
  round: Round,
  /** digest of the plan's bytes */
  plan: Sha256,
  /** digest of the plan's code and of the parent's manifest: what it was trained by and from */
  code: Sha256,
  parent: z.nullable(Sha256),
  /** `<k>.<retry>` and the run drawn at the start of the process */
  attempt: z.string().check(z.regex(/^\d{1,10}\.\d{1,10}$/)),
  run: z.string().check(z.regex(/^[0-9a-z]{1,32}$/)),
  step: Count,
  epoch: Count,
  files: z
    .array(
      z.strictObject({
        /** within the checkpoint's folder: no slash */
        name: z.string().check(z.regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/)),
        size: Count,
        sha256: Sha256,
        /** as the store gave it */
        etag: z.string().check(z.minLength(1), z.maxLength(255)),
      }),
    )
    .check(z.minLength(1), z.maxLength(1_000)),
  /** what the bits depend on: backend, CPU model, threads, versions */
  environment: z.record(MetricName, z.string().check(z.maxLength(256))),
});
export type Manifest = z.infer<typeof Manifest>;

export const RejectedItem = z.strictObject({
  item: Item,
  code: z.enum(["gone", "bad", "archived", "forbidden"]),
  /** with the line and column where there is one */
  message: Text,
});
export type RejectedItem = z.infer<typeof RejectedItem>;

/** result.json: ready to commit. The first one counts, whoever wrote it. */
export const Result = z.strictObject({
  format: Format1,
  round: Round,
  /** digest of the plan's bytes */
  plan: Sha256,
  attempt: z.string().check(z.regex(/^\d{1,10}\.\d{1,10}$/)),
  /** the final checkpoint */
  checkpoint: Checkpoint,
  epochsAdded: Count,
  stepsAdded: Count,
  rejected: z.array(RejectedItem).check(z.maxLength(PLAN_ITEMS_MAX)),
  /** of the new checkpoint, on the holdouts: loss, accuracy, holdoutRecords, trainRecords, seconds ... */
  metrics: Metrics,
  /** of the plan's live checkpoint on the same holdouts; null without one */
  liveMetrics: z.nullable(Metrics),
});
export type Result = z.infer<typeof Result>;

/** Consumed items still to be trained again: items of `rounds`' plans, less `less`, plus `plus`. */
export const Redo = z.strictObject({
  rounds: z.array(Round).check(z.maxLength(100_000)),
  less: z.array(ItemId).check(z.maxLength(PLAN_ITEMS_MAX)),
  plus: z.array(Item).check(z.maxLength(PLAN_ITEMS_MAX)),
});
export type Redo = z.infer<typeof Redo>;

export const Kept = z.strictObject({
  checkpoint: Checkpoint,
  /** of the entry that committed it */
  seq: Seq,
  /** seq of the newest entry after which it was live; 0: never */
  liveAt: Seq,
  /** what the gate's metric was on its round's holdouts; null: nobody asked for the best, or it was not measured */
  measured: z.nullable(z.strictObject({ metric: MetricName, value: z.number() })),
});
export type Kept = z.infer<typeof Kept>;

export const GateDecision = z.strictObject({
  passed: z.boolean(),
  /** live is the result's from here on */
  goesLive: z.boolean(),
  because: z.enum(["first", "no-gate", "within", "worse", "live-changed", "nothing-trained", "not-measured"]),
  reasons: z.array(Text).check(z.maxLength(20)),
});
export type GateDecision = z.infer<typeof GateDecision>;

/** How long jobs ran on a day of UTC, and in its month up to then; of the rounds that were closed by then. */
export const Spent = z.strictObject({
  day: z.string().check(z.regex(/^\d{4}-\d{2}-\d{2}$/)),
  dayMs: Count,
  monthMs: Count,
});
export type Spent = z.infer<typeof Spent>;

const State = {
  format: Format1,
  seq: z.int().check(z.gte(1)),
  /** sha256 of the bytes of the entry before; null in the first */
  parent: z.nullable(Sha256),
  /** for people: no decision rests on it */
  at: Ms,
  /** the newest closed round: only round + 1 is open */
  round: Round,
  /** the head's; null: nothing trained */
  checkpoint: z.nullable(Checkpoint),
  redo: z.nullable(Redo),
  live: z.nullable(Checkpoint),
  /** what later entries may name; beside "nothing trained", which they always may */
  keep: z.array(Kept).check(z.maxLength(10_000)),
  /** time of the newest schedule acted on */
  scheduled: Ms,
  spent: Spent,
};
/** how long the jobs of the round ran that the entry closes, all attempts */
const jobMs = Count;
const Command = {
  by: z.string().check(z.maxLength(256)),
  reason: Text,
  /** the command's own: an entry with it means that the command has won */
  nonce: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
};

export const RoundEntry = z.strictObject({
  ...State,
  kind: z.literal("round"),
  jobMs,
  plan: z.strictObject({ key: Key, sha256: Sha256 }),
  result: z.strictObject({ key: Key, sha256: Sha256 }),
  items: Count,
  rejected: Count,
  metrics: Metrics,
  liveMetrics: z.nullable(Metrics),
  gate: GateDecision,
  /** the plan's redo was trained: a refusal of it is not taken back by itself */
  wasRedo: z.boolean(),
});
export type RoundEntry = z.infer<typeof RoundEntry>;

export const RollbackEntry = z.strictObject({
  ...State,
  ...Command,
  kind: z.literal("rollback"),
  jobMs,
  /** the entry gone back to; 0: nothing trained */
  to: Seq,
  replay: z.boolean(),
  /** taken out of history: consumed here, in no redo */
  without: z.array(Item).check(z.maxLength(PLAN_ITEMS_MAX)),
  /** consumed ones that were asked for again */
  with: z.array(Item).check(z.maxLength(PLAN_ITEMS_MAX)),
  /** auto: made by a tick, the gate having refused the entry before; schedule: a full retraining */
  cause: z.enum(["operator", "auto", "schedule"]),
});
export type RollbackEntry = z.infer<typeof RollbackEntry>;

export const PromoteEntry = z.strictObject({
  ...State,
  ...Command,
  kind: z.literal("promote"),
  /** the entry whose checkpoint goes live; 0: nothing trained */
  target: Seq,
});
export type PromoteEntry = z.infer<typeof PromoteEntry>;

export const LogEntry = z.discriminatedUnion("kind", [RoundEntry, RollbackEntry, PromoteEntry]);
export type LogEntry = z.infer<typeof LogEntry>;

/** One shard of consumed/: ids, sorted. */
export const Consumed = z.strictObject({ format: Format1, ids: z.array(ItemId) });
export type Consumed = z.infer<typeof Consumed>;

export const Live = z.strictObject({ format: Format1, seq: Seq, live: z.nullable(Checkpoint) });
export type Live = z.infer<typeof Live>;

export const Quarantined = z.strictObject({ format: Format1, round: Round, rejected: RejectedItem });
export type Quarantined = z.infer<typeof Quarantined>;

/** Bytes of the largest document of each kind that is read: more is damage, or somebody else's. */
export const BYTES_MAX = {
  segment: 16 * MiB,
  plan: 128 * MiB,
  intent: 64 * 1_024,
  jobRecord: 64 * 1_024,
  failure: 256 * 1_024,
  manifest: 4 * MiB,
  result: 128 * MiB,
  logEntry: 64 * MiB,
  consumed: 256 * MiB,
  live: 64 * 1_024,
  quarantined: 256 * 1_024,
} as const;

export const SCHEMAS = {
  segment: Segment,
  plan: Plan,
  intent: Intent,
  jobRecord: JobRecord,
  failure: FailureRecord,
  manifest: Manifest,
  result: Result,
  logEntry: LogEntry,
  consumed: Consumed,
  live: Live,
  quarantined: Quarantined,
} as const;
export type DocumentKind = keyof typeof SCHEMAS;
export type DocumentOf<K extends DocumentKind> = z.infer<(typeof SCHEMAS)[K]>;

/** Every document carries the digest of its own canonical JSON, so that a flipped bit is seen by whoever reads it next. */
const Sealed = z.looseObject({ digest: Sha256 });

const FORBIDDEN_NAMES = ["__proto__", "constructor", "prototype"];

/**
 * Reads a stored document.
 * @param key for the message: which object it was
 * @throws {AccreteError} STORED_TOO_LARGE, STORED_NOT_READABLE
 */
export function parseDocument<K extends DocumentKind>(kind: K, key: string, body: Uint8Array): DocumentOf<K> {
  if (body.byteLength > BYTES_MAX[kind]) {
    throw new AccreteError("STORED_TOO_LARGE", `${key}: ${body.byteLength} bytes, at most ${BYTES_MAX[kind]} expected`);
  }
  let value: unknown;
  let members: readonly string[];
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    value = parseJson(text);
    members = typeof value === "object" && value !== null ? canonicalMembers(value) : [];
    // the same value can be spelled in other ways (1e-7, 1E-7), but the log names documents by their bytes
    if (joinMembers(members) !== text) throw new Error("it is not in the form in which it is written");
  } catch (cause) {
    throw new AccreteError("STORED_NOT_READABLE", `${key}: not JSON of ours: ${messageOf(cause)}`, { cause });
  }
  const sealed = Sealed.safeParse(value);
  if (!sealed.success)
    throw new AccreteError("STORED_NOT_READABLE", `${key}: no ${kind}: it carries no digest of itself`);
  const { digest, ...document } = sealed.data;
  if (sha256(joinMembers(members.filter((member) => !member.startsWith('"digest":')))) !== digest) {
    throw new AccreteError(
      "STORED_NOT_READABLE",
      `${key}: its digest is not that of its contents: it was changed or damaged`,
    );
  }
  const parsed = z.safeParse(SCHEMAS[kind], document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.length ? `at ${issue.path.join(".")}: ` : "";
    throw new AccreteError("STORED_NOT_READABLE", `${key}: not a ${kind}: ${where}${issue?.message ?? "unknown"}`);
  }
  return parsed.data as DocumentOf<K>;
}

/** A name that is spelled with an escape is not seen here, but no document of ours is spelled so. */
function parseJson(text: string): unknown {
  const suspect = FORBIDDEN_NAMES.some((name) => text.includes(`"${name}"`));
  if (!suspect) return JSON.parse(text);
  // a call for each value: several times slower
  return JSON.parse(text, (name, member: unknown) => {
    if (FORBIDDEN_NAMES.includes(name)) throw new Error(`a property named ${name}`);
    return member;
  });
}

/**
 * The bytes of a document, checked by its schema: what is written can be read.
 * @throws {AccreteError} STORED_TOO_LARGE, STORED_NOT_READABLE, before anything is written
 */
export function documentBytes<K extends DocumentKind>(kind: K, key: string, document: DocumentOf<K>): Uint8Array {
  const body = jsonBytes({ ...document, digest: sha256(canonicalJson(document)) });
  parseDocument(kind, key, body);
  return body;
}

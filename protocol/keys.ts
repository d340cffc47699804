/**
 * Every key in the state bucket, made and read here alone. Keys are relative to the pipeline's own prefix: the Store that
 * is handed in begins there.
 */
import { shardOf } from "./digest.ts";

const MAX = 9_999_999_999;
const pad = (n: number, digits = 10): string => {
  if (!Number.isSafeInteger(n) || n < 0 || String(n).length > digits)
    throw new RangeError(`key: ${n} has no ${digits} digits`);
  return String(n).padStart(digits, "0");
};

export const INBOX = "inbox/";
export const LOG = "log/";
export const CODE = "code/";
export const STARTS = "start/";
export const ROUNDS = "rounds/";
export const CONSUMED = "consumed/";
export const QUARANTINE = "quarantine/";
export const DAMAGED = "damaged/";
export const LIVE = "live.json";
export const MANIFEST = "MANIFEST.json";

export interface SegmentName {
  /** when intake saw it, by its own clock: orders the inbox and nothing else */
  readonly ms: number;
  readonly count: number;
  readonly bytes: number;
  /** sha256 of the segment's bytes */
  readonly sha256: string;
}
export const segmentKey = (s: SegmentName): string =>
  `${INBOX}${pad(s.ms, 13)}-${pad(s.count)}-${pad(s.bytes, 16)}-${s.sha256}.json`;
const SEGMENT = /^inbox\/(\d{13})-(\d{10})-(\d{16})-([0-9a-f]{64})\.json$/;
export function parseSegmentKey(key: string): SegmentName | undefined {
  const [, ms, count, bytes, sha256] = SEGMENT.exec(key) ?? [];
  if (sha256 === undefined) return undefined;
  return { ms: Number(ms), count: Number(count), bytes: Number(bytes), sha256 };
}

export const codeKey = (sha256: string): string => `${CODE}${sha256}.mjs`;
export const startKey = (sha256: string): string => `${STARTS}${sha256}.safetensors`;
const NAMED_BY_CONTENT = /^(?:code\/([0-9a-f]{64})\.mjs|start\/([0-9a-f]{64})\.safetensors)$/;
/** Of code and of a warm start's weights: the sha256 of their bytes, which their name says. */
export function digestOfKey(key: string): string | undefined {
  const [, code, start] = NAMED_BY_CONTENT.exec(key) ?? [];
  return code ?? start;
}

/** Where `verify --repair` keeps the bytes that it has put others in the place of. @param digest the first digits of theirs */
export const damagedKey = (key: string, digest: string): string => `${DAMAGED}${digest}/${key}`;

export const roundPrefix = (round: number): string => `${ROUNDS}${pad(round)}/`;
export const planKey = (round: number): string => `${roundPrefix(round)}plan.json`;
/** The round whose folder a key is in; undefined if it is in none. */
export function roundOfKey(key: string): number | undefined {
  const [, digits] = /^rounds\/(\d{10})\//.exec(key) ?? [];
  return digits === undefined ? undefined : Number(digits);
}
export const isPlanKey = (key: string): boolean => /^rounds\/\d{10}\/plan\.json$/.test(key);
export const resultKey = (round: number): string => `${roundPrefix(round)}result.json`;
export const attemptsPrefix = (round: number): string => `${roundPrefix(round)}attempts/`;
export const intentKey = (round: number, attempt: number): string => `${attemptsPrefix(round)}${pad(attempt)}.json`;
export const jobRecordKey = (round: number, attempt: number): string =>
  `${attemptsPrefix(round)}${pad(attempt)}.job.json`;
export const failureKey = (round: number, attempt: number): string =>
  `${attemptsPrefix(round)}${pad(attempt)}.failure.json`;
const ATTEMPT = /^rounds\/\d{10}\/attempts\/(\d{10})(\.job|\.failure|)\.json$/;
/** Which attempt a key under attempts/ is of, and what it is. */
export function parseAttemptKey(key: string): { attempt: number; what: "intent" | "job" | "failure" } | undefined {
  const [, attempt, what] = ATTEMPT.exec(key) ?? [];
  if (attempt === undefined) return undefined;
  return { attempt: Number(attempt), what: what === "" ? "intent" : what === ".job" ? "job" : "failure" };
}

export const checkpointsPrefix = (round: number): string => `${roundPrefix(round)}checkpoints/`;
/** @param run drawn at each start of the trainer's process, so two runs never mix files */
export const checkpointPrefix = (c: { round: number; step: number; run: string }): string =>
  `${checkpointsPrefix(c.round)}${pad(c.step)}-${c.run}/`;
export const manifestKey = (c: { round: number; step: number; run: string }): string =>
  `${checkpointPrefix(c)}${MANIFEST}`;
const CHECKPOINT_FILE = /^rounds\/(\d{10})\/checkpoints\/(\d{10})-([0-9a-z]{1,32})\/([^/]+)$/;
export interface CheckpointFile {
  readonly round: number;
  readonly step: number;
  readonly run: string;
  readonly name: string;
}
export function parseCheckpointFile(key: string): CheckpointFile | undefined {
  const [, round, step, run, name] = CHECKPOINT_FILE.exec(key) ?? [];
  if (run === undefined || name === undefined) return undefined;
  return { round: Number(round), step: Number(step), run, name };
}

/** Newest first in a LIST. */
export const logKey = (seq: number): string => `${LOG}${pad(MAX - seq)}.json`;
const LOG_KEY = /^log\/(\d{10})\.json$/;
export function seqOfLogKey(key: string): number | undefined {
  const [, digits] = LOG_KEY.exec(key) ?? [];
  return digits === undefined ? undefined : MAX - Number(digits);
}

export const consumedKey = (itemId: string): string => `${CONSUMED}${shardOf(itemId)}`;
export const quarantineKey = (itemId: string): string => `${QUARANTINE}${itemId}.json`;
const QUARANTINED = /^quarantine\/([A-Za-z0-9_-]{22})\.json$/;
/** The itemId that a key under quarantine/ is of. */
export function parseQuarantineKey(key: string): string | undefined {
  const [, itemId] = QUARANTINED.exec(key) ?? [];
  return itemId;
}

/** A notice on its way to people who do not look at the terminal: what makes it one, and the JSON that is sent. */
import * as z from "zod/mini";
import { canonicalJson, sha256 } from "./digest.ts";
import { printableJson } from "./printable.ts";
import type { Notice } from "./ports.ts";

/**
 * What makes it one notice, as 32 hex digits: the same one told again by another tick, process or start has the same. So a
 * round that is blocked is news again with its next attempt or for another reason; a used up budget once for each day or
 * month, however the sums in its message change.
 */
export function noticeId(notice: Notice): string {
  const { kind, pipeline } = notice;
  const one = kind === "budget" ? { kind, pipeline, untilMs: notice.untilMs } : notice;
  return sha256(canonicalJson(one)).slice(0, 32);
}

/** What `accrete doctor --notify` sends. */
export interface TestNotice {
  readonly kind: "test";
  readonly pipeline: string;
  readonly message: string;
}

/**
 * The JSON of a notice, on one line: `format`, `kind`, `pipeline`, what the kind has, `message`, `at`. What a terminal should
 * not get is escaped in it, as whoever receives it may well print it.
 * @param at when it was told, as an ISO time
 */
export function noticeBody(notice: Notice | TestNotice, at: string): string {
  return printableJson({ format: 1, ...notice, at });
}

/** What is read of a stored body; it is passed on whole. */
export const NoticeBody = z.looseObject({
  format: z.literal(1),
  kind: z.string().check(z.minLength(1), z.maxLength(64)),
  pipeline: z.string().check(z.minLength(1), z.maxLength(64)),
  message: z.string(),
  at: z.iso.datetime(),
});

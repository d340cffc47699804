import { describe, expect, it } from "vitest";
import { noticeBody, NoticeBody, noticeId } from "./notices.ts";
import type { Notice } from "./ports.ts";

const blocked = { kind: "blocked", pipeline: "cats", round: 3, attempt: 1, message: "it is NaN" } as const;
const budget = { kind: "budget", pipeline: "cats", round: 3, untilMs: 5, message: "$1 of $1" } as const;
const committed = {
  kind: "committed",
  pipeline: "cats",
  seq: 3,
  round: 2,
  metrics: { accuracy: 0.5 },
  message: "round 2 has learned 1 item",
} as const;

describe("a notice is", () => {
  it("the same one however often it is told", () => {
    expect(noticeId({ ...committed })).toBe(noticeId(committed));
    expect(noticeId({ ...budget, round: 4, message: "$1.01 of $1" })).toBe(noticeId(budget));
    expect(noticeId(blocked)).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each<[string, Notice, Notice]>([
    ["of another pipeline", blocked, { ...blocked, pipeline: "dogs" }],
    ["after the next attempt", blocked, { ...blocked, attempt: 2 }],
    ["for another reason", blocked, { ...blocked, message: "its file is gone" }],
    ["of another entry", committed, { ...committed, seq: 4 }],
    ["of the next day", budget, { ...budget, untilMs: 6 }],
    ["of another kind", committed, { ...committed, kind: "held" }],
  ])("another one %s", (_what, one, other) => expect(noticeId(other)).not.toBe(noticeId(one)));
});

it("a notice's JSON is one line that is read back as it was, with nothing in it that moves a cursor", () => {
  const key = "a\u001b[2J\u009b31m\u202e\u2028\nb\ud800.csv";
  const body = noticeBody({ kind: "damaged", pipeline: "cats", key, message: key }, "2026-01-31T08:00:00.000Z");
  expect(body).not.toMatch(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
  expect(JSON.parse(body)).toEqual({
    format: 1,
    kind: "damaged",
    pipeline: "cats",
    key,
    message: key,
    at: "2026-01-31T08:00:00.000Z",
  });
  expect(NoticeBody.safeParse(JSON.parse(body)).success).toBe(true);
});

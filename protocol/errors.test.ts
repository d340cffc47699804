import { expect, it } from "vitest";
import { AccreteError, ADVICE, EXIT, messageOf, type ErrorCode } from "./errors.ts";

const CODES = Object.keys(ADVICE) as ErrorCode[];

it.each(CODES)("%s comes with advice that is a sentence on one line", (code) => {
  expect(ADVICE[code]).toMatch(/^[A-Z][^\n]{10,160}\.$/);
  expect(ADVICE[code]).not.toMatch(/ {2}|undefined/);
  expect(code).toMatch(/^[A-Z][A-Z0-9_]{1,63}$/); // as a failure record takes it
});

it("carries code, message, advice and what caused it", () => {
  const cause = new Error("no such file");
  const error = new AccreteError("NOT_FOUND", "a.csv: no", { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({
    name: "AccreteError",
    code: "NOT_FOUND",
    message: "a.csv: no",
    advice: ADVICE.NOT_FOUND,
    cause,
  });
});

it("has an exit code of its own for each way to end, all within a byte", () => {
  const codes = Object.values(EXIT);
  expect(new Set(codes).size).toBe(codes.length);
  expect(codes.every((code) => code >= 0 && code <= 255)).toBe(true);
});

it("has a message for whatever was thrown", () => {
  expect(["text", new Error("why"), null, undefined, 7].map(messageOf)).toEqual([
    "text",
    "why",
    "null",
    "undefined",
    "7",
  ]);
});

import { describe, expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import { fromAws, lastingFromAws } from "./aws-errors.ts";

const named = (name: string, message: string, more: object = {}): Error =>
  Object.assign(new Error(message), { name, ...more });

describe("an error of AWS' SDK", () => {
  it.each([
    ["AWS_CREDENTIALS_MISSING", named("CredentialsProviderError", "Could not load credentials from any providers")],
    [
      "AWS_CREDENTIALS_EXPIRED",
      named("CredentialsProviderError", "The SSO session associated with this profile has expired."),
    ],
    ["AWS_CREDENTIALS_EXPIRED", named("TokenProviderError", "Token is expired. To refresh run aws sso login")],
    ["AWS_CREDENTIALS_REFUSED", named("SignatureDoesNotMatch", "no")],
    ["AWS_REGION_MISSING", new Error("Region is missing")],
    ["STACK_NOT_OURS", named("QueueDoesNotExist", "The specified queue does not exist.")],
    ["BUCKET_NOT_FOUND", named("NoSuchBucket", "The specified bucket does not exist")],
    ["BUCKET_NOT_FOUND", named("301", "UnknownError", { $metadata: { httpStatusCode: 301 } })],
    ["AWS_ACCESS_DENIED", named("Unknown", "UnknownError", { $metadata: { httpStatusCode: 403 } })],
    ["AWS_UNREACHABLE", named("Error", "getaddrinfo ENOTFOUND", { code: "ENOTFOUND" })],
    ["AWS_UNREACHABLE", named("InternalFailure", "oh", { $metadata: { httpStatusCode: 503 } })],
  ])("%s: says what to do", (code, error) => {
    expect(fromAws(error, "the stack x")).toMatchObject({
      code,
      message: expect.stringMatching(/^the stack x: ./),
      cause: error,
    });
  });

  it.each([
    named("RequestTimeTooSkewed", "no", { $metadata: { httpStatusCode: 403 } }),
    named("SlowDown", "no", { $metadata: { httpStatusCode: 503 } }),
    named("Error", "connect", { code: "ECONNREFUSED" }),
  ])("has no code for who asks again by itself, if it may pass: %s", (error) => {
    expect(lastingFromAws(error, "x")).toBe(error);
    expect(fromAws(error)).toMatchObject({ code: "AWS_UNREACHABLE" });
  });

  it("has the same code for who asks once and who asks again, if it lasts", () => {
    const error = named("AccessDenied", "no");
    for (const from of [fromAws, lastingFromAws]) expect(from(error, "x")).toMatchObject({ code: "AWS_ACCESS_DENIED" });
  });

  it("stays as it is where it is none, or ours already", () => {
    const bug = new TypeError("x is undefined");
    expect(fromAws(bug)).toBe(bug);
    const ours = new AccreteError("USAGE", "no");
    expect(fromAws(ours)).toBe(ours);
    const refused = named("ValidationException", "bad", { $metadata: { httpStatusCode: 400 } });
    expect(fromAws(refused)).toBe(refused);
  });
});

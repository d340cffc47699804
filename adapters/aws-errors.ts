/** What AWS' SDK throws, as errors with a code and advice. By names alone: nothing of the SDK is loaded for it. */
import { AccreteError, messageOf, type ErrorCode } from "../protocol/errors.ts";

/** What people can do about is told apart by the error's name; all services use these. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  CredentialsProviderError: "AWS_CREDENTIALS_MISSING",
  TokenProviderError: "AWS_CREDENTIALS_EXPIRED",
  ExpiredToken: "AWS_CREDENTIALS_EXPIRED",
  ExpiredTokenException: "AWS_CREDENTIALS_EXPIRED",
  RequestExpired: "AWS_CREDENTIALS_EXPIRED",
  InvalidClientTokenId: "AWS_CREDENTIALS_REFUSED",
  UnrecognizedClientException: "AWS_CREDENTIALS_REFUSED",
  InvalidAccessKeyId: "AWS_CREDENTIALS_REFUSED",
  SignatureDoesNotMatch: "AWS_CREDENTIALS_REFUSED",
  InvalidSignatureException: "AWS_CREDENTIALS_REFUSED",
  InvalidToken: "AWS_CREDENTIALS_REFUSED",
  AccessDenied: "AWS_ACCESS_DENIED",
  AccessDeniedException: "AWS_ACCESS_DENIED",
  UnauthorizedOperation: "AWS_ACCESS_DENIED",
  NotAuthorized: "AWS_ACCESS_DENIED",
  AuthorizationError: "AWS_ACCESS_DENIED",
  "AWS.SimpleQueueService.NonExistentQueue": "STACK_NOT_OURS",
  QueueDoesNotExist: "STACK_NOT_OURS",
  NoSuchBucket: "STACK_NOT_OURS",
  TimeoutError: "AWS_UNREACHABLE",
  Throttling: "AWS_UNREACHABLE",
  ThrottlingException: "AWS_UNREACHABLE",
  TooManyRequestsException: "AWS_UNREACHABLE",
  SlowDown: "AWS_UNREACHABLE",
};

/** Of Node's sockets. */
const UNREACHABLE = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "EPIPE",
]);

/**
 * The same error as one of ours; what is none of AWS' comes back as it is.
 * @param about what was asked, in front of AWS' own words
 */
export function fromAws(error: unknown, about = "AWS"): unknown {
  if (!(error instanceof Error) || error instanceof AccreteError) return error;
  const code = codeOf(error);
  return code === undefined ? error : new AccreteError(code, `${about}: ${wordsOf(error)}`, { cause: error });
}

function codeOf(error: Error): ErrorCode | undefined {
  // an SSO session that is over, or a login, comes under the name of those that are missing
  if (error.name === "CredentialsProviderError" && /expired|sso login|has ended/i.test(error.message))
    return "AWS_CREDENTIALS_EXPIRED";
  const named = CODES[error.name];
  if (named !== undefined) return named;
  if (/^region is missing/i.test(error.message)) return "AWS_REGION_MISSING";
  const system = "code" in error && typeof error.code === "string" ? error.code : "";
  if (UNREACHABLE.has(system)) return "AWS_UNREACHABLE";
  // a HEAD has no body that could name the error
  const status = statusOf(error);
  if (status === 403) return "AWS_ACCESS_DENIED";
  return status !== undefined && status >= 500 ? "AWS_UNREACHABLE" : undefined;
}

function statusOf(error: Error): number | undefined {
  if (!("$metadata" in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}

function wordsOf(error: Error): string {
  const said = messageOf(error).split("\n")[0] ?? "";
  return said === "" || said === "UnknownError" ? `${error.name} (HTTP ${statusOf(error) ?? "?"})` : said;
}

/** What AWS' SDK throws, as errors with a code and advice: the one place that knows its names. Nothing of the SDK is loaded for it. */
import { AccreteError, messageOf, type ErrorCode } from "../protocol/errors.ts";

/** What lasts, until somebody mends it; told apart by the error's name. All services use these. */
const LASTING: Readonly<Record<string, ErrorCode>> = {
  CredentialsProviderError: "AWS_CREDENTIALS_MISSING",
  TokenProviderError: "AWS_CREDENTIALS_EXPIRED",
  ExpiredToken: "AWS_CREDENTIALS_EXPIRED",
  ExpiredTokenException: "AWS_CREDENTIALS_EXPIRED",
  RequestExpired: "AWS_CREDENTIALS_EXPIRED",
  TokenRefreshRequired: "AWS_CREDENTIALS_EXPIRED",
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
  // in another region, or there is none of that name
  NoSuchBucket: "BUCKET_NOT_FOUND",
  PermanentRedirect: "BUCKET_NOT_FOUND",
  AuthorizationHeaderMalformed: "BUCKET_NOT_FOUND",
  IllegalLocationConstraintException: "BUCKET_NOT_FOUND",
  InvalidBucketName: "BUCKET_NOT_FOUND",
  KeyTooLongError: "UNSAFE_KEY",
};

/** What may go well another time: calls that are too many, and clocks, which the SDK sets right by the answer. */
const PASSING = new Set([
  "TimeoutError",
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "InternalError",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
  "SlowDown",
]);

/** Of Node's sockets. */
const CONNECTION = new Set([
  "ENOTFOUND",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
]);

/**
 * For who asks once, and tells a person: the same error as one of ours; what is none of AWS' comes back as it is.
 * @param about what was asked, in front of AWS' own words
 */
export function fromAws(error: unknown, about = "AWS"): unknown {
  const lasting = lastingFromAws(error, about);
  if (lasting !== error || !(error instanceof Error) || !passes(error)) return lasting;
  return new AccreteError("AWS_UNREACHABLE", `${about}: ${wordsOf(error)}`, { cause: error });
}

/**
 * For who asks again by itself: only what lasts gets a code. All else comes back as it is, as it may pass.
 * @param about as in fromAws()
 */
export function lastingFromAws(error: unknown, about: string): unknown {
  if (!(error instanceof Error) || error instanceof AccreteError) return error;
  const code = lastingCode(error);
  return code === undefined ? error : new AccreteError(code, `${about}: ${wordsOf(error)}`, { cause: error });
}

/** Time-outs, 5xx, 429, throttling, a broken connection: nobody knows what became of the call. */
export function passes(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (PASSING.has(error.name) || ("code" in error && typeof error.code === "string" && CONNECTION.has(error.code)))
    return true;
  const status = statusOf(error);
  return status !== undefined && (status >= 500 || status === 429);
}

function lastingCode(error: Error): ErrorCode | undefined {
  // an SSO session that is over, or a login, comes under the name of those that are missing
  if (error.name === "CredentialsProviderError" && /expired|sso login|has ended/i.test(error.message))
    return "AWS_CREDENTIALS_EXPIRED";
  const named = LASTING[error.name];
  if (named !== undefined) return named;
  if (/^region is missing/i.test(error.message)) return "AWS_REGION_MISSING";
  // a HEAD has no body that could name the error
  const status = statusOf(error);
  if (status === 301) return "BUCKET_NOT_FOUND";
  return status === 403 && !PASSING.has(error.name) ? "AWS_ACCESS_DENIED" : undefined;
}

/** Of HTTP; undefined: there was no answer that could be read. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}

/** AWS' own, which name the error where they do not say it. */
function wordsOf(error: Error): string {
  const said = messageOf(error).split("\n")[0] ?? "";
  if (said === "" || said === "UnknownError") return `${error.name} (HTTP ${statusOf(error) ?? "?"})`;
  return error.name === "Error" || said.includes(error.name) ? said : `${error.name}: ${said}`;
}

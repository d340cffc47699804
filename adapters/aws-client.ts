/**
 * How every client of AWS is opened: sockets that are kept, a limit for each wait, bounded retries. And once(): a command whose
 * repetition would lie about who has won; and what an error of the SDK says about what was done.
 */
import type { InitializeMiddleware, MiddlewareStack } from "@smithy/types";

/** Requests of one client at the same time: more wait for a socket. */
const SOCKETS_MAX = 64;
/** Tries of a request that may be repeated, the first one included. */
const ATTEMPTS_MAX = 4;

export interface AwsClientOptions {
  /** until a connection stands, a wait for a free socket included @default 5000 */
  readonly connectMs?: number;
  /** until the answer begins @default 30000 */
  readonly answerMs?: number;
  /** without a byte in either direction @default 20000 */
  readonly silenceMs?: number;
  /** @default 4 */
  readonly attempts?: number;
  /**
   * false: a connection for each call. Those of a frozen function are dead without its noticing; where a broken call is answered by
   * long waiting, a new one is worth its milliseconds @default true
   */
  readonly keepAlive?: boolean;
}

/**
 * For the constructor of any client. Region, credentials and endpoint are the SDK's own affair (AWS_REGION, AWS_ENDPOINT_URL, the
 * role of a job or function, a profile): a bundle that leaves the credentials' providers out sets `credentials` beside this.
 */
export function awsClientOptions(options: AwsClientOptions = {}) {
  const {
    connectMs = 5_000,
    answerMs = 30_000,
    silenceMs = 20_000,
    attempts = ATTEMPTS_MAX,
    keepAlive = true,
  } = options;
  return {
    maxAttempts: attempts,
    retryMode: "standard",
    defaultsMode: "standard",
    requestHandler: {
      connectionTimeout: connectMs,
      requestTimeout: answerMs,
      throwOnRequestTimeout: true, // else it is only a warning
      socketTimeout: silenceMs,
      httpAgent: { keepAlive, maxSockets: SOCKETS_MAX },
      httpsAgent: { keepAlive, maxSockets: SOCKETS_MAX },
    },
  } as const;
}

/** Hides an error from the retries, which look at causes too: nothing of it looks as if it might pass. */
class Sent extends Error {
  readonly thrown: unknown;
  constructor(thrown: unknown) {
    super("sent once");
    this.thrown = thrown;
  }
}

/**
 * Makes a command be sent once, whatever the client's retries: the second try of a conditional write would lose to the first, and
 * that of a SubmitJob starts a second job. What the only try threw is thrown as it was.
 * @param options.isRefused errors that prove that nothing was done: those are tried again
 * @returns the same command
 */
export function once<Command, Input extends object, Output extends object>(
  command: Command & { readonly middlewareStack: MiddlewareStack<Input, Output> },
  { isRefused = () => false }: { readonly isRefused?: (error: unknown) => boolean } = {},
): Command {
  const { middlewareStack } = command;
  const hide: InitializeMiddleware<Input, Output> = (next) => async (args) => {
    try {
      return await next(args);
    } catch (error) {
      throw isRefused(error) ? error : new Sent(error);
    }
  };
  const show: InitializeMiddleware<Input, Output> = (next) => async (args) => {
    try {
      return await next(args);
    } catch (error) {
      throw error instanceof Sent ? error.thrown : error;
    }
  };
  const at = { toMiddleware: "retryMiddleware", override: true } as const;
  middlewareStack.addRelativeTo(hide, { ...at, name: "accreteHide", relation: "after" });
  middlewareStack.addRelativeTo(show, { ...at, name: "accreteShow", relation: "before" });
  return command;
}

/** What the SDK says of an error that an answer of AWS or the lack of one made. */
export interface AwsFault {
  /** such as "ThrottlingException"; of a broken connection Node's code: "ECONNRESET" */
  readonly name: string;
  /** of HTTP; undefined: there was no answer that could be read */
  readonly status: number | undefined;
  /** AWS blames the caller, or itself */
  readonly fault: "client" | "server" | undefined;
}

/** Undefined of an error that is not the SDK's nor a connection's: a mistake of the program. */
export function awsFault(error: unknown): AwsFault | undefined {
  if (!(error instanceof Error)) return undefined;
  const metadata = "$metadata" in error && isObject(error.$metadata) ? error.$metadata : undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (metadata === undefined && code === undefined && error.name !== "TimeoutError") return undefined;
  const status = metadata?.["httpStatusCode"];
  const fault = "$fault" in error ? error.$fault : undefined;
  return {
    name: code ?? error.name,
    status: typeof status === "number" ? status : undefined,
    fault: fault === "client" || fault === "server" ? fault : undefined,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

const THROTTLED = new Set([
  "ThrottlingException",
  "Throttling",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "KMSThrottlingException",
]);
const NOT_CONNECTED = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);

/** Refused for now, before anything was done: too many calls, or nobody could be reached. */
export function isSurelyNotSent(error: unknown): boolean {
  const fault = awsFault(error);
  return fault !== undefined && (fault.status === 429 || THROTTLED.has(fault.name) || NOT_CONNECTED.has(fault.name));
}

/** AWS's final word: the same call would be refused again. Not: throttling, a time-out, 5xx, a broken connection. */
export function isRefusedForGood(error: unknown): boolean {
  const fault = awsFault(error);
  if (fault?.status === undefined || isSurelyNotSent(error)) return false;
  return fault.status >= 400 && fault.status < 500 && fault.status !== 408 && fault.status !== 409;
}

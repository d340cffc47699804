/**
 * How every client of AWS is opened: sockets that are kept, a limit for each wait, bounded retries. And once(): a command whose
 * repetition would lie about who has won.
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
}

/**
 * For the constructor of any client. Region, credentials and endpoint are the SDK's own affair (AWS_REGION, AWS_ENDPOINT_URL, the
 * role of a job or function, a profile): a bundle that leaves the credentials' providers out sets `credentials` beside this.
 */
export function awsClientOptions(options: AwsClientOptions = {}) {
  const { connectMs = 5_000, answerMs = 30_000, silenceMs = 20_000, attempts = ATTEMPTS_MAX } = options;
  return {
    maxAttempts: attempts,
    retryMode: "standard",
    defaultsMode: "standard",
    requestHandler: {
      connectionTimeout: connectMs,
      requestTimeout: answerMs,
      throwOnRequestTimeout: true, // else it is only a warning
      socketTimeout: silenceMs,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
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
 * @returns the same command
 */
export function once<Command, Input extends object, Output extends object>(
  command: Command & { readonly middlewareStack: MiddlewareStack<Input, Output> },
): Command {
  const { middlewareStack } = command;
  const hide: InitializeMiddleware<Input, Output> = (next) => async (args) => {
    try {
      return await next(args);
    } catch (error) {
      throw new Sent(error);
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

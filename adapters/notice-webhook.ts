/** Notices as HTTP requests: a POST with a JSON body each. */
import { messageOf } from "../protocol/errors.ts";
import { errorCode } from "./file-errors.ts";
import type { NoticeChannel, Sent } from "./notice-channel.ts";

const LIMIT_MS = 10_000;
/** Of what a server says to an error, so much is shown. */
const SAID_MAX = 200;
/** And so much is read of it: more than a header that it may repeat. */
const READ_MAX = 8_192;
/** Of the client's errors those that pass: a time-out, too early, too many. */
const PASSING = new Set([408, 425, 429]);

export interface WebhookOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly userAgent: string;
}

/**
 * 2xx is delivered; a redirect is not followed, as the body and the headers are meant for this address alone, and it and what
 * the server says is the client's fault (4xx) is refused; the rest is tried again.
 */
export function webhookChannel({ url, headers, userAgent }: WebhookOptions): NoticeChannel {
  const limitOf = (limitMs: number | undefined): number => Math.min(limitMs ?? LIMIT_MS, LIMIT_MS);
  return {
    name: "webhook",
    // a path may be a secret too
    where: URL.parse(url)?.origin ?? "no address",
    async send({ body }, options = {}) {
      const limit = AbortSignal.timeout(limitOf(options.limitMs));
      const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
      const all = headersOf(headers, userAgent);
      if (all === undefined) return { outcome: "refused", error: "a header has a name or value that can't be sent" };
      try {
        const response = await fetch(url, { method: "POST", redirect: "manual", headers: all, body, signal });
        return await judge(response, Object.values(headers));
      } catch (error) {
        if (limit.aborted)
          return { outcome: "failed", error: `no answer within ${limitOf(options.limitMs) / 1_000} s` };
        return { outcome: "failed", error: `can't be reached: ${causeOf(error)}` };
      }
    },
  };
}

/** Undefined if they can't be sent: why is not said, as the message would show the value. */
function headersOf(headers: Readonly<Record<string, string>>, userAgent: string): Headers | undefined {
  try {
    const all = new Headers({ "content-type": "application/json", "user-agent": userAgent });
    for (const [name, value] of Object.entries(headers)) all.set(name, value);
    return all;
  } catch {
    return undefined;
  }
}

async function judge(response: Response, secrets: readonly string[]): Promise<Sent> {
  const { status, ok } = response;
  if (ok) {
    // the answer is of no interest, and whether it comes to its end neither
    await response.body?.cancel().catch(() => undefined);
    return { outcome: "delivered" };
  }
  if (status >= 300 && status < 400) {
    await response.body?.cancel().catch(() => undefined);
    const to = URL.parse(response.headers.get("location") ?? "", response.url)?.origin ?? "nowhere";
    return {
      outcome: "refused",
      error: `HTTP ${status}, a redirect to ${to}: name the address itself in notify.webhook.url`,
    };
  }
  const said = await beginningOf(response, secrets);
  const error = `HTTP ${status}${said === "" ? "" : `: ${said}`}`;
  return { outcome: status >= 400 && status < 500 && !PASSING.has(status) ? "refused" : "failed", error };
}

async function beginningOf(response: Response, secrets: readonly string[]): Promise<string> {
  let text = "";
  try {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= READ_MAX) break;
    }
  } catch {
    // the status says enough
  }
  // a server may well repeat what it was sent
  for (const secret of secrets) if (secret !== "") text = text.replaceAll(secret, "***");
  return text.trim().slice(0, SAID_MAX);
}

/** fetch says "fetch failed", and why in the cause. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return errorCode(cause) ?? messageOf(cause);
}

/** Notices as HTTP requests: a POST with a JSON body each. */
import { messageOf } from "../protocol/errors.ts";
import { errorCode } from "./file-errors.ts";
import type { NoticeChannel, NoticeToSend, Sent } from "./notice-channel.ts";

const LIMIT_MS = 10_000;
/** Of what a server says to an error, so much is shown. */
const SAID_MAX = 200;
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
  const request = (body: string, signal: AbortSignal): RequestInit => {
    const all = new Headers({ "content-type": "application/json", "user-agent": userAgent });
    for (const [name, value] of Object.entries(headers)) all.set(name, value);
    return { method: "POST", redirect: "manual", headers: all, body, signal };
  };
  return {
    name: "webhook",
    // a path may be a secret too
    where: URL.parse(url)?.origin ?? "no address",
    async send({ body }: NoticeToSend, { signal, limitMs = LIMIT_MS } = {}): Promise<Sent> {
      const limit = AbortSignal.timeout(Math.min(limitMs, LIMIT_MS));
      try {
        const response = await fetch(
          url,
          request(body, signal === undefined ? limit : AbortSignal.any([signal, limit])),
        );
        return await judge(response);
      } catch (error) {
        if (limit.aborted)
          return { outcome: "failed", error: `no answer within ${Math.min(limitMs, LIMIT_MS) / 1_000} s` };
        return { outcome: "failed", error: `can't be reached: ${causeOf(error)}` };
      }
    },
  };
}

async function judge(response: Response): Promise<Sent> {
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
  const said = await beginningOf(response);
  const error = `HTTP ${status}${said === "" ? "" : `: ${said}`}`;
  return { outcome: status >= 400 && status < 500 && !PASSING.has(status) ? "refused" : "failed", error };
}

async function beginningOf(response: Response): Promise<string> {
  let text = "";
  try {
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= SAID_MAX) break;
    }
  } catch {
    // the status says enough
  }
  return text.trim().slice(0, SAID_MAX);
}

/** fetch says "fetch failed", and why in the cause. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return errorCode(cause) ?? messageOf(cause);
}

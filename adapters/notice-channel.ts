/** A way that notices take to people. What it says of itself and of its errors has no secrets in it. */

/** `failed`: it may pass, so it is tried again; `refused`: it will not, so somebody has to know at once. */
export type Sent =
  | { readonly outcome: "delivered" }
  | { readonly outcome: "failed" | "refused"; readonly error: string };

export interface NoticeToSend {
  readonly kind: string;
  readonly pipeline: string;
  /** JSON, on one line */
  readonly body: string;
}

export interface NoticeChannel {
  readonly name: "webhook" | "command";
  /** where it leads, for people */
  readonly where: string;
  /** Never throws. @param options.limitMs instead of the channel's own, if that is longer */
  send(notice: NoticeToSend, options?: { signal?: AbortSignal; limitMs?: number }): Promise<Sent>;
}

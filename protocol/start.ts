import type { TriggerConfig } from "./config-parts.ts";

/** One LIST of the inbox. Ages are by the store's clock alone. */
export interface Pending {
  readonly segments: readonly {
    readonly key: string;
    readonly count: number;
    readonly bytes: number;
    readonly modifiedMs: number;
  }[];
  /** the LIST had more than fits a page */
  readonly pageFull: boolean;
  readonly nowMs: number;
}

export type StartDecision =
  | { readonly do: "start"; readonly because: "asked" | "count" | "bytes" | "page-full" | "quiet" | "longest-wait" }
  /** untilMs: by the store's clock */
  | { readonly do: "wait"; readonly untilMs: number; readonly because: "quiet-period" | "min-interval" };

/**
 * Whether the data that waits is to be trained now.
 * @param asked an operator or a schedule wants it now
 * @param headMs when the head was written, by the store's clock; 0 before the first entry
 */
export function decideStart(
  pending: Pending,
  policy: TriggerConfig,
  options: { asked: boolean; headMs: number },
): StartDecision {
  if (options.asked) return { do: "start", because: "asked" };
  const { segments, nowMs } = pending;
  const newestMs = Math.max(...segments.map((segment) => segment.modifiedMs));
  const oldestMs = Math.min(...segments.map((segment) => segment.modifiedMs));
  const sum = (of: "count" | "bytes"): number => segments.reduce((total, segment) => total + segment[of], 0);

  const because =
    sum("count") >= policy.maxItems
      ? "count"
      : sum("bytes") >= policy.maxBytes
        ? "bytes"
        : pending.pageFull
          ? "page-full"
          : nowMs - newestMs >= policy.quietPeriod
            ? "quiet"
            : nowMs - oldestMs >= policy.longestWait
              ? "longest-wait"
              : undefined;
  const intervalEndsMs = options.headMs === 0 ? 0 : options.headMs + policy.minInterval;
  if (because !== undefined && nowMs >= intervalEndsMs) return { do: "start", because };
  if (because !== undefined) return { do: "wait", untilMs: intervalEndsMs, because: "min-interval" };
  const quietMs = Math.min(newestMs + policy.quietPeriod, oldestMs + policy.longestWait);
  return { do: "wait", untilMs: Math.max(quietMs, intervalEndsMs), because: "quiet-period" };
}

/** Does this segment's own tick speak for the whole inbox? The clock may be coarse (S3: seconds), so several may. */
export function isNewest(pending: Pending, key: string): boolean {
  const newestMs = Math.max(...pending.segments.map((segment) => segment.modifiedMs));
  return pending.segments.some((segment) => segment.key === key && segment.modifiedMs === newestMs);
}

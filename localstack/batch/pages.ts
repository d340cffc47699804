/** Lists in pages: each goes on behind the last row of the one before, so what comes meanwhile moves nothing. */
import { check } from "./validate.ts";

interface PageRequest {
  readonly maxResults?: number | undefined;
  readonly nextToken?: string | undefined;
}

/**
 * @param keyOf of a row, different for each
 * @param most rows of a page
 */
export function pageOf<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  { maxResults = Infinity, nextToken }: PageRequest,
  most: number,
): { readonly rows: readonly T[]; readonly nextToken?: string } {
  check(maxResults >= 1, "maxResults: at least 1");
  const after = nextToken === undefined ? undefined : Buffer.from(nextToken, "base64url").toString();
  const from = after === undefined ? 0 : rows.findIndex((row) => keyOf(row) === after) + 1;
  check(after === undefined || from > 0, "nextToken: not one of this list");
  const to = from + Math.min(maxResults, most);
  const last = rows[to - 1];
  return {
    rows: rows.slice(from, to),
    ...(to < rows.length && last !== undefined ? { nextToken: Buffer.from(keyOf(last)).toString("base64url") } : {}),
  };
}

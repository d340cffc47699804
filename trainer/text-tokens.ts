/** Text as token ids: its vocabulary is found in round 1 and stays as it is. */
import { compareNames } from "./schema.ts";

/** What an id is before those of the vocabulary: 0 fills up, and is what an array begins with. */
export const PADDING = 0;
export const UNKNOWN = 1;
/** id of the vocabulary's first token */
export const FIRST = 2;
/** Characters of a token: what is longer is cut. */
const TOKEN_LENGTH_MAX = 64;
/** Different tokens that are counted, in the order in which they come: those beyond are unknown ones. */
export const TOKENS_MAX = 200_000;

/** Runs of letters, marks and digits of any script, in lower case. */
export function tokensOf(text: string): string[] {
  const found =
    text
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return found.map((token) =>
    token.length > TOKEN_LENGTH_MAX ? token.slice(0, TOKEN_LENGTH_MAX).toWellFormed() : token,
  );
}

export function countTokens(text: string, counts: Map<string, number>): void {
  for (const token of tokensOf(text)) addCount(counts, token, 1);
}

export function addCount(counts: Map<string, number>, token: string, count: number): void {
  const before = counts.get(token);
  if (before !== undefined || counts.size < TOKENS_MAX) counts.set(token, (before ?? 0) + count);
}

/** The most frequent first, those of one count by their names. @param size ids, those of padding and unknown among them */
export function vocabularyOf(counts: ReadonlyMap<string, number>, size: number): string[] {
  return [...counts]
    .sort(([a, countOfA], [b, countOfB]) => countOfB - countOfA || compareNames(a, b) || (a < b ? -1 : 1))
    .slice(0, size - FIRST)
    .map(([token]) => token);
}

/** How many ids there are: each is below it. */
export function idsOf(vocabulary: readonly string[]): number {
  return vocabulary.length + FIRST;
}

export function idsByToken(vocabulary: readonly string[]): ReadonlyMap<string, number> {
  return new Map(vocabulary.map((token, i) => [token, i + FIRST]));
}

/** @param ids of one record, all 0 */
export function writeIds(text: string, known: ReadonlyMap<string, number>, ids: Int32Array): void {
  const tokens = tokensOf(text);
  for (let i = 0; i < tokens.length && i < ids.length; i++) ids[i] = known.get(tokens[i]!) ?? UNKNOWN;
}

/** Amounts with a unit, as people write them in a config: "2 min", "512 MB", "2026-01-31". Stored as plain numbers. */
import * as z from "zod/mini";

const UNITS_MS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ms: 1,
    s: 1e3,
    sec: 1e3,
    second: 1e3,
    min: 6e4,
    minute: 6e4,
    h: 3.6e6,
    hour: 3.6e6,
    d: 8.64e7,
    day: 8.64e7,
  }),
);
const UNITS_BYTES: ReadonlyMap<string, number> = new Map(
  Object.entries({
    b: 1,
    byte: 1,
    kb: 1e3,
    mb: 1e6,
    gb: 1e9,
    tb: 1e12,
    kib: 2 ** 10,
    mib: 2 ** 20,
    gib: 2 ** 30,
    tib: 2 ** 40,
  }),
);
const AMOUNT = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/;

function parseAmount(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const [, amount, unit] = AMOUNT.exec(text.trim().toLowerCase()) ?? [];
  if (amount === undefined || unit === undefined) return undefined;
  const perUnit = units.get(unit) ?? units.get(unit.replace(/s$/, ""));
  if (perUnit === undefined) return undefined;
  const value = Math.round(Number(amount) * perUnit);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Milliseconds of a text such as "2 min", "90 s", "1 hour"; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  return parseAmount(text, UNITS_MS);
}

/** Bytes of a text such as "512 MB", "2 GiB"; undefined if it is none. */
export function parseSize(text: string): number | undefined {
  return parseAmount(text, UNITS_BYTES);
}

/** A number of bytes for people: "2 GiB", "1.5 MiB", "300 bytes". */
export function sizeText(bytes: number): string {
  const [name, unit] = [...UNITS_SHOWN].find(([, each]) => bytes >= each) ?? ["bytes", 1];
  return `${Number((bytes / unit).toFixed(1))} ${name}`;
}

const UNITS_SHOWN = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
] as const;

const DAY = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/;

/** Milliseconds since 1970 of "2026-01-31" (midnight UTC) or "2026-01-31T08:00:00+02:00"; undefined if it is no such time. */
export function parseMoment(text: string): number | undefined {
  // oxlint-disable-next-line eslint/no-restricted-globals -- a function of its text alone
  const ms = DAY.test(text.trim()) ? Date.parse(text.trim()) : NaN;
  return Number.isSafeInteger(ms) && ms >= 0 ? ms : undefined;
}

function amount(parse: (text: string) => number | undefined, expected: string) {
  return z.pipe(
    z.union([z.number().check(z.gte(0)), z.string()]),
    z.transform((value: number | string, context) => {
      const parsed = typeof value === "number" ? value : parse(value);
      if (parsed !== undefined) return parsed;
      context.issues.push({ code: "custom", message: `"${value}" is no ${expected}`, input: value });
      return z.NEVER;
    }),
  );
}

/** Milliseconds, or text with a unit. */
export const Duration = amount(parseDuration, 'duration: write "30 s", "2 min", "1 hour", "1 day"');
/** Bytes, or text with a unit. */
export const Size = amount(parseSize, 'size: write "512 MB", "2 GiB"');
/** Milliseconds since 1970, or a day or a time with its zone. */
export const Moment = amount(parseMoment, 'time: write "2026-01-31" (midnight UTC) or "2026-01-31T08:00:00+02:00"');

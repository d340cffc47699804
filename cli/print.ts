/** Times, sizes, metrics and tables for people. */
import { stripVTControlCharacters } from "node:util";
import { dollarsOf } from "../protocol/budget.ts";
import { duration } from "../protocol/duration.ts";
import { printable } from "../protocol/printable.ts";
import type { Checkpoint, Item, Metrics } from "../protocol/types.ts";

export { duration };

const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** $12.50, $0.0021: small amounts to two digits. */
export function dollars(amount: number): string {
  return `$${amount === 0 || amount >= 0.1 ? amount.toFixed(2) : String(Number(amount.toPrecision(2)))}`;
}

/** 0 B, 999 B, 1.2 kB, 34.5 MB: decimal units. */
export function bytes(count: number): string {
  const unit = count < 1_000 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log10(count) / 3));
  const scaled = count / 1_000 ** unit;
  // 999,950 B would be "1000.0 kB"
  if (unit > 0 && unit < SIZES.length - 1 && scaled >= 999.95) return `1.0 ${SIZES[unit + 1]}`;
  return unit === 0 ? `${count} B` : `${scaled.toFixed(1)} ${SIZES[unit]}`;
}

export function ago(ms: number, nowMs: number): string {
  return `${duration(nowMs - ms)} ago`;
}

const two = (n: number): string => String(n).padStart(2, "0");

/** 14:03:59 here. */
export function clockTime(ms: number): string {
  const date = new Date(ms);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** 2026-08-01 14:03:59 here. */
export function dateTime(ms: number): string {
  const date = new Date(ms);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockTime(ms)}`;
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

export function metric(value: number): string {
  return Number.isInteger(value) ? String(value) : Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toFixed(4);
}

/** accuracy 0.9312, loss 0.2210: these two first, the others by name. */
export function metrics(values: Metrics | null, names?: readonly string[]): string {
  if (values === null) return "";
  const rank = (name: string): number => ["accuracy", "loss", "mse", "mae"].indexOf(name) + 1 || 9;
  return Object.entries(values)
    .filter(([name]) => names === undefined || names.includes(name))
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${metric(value)}`)
    .join(", ");
}

/** The metrics that a table has room for. */
export const MAIN_METRICS = ["accuracy", "loss", "mse", "mae"] as const;

export function checkpoint(of: Checkpoint | null): string {
  return of === null ? "nothing trained" : `round ${of.round}, epoch ${of.epoch}, step ${of.step}`;
}

export function item(of: Pick<Item, "key" | "size">): string {
  return `${printable(of.key)} (${bytes(of.size)})`;
}

/** What is wrong with an item, without its key in front: that is said beside it. */
export function withoutKey(message: string, key: string): string {
  return message.startsWith(`${key}: `) ? message.slice(key.length + 2) : message;
}

/** Of the run that made a result: "8,694 examples/s"; undefined: it has made no step. */
export function speed(values: Metrics): string | undefined {
  const perSecond = values["run.examplesPerSecond"];
  return perSecond === undefined ? undefined : `${Math.round(perSecond).toLocaleString("en")} examples/s`;
}

/** How long jobs ran and what that costs: "12 s, $0.0021". @param pricePerHour dollars; undefined: not known */
export function cost(ms: number, pricePerHour: number | undefined): string {
  return `${duration(ms)}${pricePerHour === undefined ? "" : `, ${dollars(dollarsOf(ms, { pricePerHour }))}`}`;
}

/** Columns side by side, two spaces between; a column of numbers alone is set to the right. */
export function table(rows: readonly (readonly string[])[], header?: readonly string[]): string {
  const all = header === undefined ? rows : [header, ...rows];
  const width = (cell: string): number => [...stripVTControlCharacters(cell)].length;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...all.map((row) => width(row[i] ?? ""))));
  const isNumber = widths.map(
    (_, i) => rows.length > 0 && rows.every((row) => /^[\d.,%-]*$/.test(stripVTControlCharacters(row[i] ?? ""))),
  );
  const pad = (cell: string, i: number): string => {
    const space = " ".repeat(widths[i]! - width(cell));
    return isNumber[i] ? space + cell : cell + space;
  };
  return all.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

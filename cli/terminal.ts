/** Where the CLI writes. Everything that came from outside (keys, messages, logs) has gone through printable() by then. */
import { styleText } from "node:util";
import { printableJson } from "../protocol/printable.ts";

export type Style = Parameters<typeof styleText>[0];

/** Colours only on a terminal, and not with NO_COLOR. */
export function style(format: Style, text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

export function line(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function isTerminal(): boolean {
  return process.stdout.isTTY === true;
}

/** JSON for scripts, safe on a terminal too. */
export function jsonText(value: unknown, indent = 2): string {
  return printableJson(value, indent);
}

export function printJson(value: unknown): void {
  line(jsonText(value));
}

/** A line that is written over and over, on a terminal; elsewhere nothing. */
export class LiveLine {
  #shown = false;

  /** @param forms of one text, each shorter than the one before: the first that fits is shown, else the last one cut */
  set(...forms: readonly [string, ...string[]]): void {
    if (!isTerminal()) return;
    const width = Math.max(20, (process.stdout.columns || 80) - 1);
    const text = forms.find(({ length }) => length <= width) ?? forms.at(-1)!;
    process.stdout.write(`\r\u001b[2K${text.length > width ? `${text.slice(0, width - 1)}…` : text}`);
    this.#shown = true;
  }

  clear(): void {
    if (!this.#shown) return;
    process.stdout.write("\r\u001b[2K");
    this.#shown = false;
  }
}

/** Values of options and arguments, checked as they are read. */
import { InvalidArgumentError } from "commander";

/** A whole number from 1. */
export function countOption(text: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value < 1) throw new InvalidArgumentError("a whole number from 1 on was expected.");
  return value;
}

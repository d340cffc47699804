/** What is said of a file that is no sound Parquet. */
import { messageOf } from "../../protocol/errors.ts";
import { BadItem } from "../item-records.ts";

export const damaged = (what: string): BadItem => new BadItem(`it can't be read as Parquet: ${what}`);

/**
 * What a library said of damaged bytes, in our words. Errors of the machine stay what they are: no item is to blame for them.
 * @param where "column "x"", "the footer"
 */
export function asDamaged(error: unknown, where: string): unknown {
  if (error instanceof BadItem || /allocat|out of memory/i.test(messageOf(error))) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^E[A-Z]+$/.test(code) ? error : damaged(`${where} is damaged`);
}

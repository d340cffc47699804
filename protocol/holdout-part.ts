/** What data.holdout means, whichever of its forms it was written in. */
import type { HoldoutConfig } from "./data-config.ts";

export type HoldoutRule = Exclude<HoldoutConfig, number>;

/** @returns null: no record is held back */
export function holdoutRule(holdout: HoldoutConfig): HoldoutRule | null {
  if (typeof holdout !== "number") return holdout;
  return holdout === 0 ? null : { by: "content", part: holdout };
}

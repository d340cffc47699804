import { randomBytes } from "node:crypto";
import type { Clock } from "../protocol/ports.ts";

/** The machine's clock and its cryptographic randomness. */
export function systemClock(): Clock {
  return {
    nowMs: () => Date.now(),
    nonce: () => randomBytes(16).toString("hex"),
  };
}

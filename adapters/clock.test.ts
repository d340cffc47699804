import { expect, it } from "vitest";
import { systemClock } from "./clock.ts";

it("tells the time in milliseconds and draws 128 bits, never the same", () => {
  const clock = systemClock();
  expect(Math.abs(clock.nowMs() - Date.now())).toBeLessThan(1_000);
  const nonces = new Set(Array.from({ length: 1_000 }, () => clock.nonce()));
  expect(nonces.size).toBe(1_000);
  for (const nonce of nonces) expect(nonce).toMatch(/^[0-9a-f]{32}$/);
});

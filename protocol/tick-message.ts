/** A tick on its way through a queue: the message's body, made and read here alone. */
import * as z from "zod/mini";
import type { Tick } from "./ports.ts";

const Ms = z.int().check(z.gte(0), z.lte(9_999_999_999_999));
const Count = z.int().check(z.gte(0), z.lte(9_999_999_999));

export const RETRAIN = ["pending", "rehearse", "full"] as const;

const TickOfMessage = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.enum(["plain", "net"]) }),
  z.strictObject({ kind: z.literal("segment"), segment: z.string().check(z.minLength(1), z.maxLength(1_024)) }),
  z.strictObject({ kind: z.enum(["train", "rehearse"]), seq: Count }),
  z.strictObject({ kind: z.literal("retry"), seq: Count, round: Count, attempt: Count }),
  z.strictObject({ kind: z.literal("schedule"), timeMs: Ms, retrain: z.enum(RETRAIN) }),
]);

export const TickMessage = z.strictObject({
  format: z.literal(1),
  tick: TickOfMessage,
  /** by the sender's clock: a queue that can't hold it so long delivers it early */
  dueMs: Ms,
});
export type TickMessage = z.infer<typeof TickMessage>;

export function tickMessage(tick: Tick, dueMs: number): string {
  const message: TickMessage = { format: 1, tick, dueMs: Math.max(0, Math.round(dueMs)) };
  return JSON.stringify(message);
}

/** The last word of a round's trainer. */
import { EXIT } from "../protocol/errors.ts";
import { resultKey } from "../protocol/keys.ts";
import { documentBytes, type RejectedItem, type Result } from "../protocol/types.ts";
import type { BeginAt } from "./begin.ts";
import type { RunName } from "./session.ts";

export type Found = Pick<Result, "checkpoint" | "epochsAdded" | "stepsAdded" | "metrics" | "liveMetrics">;

/** Creates result.json; the first one counts, whoever wrote it. @returns the exit code */
export async function writeResult(
  { store, say }: Pick<BeginAt, "store" | "say">,
  { plan, planSha256, attempt }: RunName,
  rejected: readonly RejectedItem[],
  found: Found,
): Promise<number> {
  const key = resultKey(plan.round);
  const result: Result = {
    format: 1,
    round: plan.round,
    plan: planSha256,
    attempt,
    rejected: [...rejected],
    ...found,
  };
  const body = documentBytes("result", key, result);
  let written = await store.create(key, body);
  if (written === "unknown") written = await store.create(key, body);
  if (written === "unknown") throw new Error(`${key}: whether it was written is not known`);
  say(written === "won" ? `round ${plan.round}: done` : `round ${plan.round}: another run was first`);
  return EXIT.ok;
}

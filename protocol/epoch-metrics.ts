/**
 * metrics.jsonl of a checkpoint: a line for each epoch that the model was trained for, those of earlier rounds first. It follows from what
 * was trained alone, without times and speeds: a kill changes no bit of it.
 */
import * as z from "zod/mini";
import { canonicalJson } from "./digest.ts";
import { AccreteError, messageOf } from "./errors.ts";
import { Metrics } from "./types.ts";

const Count = z.int().check(z.gte(0));

/** Others than these may be added: whoever reads an older line, or a newer one, goes by what is there. */
const EpochMetrics = z.looseObject({
  round: Count,
  /** passes over data since nothing was trained, with this one */
  epoch: Count,
  /** updates since nothing was trained, at its end */
  step: Count,
  /** mean over the epoch's records, each before its update; null: there was none */
  trainLoss: z.nullable(z.number()),
  /** of the epoch's last step */
  learningRate: z.optional(z.number()),
  /** at the epoch's end, where something needs them: early stopping */
  holdout: z.optional(Metrics),
});
export type EpochMetrics = z.infer<typeof EpochMetrics>;

export function epochLine(metrics: EpochMetrics): string {
  return `${canonicalJson(metrics)}\n`;
}

/** @param key for the message @throws {AccreteError} STORED_NOT_READABLE */
export function parseEpochMetrics(key: string, text: string): EpochMetrics[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line, i) => {
      const bad = (why: string): AccreteError =>
        new AccreteError("STORED_NOT_READABLE", `${key}: line ${i + 1}: ${why}`);
      const parsed = EpochMetrics.safeParse(parseJson(line, bad));
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw bad(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is wrong"}`);
    });
}

function parseJson(line: string, bad: (why: string) => AccreteError): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw bad(messageOf(cause));
  }
}

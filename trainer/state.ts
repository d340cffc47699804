/** state.json of a checkpoint: where training is, beside weights and slots. Numbers go there and back exactly. */
import * as z from "zod/mini";
import { canonicalJson } from "../protocol/digest.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { StoppingDocument } from "./early-stopping.ts";
import { NormalisationDocument } from "./normalise.ts";

const Count = z.int().check(z.gte(0));

const Position = z.strictObject({
  /** epochs of the round that are done */
  epochIndex: Count,
  /** batches of the present epoch that are done */
  batchIndex: Count,
  /** steps of the round that are done */
  step: Count,
  /** of the present epoch's batches so far: loss x records, records */
  lossSum: z.number(),
  lossRecords: Count,
  /** mean loss of the last whole epoch; null before it */
  epochLoss: z.nullable(z.number()),
});
export type Position = z.infer<typeof Position>;

export const State = z.strictObject({
  format: z.literal(1),
  /** optimizer updates, and passes over data, since nothing was trained */
  step: Count,
  epoch: Count,
  /** updates by this optimizer since its slots were 0 */
  updates: Count,
  /** within the round that saved it; a round begins at START */
  position: Position,
  /** digest of the records that the position counts in: other records, other position */
  records: z.string(),
  /** running statistics of table columns; null for data that needs none */
  normalisation: z.nullable(NormalisationDocument),
  /** of the round that saved it; only with trainer.earlyStopping, after its first epoch */
  stopping: z.optional(StoppingDocument),
});
export type State = z.infer<typeof State>;

export const START: Position = { epochIndex: 0, batchIndex: 0, step: 0, lossSum: 0, lossRecords: 0, epochLoss: null };

export function stateText(state: State): string {
  return `${canonicalJson(state)}\n`;
}

/** @throws {AccreteError} STORED_NOT_READABLE */
export function parseState(text: string, what: string): State {
  try {
    return State.parse(JSON.parse(text));
  } catch (cause) {
    throw new AccreteError("STORED_NOT_READABLE", `${what}: not the state of a checkpoint: ${messageOf(cause)}`, {
      cause,
    });
  }
}

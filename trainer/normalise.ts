/** Running mean and variance of table columns. The state is a part of the checkpoint; images and IDX arrays have none. */
import * as z from "zod/mini";
import type { DataConfig } from "../protocol/data-config.ts";
import type { Normalisation } from "./scale.ts";

export const NormalisationDocument = z.strictObject({
  count: z.int().check(z.gte(0)),
  mean: z.readonly(z.array(z.number())),
  m2: z.readonly(z.array(z.number().check(z.gte(0)))),
  frozen: z.boolean(),
});

export function emptyNormalisation(width: number): Normalisation {
  const zeros = Array.from({ length: width }, () => 0);
  return { count: 0, mean: zeros, m2: zeros, frozen: false };
}

/** Records after which the statistics stay as they are, as what the model learned refers to them. */
export function normalisedRecords({ normalise }: Pick<DataConfig, "normalise">): number {
  return typeof normalise === "number" ? normalise : normalise === "always" ? Infinity : 0;
}

/**
 * Adds records in the order given, until so many were seen.
 * @param records those trained on, never the holdout's, as floats; each is looked at before the next is asked for
 * @param options.numeric for each input 1 if it is a number, as numericMask gives it
 * @param options.until Infinity: always
 * @see Welford 1962, Note on a method for calculating corrected sums of squares and products
 */
export function updateNormalisation(
  state: Normalisation,
  records: Iterable<Float32Array>,
  { numeric, until }: { numeric: Uint8Array; until: number },
): Normalisation {
  if (state.count >= until) return state;
  const mean = Float64Array.from(state.mean);
  const m2 = Float64Array.from(state.m2);
  let count = state.count;
  for (const record of records) {
    count++;
    for (let i = 0; i < record.length; i++) {
      if (numeric[i] !== 1) continue;
      const value = record[i]!;
      const delta = value - mean[i]!;
      mean[i] = mean[i]! + delta / count;
      m2[i] = m2[i]! + delta * (value - mean[i]!);
    }
    if (count >= until) break;
  }
  return { count, mean: [...mean], m2: [...m2], frozen: count >= until };
}

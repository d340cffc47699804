/** Running mean and variance of table columns. The state is a part of the checkpoint; images and IDX arrays have none. */
import * as z from "zod/mini";

export interface Normalisation {
  /** records seen */
  readonly count: number;
  /** one for each input; 0 for parts of a category, which are left as they are */
  readonly mean: readonly number[];
  /** sum of squared differences from the mean */
  readonly m2: readonly number[];
  /** FREEZE_AT records were seen: it never changes again */
  readonly frozen: boolean;
}

export const NormalisationDocument = z.strictObject({
  count: z.int().check(z.gte(0)),
  mean: z.readonly(z.array(z.number())),
  m2: z.readonly(z.array(z.number().check(z.gte(0)))),
  frozen: z.boolean(),
});

/** Records after which the statistics stay as they are: what the model learned refers to them. */
export const FREEZE_AT = 1_000;

export function emptyNormalisation(width: number): Normalisation {
  const zeros = Array.from({ length: width }, () => 0);
  return { count: 0, mean: zeros, m2: zeros, frozen: false };
}

/**
 * Adds records in the order given, until FREEZE_AT were seen.
 * @param rows which records to take: those trained on, never the holdout's
 * @param numeric for each input 1 if it is a number, as numericMask gives it
 * @see Welford 1962, Note on a method for calculating corrected sums of squares and products
 */
export function updateNormalisation(
  state: Normalisation,
  features: Float32Array,
  width: number,
  rows: Uint32Array | readonly number[],
  numeric: Uint8Array,
): Normalisation {
  if (state.frozen || rows.length === 0) return state;
  const mean = Float64Array.from(state.mean);
  const m2 = Float64Array.from(state.m2);
  let count = state.count;
  for (const row of rows) {
    if (count >= FREEZE_AT) break;
    count++;
    for (let i = 0; i < width; i++) {
      if (numeric[i] !== 1) continue;
      const value = features[row * width + i]!;
      const delta = value - mean[i]!;
      mean[i] = mean[i]! + delta / count;
      m2[i] = m2[i]! + delta * (value - mean[i]!);
    }
  }
  return { count, mean: [...mean], m2: [...m2], frozen: count >= FREEZE_AT };
}

interface Scales {
  readonly mean: Float64Array;
  readonly perStd: Float64Array;
}
/** Derived once from each state: it is asked for once a record. */
const scales = new WeakMap<Normalisation, Scales>();

function scalesOf(state: Normalisation): Scales {
  const known = scales.get(state);
  if (known !== undefined) return known;
  const perStd = Float64Array.from(state.m2, (m2) => (m2 > 0 ? 1 / Math.sqrt(m2 / state.count) : 1));
  const derived = { mean: Float64Array.from(state.mean), perStd };
  scales.set(state, derived);
  return derived;
}

/** Writes (x - mean) / standard deviation of one record; an input that never varied is only moved by its mean. */
export function normaliseInto(
  state: Normalisation,
  source: Float32Array,
  width: number,
  row: number,
  target: Float32Array,
  targetRow: number,
): void {
  const { mean, perStd } = scalesOf(state);
  const from = row * width;
  const to = targetRow * width;
  for (let i = 0; i < width; i++) target[to + i] = (source[from + i]! - mean[i]!) * perStd[i]!;
}

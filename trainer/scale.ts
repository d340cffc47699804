/** Table columns scaled by their running statistics: apart from how they are made, as the worker that reads ahead needs no more. */
export interface Normalisation {
  /** records seen */
  readonly count: number;
  /** one for each input; 0 for parts of a category, which are left as they are */
  readonly mean: readonly number[];
  /** sum of squared differences from the mean */
  readonly m2: readonly number[];
  /** as many records as data.normalise asks for were seen: it never changes again */
  readonly frozen: boolean;
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

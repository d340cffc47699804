/** Values as 64-bit floats, as a cast to DOUBLE in SQL gives them. */
import { viewOf, type Values } from "./values.ts";
import type { Leaf } from "./types.ts";

/** Integers beyond it are not all exact. */
const EXACT_MAX = 2 ** 53;

/** Of values whose kind is a number. NaN becomes Infinity, so that NaN is left for what is not there. */
export function numbersOf(values: Values, leaf: Leaf): Float64Array {
  const { count, bytes } = values;
  const view = viewOf(bytes);
  const numbers = new Float64Array(count);
  const { kind } = leaf;
  if (kind === "double") for (let i = 0; i < count; i++) numbers[i] = present(view.getFloat64(8 * i, true));
  else if (kind === "float") for (let i = 0; i < count; i++) numbers[i] = present(view.getFloat32(4 * i, true));
  else if (kind === "half") for (let i = 0; i < count; i++) numbers[i] = present(view.getFloat16(2 * i, true));
  else if (kind === "int32") for (let i = 0; i < count; i++) numbers[i] = view.getInt32(4 * i, true);
  else if (kind === "uint32") for (let i = 0; i < count; i++) numbers[i] = view.getUint32(4 * i, true);
  // one rounding, as both parts are exact
  else if (kind === "int64")
    for (let i = 0; i < count; i++) numbers[i] = view.getInt32(8 * i + 4, true) * 2 ** 32 + view.getUint32(8 * i, true);
  else if (kind === "uint64")
    for (let i = 0; i < count; i++)
      numbers[i] = view.getUint32(8 * i + 4, true) * 2 ** 32 + view.getUint32(8 * i, true);
  else decimals(values, leaf, numbers);
  return numbers;
}

const present = (value: number): number => (Number.isNaN(value) ? Infinity : value);

function decimals(values: Values, leaf: Leaf, numbers: Float64Array): void {
  const power = 10n ** BigInt(leaf.scale);
  const divisor = Number(power);
  for (let i = 0; i < numbers.length; i++) {
    const value = wholeOf(values, leaf, i);
    const near = Number(value);
    numbers[i] =
      leaf.scale === 0 || Math.abs(near) <= EXACT_MAX
        ? near / divisor
        : Number(value / power) + Number(value % power) / divisor;
  }
}

/** A decimal's digits, as if it had no point; or an integer, exactly. */
export function wholeOf({ bytes, starts, gap }: Values, { physical, width, kind }: Leaf, i: number): bigint {
  if (physical === "int32") return BigInt(kind === "uint32" ? bytes.readUInt32LE(4 * i) : bytes.readInt32LE(4 * i));
  if (physical === "int64") return kind === "uint64" ? bytes.readBigUInt64LE(8 * i) : bytes.readBigInt64LE(8 * i);
  const [from, to] = starts === undefined ? [i * width, (i + 1) * width] : [starts[i]!, starts[i + 1]! - gap];
  if (to === from) return 0n;
  return BigInt.asIntN(8 * (to - from), BigInt(`0x${bytes.toString("hex", from, to)}`));
}

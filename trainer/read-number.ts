/** Numbers straight from a file's bytes, as `Number(text)` would read them: the same bits, without a text for each. */

const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));
/** Each power, and the same below 0. */
const SIGNED_POWERS = Float64Array.from({ length: 2 * POWERS.length }, (_, i) => (1 - 2 * (i & 1)) * POWERS[i >> 1]!);
const [ZERO, MINUS, PLUS, POINT, EXPONENT] = [0x30, 0x2d, 0x2b, 0x2e, 0x65];
/** so many digits are a whole number below 2^53 */
const DIGITS_MAX = 15;
/** It is none that can be read here: it has to be looked at in another way. */
export const OTHERWISE = -1;

/**
 * A decimal number as JSON writes them, of up to 15 digits and a power of ten that is exact in double precision: such ones come out
 * right by one multiplication or division. It is written into an array, as a number that a function returns is an object.
 * @param bytes with at least one byte behind the number
 * @returns the first byte behind it; OTHERWISE
 * @see Clinger 1990, How to read floating point numbers accurately
 */
export function readNumber(bytes: Uint8Array, from: number, into: Float64Array, index: number): number {
  let at = from | 0; // whole numbers of 32 bits throughout: nothing here is done as often
  const begins = bytes[at]! | 0;
  if (begins < MINUS) return OTHERWISE;
  // 1 or 0 without a branch: signs come as they like, and a wrong guess of the processor takes as long as the digits
  const negative = (begins - POINT) >>> 31;
  at = (at + negative) | 0;
  const first = at;
  let mantissa = 0; // right for up to 9 digits
  let digit = (bytes[at]! - ZERO) | 0;
  while (digit >>> 0 <= 9) {
    mantissa = (Math.imul(mantissa, 10) + digit) | 0;
    at = (at + 1) | 0;
    digit = (bytes[at]! - ZERO) | 0;
  }
  let digits = (at - first) | 0;
  if (digits === 0 || (digits > 1 && bytes[first] === ZERO)) return OTHERWISE;
  let power = 0;
  if (digit === POINT - ZERO) {
    at = (at + 1) | 0;
    const start = at;
    digit = (bytes[at]! - ZERO) | 0;
    while (digit >>> 0 <= 9) {
      mantissa = (Math.imul(mantissa, 10) + digit) | 0;
      at = (at + 1) | 0;
      digit = (bytes[at]! - ZERO) | 0;
    }
    power = (at - start) | 0;
    if (power === 0) return OTHERWISE;
    digits = (digits + power) | 0;
  }
  if (digits > 9 || (digit | 0x20) === EXPONENT - ZERO)
    return readLong(bytes, { from, at, digits, power }, into, index);
  into[index] = mantissa / SIGNED_POWERS[2 * power + negative]!;
  return at;
}

/** One with more digits, or with an exponent. */
function readLong(
  bytes: Uint8Array,
  seen: { readonly from: number; readonly at: number; readonly digits: number; readonly power: number },
  into: Float64Array,
  index: number,
): number {
  if (seen.digits > DIGITS_MAX) return OTHERWISE;
  const negative = bytes[seen.from] === MINUS;
  let mantissa = 0;
  for (let i = seen.from + (negative ? 1 : 0); i < seen.at; i++)
    if (bytes[i] !== POINT) mantissa = mantissa * 10 + (bytes[i]! - ZERO);
  let { at } = seen;
  let power = -seen.power;
  if ((bytes[at]! | 0x20) === EXPONENT) {
    const below = bytes[++at] === MINUS;
    if (below || bytes[at] === PLUS) at++;
    const start = at;
    let exponent = 0;
    while (bytes[at]! >= ZERO && bytes[at]! < ZERO + 10 && at - start < 3)
      exponent = exponent * 10 + (bytes[at++]! - ZERO);
    if (at === start) return OTHERWISE;
    power += below ? -exponent : exponent;
  }
  if (power < -22 || power > 22) return OTHERWISE;
  const value = power < 0 ? mantissa / POWERS[-power]! : mantissa * POWERS[power]!;
  into[index] = negative ? -value : value;
  return at;
}

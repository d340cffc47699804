/** Numbers straight from a file's bytes, as `Number(text)` would read them: the same bits, without a text for each. */

const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));
const [ZERO, MINUS, PLUS, POINT] = [0x30, 0x2d, 0x2b, 0x2e];
/** so many digits are a whole number below 2^53 */
const DIGITS_MAX = 15;

/** Reads one number after the other; where the last one ended is in `end`. */
export class SimpleNumber {
  /** the first byte behind the number */
  end = 0;

  /**
   * A decimal number as JSON writes them, of up to 15 digits and a power of ten that is exact in double precision: such ones come out
   * right by one multiplication or division.
   * @param bytes with at least one byte behind the number
   * @returns NaN: it is none of these, so it has to be looked at in another way
   * @see Clinger 1990, How to read floating point numbers accurately
   */
  read(bytes: Uint8Array, from: number): number {
    let at = from;
    let byte = bytes[at]!;
    const negative = byte === MINUS;
    if (negative) byte = bytes[++at]!;
    const first = at;
    let mantissa = 0; // as 32 bits: it is right for up to 9 digits, and most numbers have no more
    for (let digit = byte - ZERO; digit >= 0 && digit <= 9; digit = (byte = bytes[++at]!) - ZERO)
      mantissa = (Math.imul(mantissa, 10) + digit) | 0;
    let digits = at - first;
    if (digits === 0 || (digits > 1 && bytes[first] === ZERO)) return NaN;
    let power = 0;
    if (byte === POINT) {
      const point = at;
      byte = bytes[++at]!;
      for (let digit = byte - ZERO; digit >= 0 && digit <= 9; digit = (byte = bytes[++at]!) - ZERO)
        mantissa = (Math.imul(mantissa, 10) + digit) | 0;
      power = point + 1 - at;
      if (power === 0) return NaN;
      digits -= power;
    }
    if (digits > DIGITS_MAX) return NaN;
    const whole = digits <= 9 ? mantissa : longMantissa(bytes, first, at);
    if ((byte | 0x20) === 0x65) {
      power += this.#exponent(bytes, at + 1);
      at = this.end;
    }
    this.end = at;
    if (power === 0) return negative ? -whole : whole;
    if (!(power >= -22 && power <= 22)) return NaN;
    const value = power < 0 ? whole / POWERS[-power]! : whole * POWERS[power]!;
    return negative ? -value : value;
  }

  /** @returns NaN: it is none */
  #exponent(bytes: Uint8Array, from: number): number {
    let at = from;
    const below = bytes[at] === MINUS;
    if (below || bytes[at] === PLUS) at++;
    const start = at;
    let exponent = 0;
    for (let digit = bytes[at]! - ZERO; digit >= 0 && digit <= 9; digit = bytes[++at]! - ZERO)
      exponent = exponent * 10 + digit;
    this.end = at;
    if (at === start || at - start > 3) return NaN;
    return below ? -exponent : exponent;
  }
}

function longMantissa(bytes: Uint8Array, from: number, to: number): number {
  let mantissa = 0;
  for (let at = from; at < to; at++) if (bytes[at] !== POINT) mantissa = mantissa * 10 + (bytes[at]! - ZERO);
  return mantissa;
}

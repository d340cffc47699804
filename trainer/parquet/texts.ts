/** Values as texts, as a cast to VARCHAR in SQL gives them. */
import { isUtf8 } from "node:buffer";
import { damaged } from "./damaged.ts";
import { wholeOf } from "./numbers.ts";
import type { TextInterner } from "../text-interner.ts";
import type { Leaf } from "./types.ts";
import type { Values } from "./values.ts";

/** The values of a dictionary or of a page; made to texts where they are asked for, and once where they are a dictionary's. */
export class Texts {
  readonly #values: Values;
  readonly #leaf: Leaf;
  readonly #texts: (string | undefined)[] | undefined;
  readonly #indexes: Int32Array | undefined;

  /** @param kept of a dictionary: its values are asked for more than once @throws {BadItem} for what is not UTF-8 */
  constructor(values: Values, leaf: Leaf, kept: boolean) {
    this.#values = values;
    this.#leaf = leaf;
    if (leaf.kind === "text") checkUtf8(values, leaf);
    if (!kept) return;
    this.#texts = [];
    this.#indexes = new Int32Array(values.count).fill(UNKNOWN);
  }

  text(i: number): string {
    return this.#texts === undefined ? this.#textOf(i) : (this.#texts[i] ??= this.#textOf(i));
  }

  /** @param interner the same one at each call @returns what it gives for the value */
  intern(i: number, interner: TextInterner): number {
    const known = this.#indexes?.[i] ?? UNKNOWN;
    if (known !== UNKNOWN) return known;
    const index =
      this.#leaf.kind === "text"
        ? interner.ofBytes(this.#values.bytes, ...placeOf(this.#values, this.#leaf, i))
        : interner.ofText(this.#textOf(i));
    if (this.#indexes !== undefined) this.#indexes[i] = index;
    return index;
  }

  #textOf(i: number): string {
    return textOf(this.#values, this.#leaf, i);
  }
}

/** None of those that an interner gives. */
const UNKNOWN = -3;

function placeOf({ starts, gap }: Values, { width }: Leaf, i: number): [from: number, to: number] {
  return starts === undefined ? [i * width, (i + 1) * width] : [starts[i]!, starts[i + 1]! - gap];
}

function checkUtf8(values: Values, leaf: Leaf): void {
  const { bytes, count } = values;
  for (let i = 0; i < count; i++) {
    const [from, to] = placeOf(values, leaf, i);
    let bits = 0;
    for (let at = from; at < to; at++) bits |= bytes[at]!;
    if (bits >= 0x80 && !isUtf8(bytes.subarray(from, to))) throw damaged("a text is not UTF-8");
  }
}

function textOf(values: Values, leaf: Leaf, i: number): string {
  const { bytes } = values;
  switch (leaf.kind) {
    case "text":
      return bytes.toString("utf8", ...placeOf(values, leaf, i));
    case "boolean":
      return bytes[i] === 0 ? "false" : "true";
    case "uuid":
      return bytes.toString("hex", 16 * i, 16 * i + 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    case "date":
      return dateText(BigInt(bytes.readInt32LE(4 * i)));
    case "timestamp":
      return timeText(bytes, leaf, i);
    case "decimal":
      return decimalText(wholeOf(values, leaf, i), leaf);
    default:
      return String(wholeOf(values, leaf, i));
  }
}

function decimalText(value: bigint, { scale, precision }: Leaf): string {
  const digits = String(value < 0n ? -value : value).padStart(scale + (precision > scale ? 1 : 0), "0");
  const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return value < 0n ? `-${text}` : text;
}

const DAY_SECONDS = 86_400n;
/** Of 1970-01-01 in the count of days that INT96 has. */
const JULIAN_DAY = 2_440_588n;
const [DATE_END, TIME_END] = [2n ** 31n - 1n, 2n ** 63n - 1n];

function timeText(bytes: Buffer, { perSecond, zoned }: Leaf, i: number): string {
  let [time, unit] = [0n, BigInt(perSecond)];
  if (perSecond === 0) {
    unit = 1_000_000n;
    const days = BigInt(bytes.readUInt32LE(12 * i + 8)) - JULIAN_DAY;
    time = days * DAY_SECONDS * unit + bytes.readBigInt64LE(12 * i) / 1_000n;
  } else {
    time = bytes.readBigInt64LE(8 * i);
    if (time === TIME_END) return "infinity";
    if (time === -TIME_END) return "-infinity";
    if (zoned && perSecond === 1e9) [time, unit] = [time / 1_000n, 1_000_000n];
  }
  const ofDay = positive(time, DAY_SECONDS * unit);
  const days = (time - ofDay) / (DAY_SECONDS * unit);
  const seconds = Number(ofDay / unit);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  const clock = `${two(seconds / 3_600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`;
  const part = ofDay % unit;
  const behind =
    part === 0n
      ? ""
      : `.${String(part + unit)
          .slice(1)
          .replace(/0+$/, "")}`;
  return `${dateText(days)} ${clock}${behind}${zoned ? "+00" : ""}`;
}

const positive = (value: bigint, by: bigint): bigint => ((value % by) + by) % by;

/** Of days since 1970, in the Gregorian calendar throughout. */
function dateText(days: bigint): string {
  if (days === DATE_END) return "infinity";
  if (days === -DATE_END) return "-infinity";
  // 400 years have 146,097 days; Date takes any day of them
  const cycle = positive(days, 146_097n);
  const date = new Date(Number(cycle) * 86_400_000);
  const year = BigInt(date.getUTCFullYear()) + ((days - cycle) / 146_097n) * 400n;
  const rest = date.toISOString().slice(4, 10);
  return year > 0n ? `${String(year).padStart(4, "0")}${rest}` : `${String(1n - year).padStart(4, "0")}${rest} (BC)`;
}

/** Which records are never trained on. */
import { hash } from "node:crypto";
import { AccreteError } from "../protocol/errors.ts";
import type { HoldoutRule } from "../protocol/holdout-part.ts";
import type { RecordsOfItem } from "./item-records.ts";
import { floatsInto } from "./packed/row-layout.ts";
import { compareNames } from "./schema.ts";

/** Of a record: its place in 0..1, by which its side is chosen, and a number by which equal records are known. */
export interface Content {
  readonly place: number;
  readonly id: number;
}

let scratch = Buffer.alloc(0);

/**
 * sha256 over the record's inputs as float32, token ids as int32 (before normalisation, little-endian), and its label: the first 32 bits
 * are the place, as a part of 2^32, and the next 48 the id.
 * @param label the class's name, or the value, or of several classes what namesText gives
 */
export function contentOf(features: Float32Array | Int32Array, label: string | number): Content {
  const text = `\0${label}`;
  const size = features.byteLength + Buffer.byteLength(text);
  if (scratch.length < size) scratch = Buffer.alloc(2 * size);
  scratch.set(new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
  scratch.write(text, features.byteLength);
  const digest = hash("sha256", scratch.subarray(0, size), "buffer");
  return { place: digest.readUInt32BE(0) / 2 ** 32, id: digest.readUIntBE(4, 6) };
}

/** @param part 0 (none) up to 1 */
export function isHoldout(features: Float32Array | Int32Array, label: string | number, part: number): boolean {
  return part > 0 && contentOf(features, label).place < part;
}

/** Several classes as what of the label belongs to a record's content: the same in whatever order they came. */
export function namesText(names: readonly string[]): string {
  return names.toSorted(compareNames).join("\0");
}

function labelText({ labels, offsets, names }: RecordsOfItem, i: number): string | number {
  if (offsets === undefined) return labels instanceof Int32Array ? names[labels[i]!]!.name : labels[i]!;
  return namesText(Array.from(labels.subarray(offsets[i]!, offsets[i + 1]!), (label) => names[label]!.name));
}

/** Of a group, in 0..1, whatever numbers stand for groups. */
function placeOfGroup(mark: number): number {
  return hash("sha256", new Uint8Array(Float64Array.of(mark).buffer), "buffer").readUInt32BE(0) / 2 ** 32;
}

/**
 * Chooses among a round's records as they come. Whatever the rule, a record that is equal to one of the holdout, of this round or of an
 * earlier one, belongs to the holdout as well: what a model was measured on it is never trained on.
 */
export class HoldoutChooser {
  readonly #rule: HoldoutRule | null;
  readonly #known: ReadonlySet<number>;
  #flags: Uint8Array[] = [];
  /** of each record; not by content: equal records are on the same side by themselves */
  #ids: Float64Array[] = [];
  /** by time */
  #times: Float64Array[] = [];
  #floats = new Float32Array(0);

  /** @param known ids of the holdout of earlier rounds */
  constructor(rule: HoldoutRule | null, known: ReadonlySet<number>) {
    this.#rule = rule;
    this.#known = known;
  }

  /**
   * @param key of the item that they are from
   * @throws {AccreteError} CONFIG_INVALID if the rule takes a column and the records have none
   */
  add(records: RecordsOfItem, key: string): void {
    const { count, marks } = records;
    const rule = this.#rule;
    const flags = new Uint8Array(count);
    this.#flags.push(flags);
    if (rule === null && this.#known.size === 0) return;
    const byMark = rule?.by === "group" || rule?.by === "time";
    if (byMark && marks === undefined && count > 0)
      throw new AccreteError("CONFIG_INVALID", `data.holdout: by "${rule.by}" takes a column, and the data has none`);
    if (rule?.by === "time") this.#times.push(marks!.slice());
    const ids = new Float64Array(count);
    if (rule !== null && rule.by !== "content") this.#ids.push(ids);
    const ofPrefix = rule?.by === "prefix" && key.startsWith(rule.prefix);
    for (let i = 0; i < count; i++) {
      const { place, id } = this.#contentOf(records, i);
      ids[i] = id;
      const chosen =
        ofPrefix ||
        (rule?.by === "content" && place < rule.part) ||
        (rule?.by === "group" && placeOfGroup(marks![i]!) < rule.part);
      if (chosen || this.#known.has(id)) flags[i] = 1;
    }
  }

  reset(): void {
    this.#flags = [];
    this.#ids = [];
    this.#times = [];
  }

  /** @returns for each record 1: never trained on */
  done(): Uint8Array {
    const flags = joined(this.#flags, (count) => new Uint8Array(count));
    if (this.#rule?.by === "time") chooseNewest(joined(this.#times, floats64), this.#rule.part, flags);
    if (this.#ids.length > 0) chooseEqual(joined(this.#ids, floats64), flags);
    this.reset();
    return flags;
  }

  #contentOf(records: RecordsOfItem, i: number): Content {
    const { features, count } = records;
    const width = features.length / count;
    const label = labelText(records, i);
    if (features instanceof Int32Array) return contentOf(features.subarray(i * width, (i + 1) * width), label);
    if (this.#floats.length !== width) this.#floats = new Float32Array(width);
    floatsInto(features, i * width, width, this.#floats, 0);
    return contentOf(this.#floats, label);
  }
}

const floats64 = (count: number): Float64Array => new Float64Array(count);

function joined<T extends Uint8Array | Float64Array>(parts: readonly T[], make: (count: number) => T): T {
  const whole = make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The newest part, rounded to whole records; of those of one time the ones that come later. A record without a time is the oldest. */
function chooseNewest(times: Float64Array, part: number, flags: Uint8Array): void {
  const known = times.map((time) => (Number.isNaN(time) ? -Infinity : time));
  const wanted = Math.round(part * known.length);
  if (wanted === 0) return;
  const from = known.toSorted()[known.length - wanted]!;
  let ofThatTime = wanted - known.reduce((sum, time) => sum + (time > from ? 1 : 0), 0);
  for (let i = known.length - 1; i >= 0; i--)
    if (known[i]! > from || (known[i] === from && ofThatTime-- > 0)) flags[i] = 1;
}

function chooseEqual(ids: Float64Array, flags: Uint8Array): void {
  const chosen = new Set(ids.filter((_, i) => flags[i] === 1));
  for (let i = 0; i < ids.length; i++) if (chosen.has(ids[i]!)) flags[i] = 1;
}

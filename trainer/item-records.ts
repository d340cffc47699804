/** What a reader gives for one item, before the classes of all items are known. */
import type { Task } from "../protocol/data-config.ts";
import { printable } from "../protocol/printable.ts";
import { CLASSES_MAX, type Column } from "./schema.ts";

/** The item can't be read as it is: it is rejected with this message, and the others are read. */
export class BadItem extends Error {
  override readonly name = "BadItem";
}

export type LabelKind = "class" | "value" | "classes";

export const LABEL_KINDS: Readonly<Record<Task, LabelKind>> = {
  classification: "class",
  "multi-label": "classes",
  regression: "value",
};

export interface Labels {
  /** class: index into `names`; value: the value; classes: those of all records, one record's after the other's */
  readonly labels: Int32Array | Float32Array;
  /** classes: count + 1 places in `labels`: those from offsets[i] up to offsets[i + 1] are record i's, each once, in ascending order */
  readonly offsets?: Int32Array;
  /** class: names in the order in which they came first, and in which record that was */
  readonly names: readonly { readonly name: string; readonly record: number }[];
}

export interface RecordsOfItem extends Labels {
  readonly count: number;
  /** of one record */
  readonly shape: readonly number[];
  /** count * width: numbers as they are; bytes stand for 0..1 in parts of 255; 32-bit integers are token ids */
  readonly features: Float32Array | Uint8Array | Int32Array;
  /** of each record, what it counts for in the loss; left out: all count 1 */
  readonly weights?: Float32Array;
  /** of each record, by what data.holdout chooses: a time in ms, or a hash of its group; left out: its content */
  readonly marks?: Float64Array;
}

/** What records look like, but for their classes. */
export interface Layout {
  readonly shape: readonly number[];
  readonly columns: readonly Column[] | null;
  /** text: its tokens, in the order of their ids */
  readonly vocabulary?: readonly string[] | undefined;
}

/** A staged item as it is read. */
export interface FileToRead {
  /** images: the class is the name of its folder */
  readonly key: string;
  readonly path: string;
}

/** Characters of a class's name; also what data.labels may have. */
export const LABEL_LENGTH_MAX = 256;

export interface LabelBuilder {
  /** @throws {BadItem} for a value that is not finite, a name that is too long, or too many classes */
  add(record: number, label: string | number, where: string): void;
  done(): Labels;
}

/** Collects an item's labels, one a record, for records in their order. @param capacity how many are expected: there may be more */
export function labelBuilder(kind: LabelKind, capacity: number): LabelBuilder {
  let count = 0;
  if (kind === "value") {
    let values = new Float32Array(capacity);
    return {
      add(record, label, where) {
        const value = Math.fround(typeof label === "number" ? label : NaN);
        if (!Number.isFinite(value)) throw new BadItem(`${where}: the label is ${shown(label)}: not a finite number`);
        if (record >= values.length) values = grown(values, new Float32Array(2 * record + 1));
        values[record] = value;
        count = record + 1;
      },
      done: () => ({ labels: values.subarray(0, count), names: [] }),
    };
  }
  let labels = new Int32Array(capacity);
  const offsets = kind === "classes" ? { offsets: Int32Array.from({ length: capacity + 1 }, (_, i) => i) } : {};
  const names: { name: string; record: number }[] = [];
  const indices = new Map<string | number, number>(); // 7 and "7" are one class; the number saves making a text each time
  return {
    add(record, label, where) {
      if (record >= labels.length) labels = grown(labels, new Int32Array(2 * record + 1));
      count = record + 1;
      const known = indices.get(label);
      if (known !== undefined) {
        labels[record] = known;
        return;
      }
      const name = String(label);
      if (name.length > LABEL_LENGTH_MAX)
        throw new BadItem(`${where}: the label ${shown(name)} has more than ${LABEL_LENGTH_MAX} characters`);
      const index = indices.get(name) ?? names.length;
      if (index === CLASSES_MAX)
        throw new BadItem(
          `${where}: more than ${CLASSES_MAX} classes: are the labels values? Then set data.task to "regression"`,
        );
      if (index === names.length) names.push({ name, record });
      indices.set(name, index).set(label, index);
      labels[record] = index;
    },
    done: () => ({ labels: labels.subarray(0, count), names, ...offsets }),
  };
}

function grown<T extends Int32Array | Float32Array>(from: T, larger: T): T {
  larger.set(from);
  return larger;
}

/** A cell or a name in a message: quoted, on one line, not too long. */
export function shown(value: unknown): string {
  const text = printable(typeof value === "string" ? JSON.stringify(value) : String(value));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

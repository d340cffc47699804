/** What the formats of tables have in common: records one after the other, of each the cells that are asked for. */
import { TextInterner } from "./text-interner.ts";

/** What of a column is asked for; several may be added up. */
export const [AS_NUMBER, AS_TEXT, AS_STRING, AS_LIST] = [1, 2, 4, 8];

export interface Wanted {
  /** in the names */
  readonly column: number;
  readonly as: number;
  /** AS_TEXT: texts that have the numbers from 0 on, and how many there may be in all */
  readonly texts?: readonly string[];
  readonly textsMax?: number;
}

/** The cells of one record, by column: those that are asked for. */
export class Cells {
  readonly as: Uint8Array;
  /** NaN: it is no number; infinite: it is one that is not finite */
  readonly numbers: Float64Array;
  /** into `texts`; NONE: nothing there; OVERFLOW */
  readonly indexes: Int32Array;
  readonly texts: TextInterner[];
  readonly strings: (string | null)[];

  constructor(columns: number, wanted: readonly Wanted[]) {
    this.as = new Uint8Array(columns);
    this.numbers = new Float64Array(columns).fill(NaN);
    this.indexes = new Int32Array(columns).fill(NONE);
    this.strings = Array.from({ length: columns }, () => null);
    const none = new TextInterner([], 0);
    this.texts = Array.from({ length: columns }, () => none);
    for (const { column, as, texts = [], textsMax = 0 } of wanted) {
      this.as[column] = this.as[column]! | as;
      if ((as & AS_TEXT) !== 0) this.texts[column] = new TextInterner(texts, textsMax);
    }
  }
}
export const NONE = -1;

export interface TableScan {
  readonly names: readonly string[];
  /** whether a column may not have numbers and text: text files know no types */
  readonly typed: boolean;
  /**
   * Reads from the top.
   * @param each told of each record, while its cells are there; false: no more
   * @throws {BadItem} where the file is no such table
   */
  read(cells: Cells, each: () => boolean): Promise<void>;
  /** Of the record at hand: for messages, and for what is seldom. A text, a number, a boolean, a list; null: nothing there. */
  cell(column: number): unknown;
  /** Of the record at hand, for messages: "line 7" */
  place(): string;
  /** How many records there may be in all, after some were read. */
  expected(recordsSoFar: number): number;
}

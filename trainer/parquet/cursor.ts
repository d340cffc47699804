/** One column of a row group, as it is asked for: numbers, texts or lists of a page, and where in it the row at hand is. */
import { AS_NUMBER, AS_STRING, AS_TEXT, NONE, type Cells } from "../table-scan.ts";
import { asDamaged, damaged } from "./damaged.ts";
import type { ParquetColumn, RowGroup } from "./footer.ts";
import { numbersOf, wholeOf } from "./numbers.ts";
import { Pages, type Page, type Source } from "./pages.ts";
import { Texts } from "./texts.ts";
import type { Leaf } from "./types.ts";
import type { Values } from "./values.ts";

export type Mode = "number" | "text" | "list";

type Element = string | number | null;

/** What was made of values. */
interface Made {
  readonly values: Values;
  readonly numbers: Float64Array;
  readonly texts: Texts | undefined;
}

/** Of an element of a list, with the text that it is. */
const ELEMENT_BYTES = 64;

export class Cursor {
  /** in the table */
  readonly column: number;
  readonly how: number;
  readonly mode: Mode;
  /** of the page at hand; NaN: nothing there */
  numbers: Float64Array = new Float64Array(0);
  /** of the page at hand; NONE: nothing there */
  #entries: Int32Array = new Int32Array(0);
  #texts: Texts | undefined;
  #lists: (readonly Element[] | null)[] = [];
  /** the row at hand, in the page, and how many the page has */
  at = 0;
  length = 0;
  #rowsLeft = 0;
  readonly #of: ParquetColumn;
  readonly #leaf: Leaf;
  readonly #where: string;
  #pages: Pages | undefined;
  /** of a dictionary, made once for all of its pages */
  #made: Made | undefined;

  constructor(column: number, how: number, mode: Mode, of: { column: ParquetColumn; leaf: Leaf; where: string }) {
    this.column = column;
    this.how = how;
    this.mode = mode;
    this.#of = of.column;
    this.#leaf = of.leaf;
    this.#where = of.where;
  }

  start(source: Source, group: RowGroup): void {
    this.#pages?.close();
    this.#made = undefined;
    const chunk = group.chunk(this.#of.leafIndex, this.#where);
    this.#pages = new Pages(source, this.#of, this.#leaf, chunk, this.#where);
    [this.at, this.length, this.#rowsLeft] = [0, 0, group.rows];
    if (this.mode === "list") this.#guarded((pages) => this.#readLists(pages, chunk.values, source));
  }

  /** The next page, where the one at hand is over. @throws {BadItem} where there is none, though the row group has more rows */
  fill(): void {
    if (this.at < this.length) return;
    this.#guarded((pages) => {
      do this.#take(pages, pages.next(this.#rowsLeft));
      while (this.length === 0);
    });
  }

  store(cells: Cells): void {
    const { column, how, at } = this;
    if (this.mode === "number") return this.#storeNumber(cells, this.numbers[at]!);
    cells.numbers[column] = NaN;
    if (this.mode === "list") {
      cells.strings[column] = null;
      return;
    }
    const entry = this.#entries[at]!;
    if ((how & AS_TEXT) !== 0)
      cells.indexes[column] = entry === NONE ? NONE : this.#texts!.intern(entry, cells.texts[column]!);
    if ((how & AS_STRING) !== 0) cells.strings[column] = entry === NONE ? null : this.#texts!.text(entry);
  }

  cell(): unknown {
    const { at } = this;
    if (this.mode === "list") return this.#lists[at] ?? null;
    if (this.mode === "number") return Number.isNaN(this.numbers[at]!) ? null : this.numbers[at];
    return this.#entries[at] === NONE ? null : this.#texts!.text(this.#entries[at]!);
  }

  #storeNumber(cells: Cells, value: number): void {
    const { column, how } = this;
    cells.numbers[column] = value;
    if ((how & AS_TEXT) !== 0)
      // with numbers asked for as well it only matters whether there is something
      cells.indexes[column] = Number.isNaN(value)
        ? NONE
        : (how & AS_NUMBER) !== 0
          ? 0
          : cells.texts[column]!.ofText(String(value));
    if ((how & AS_STRING) !== 0) cells.strings[column] = Number.isNaN(value) ? null : String(value);
  }

  #guarded(act: (pages: Pages) => void): void {
    try {
      if (this.#pages !== undefined) act(this.#pages);
    } catch (error) {
      throw asDamaged(error, this.#where);
    }
  }

  #take(pages: Pages, page: Page): void {
    const { indexes, values, count, levels } = page;
    if (indexes === undefined || this.#made?.values !== values) this.#made = this.#make(values, indexes !== undefined);
    const { numbers, texts } = this.#made;
    this.#texts = texts;
    const isWhole = (indexes?.length ?? values.count) === count;
    const rows = { indexes, levels: isWhole ? undefined : levels.values, max: this.#of.levels.value, count };
    if (this.mode === "number") {
      this.numbers = isWhole && indexes === undefined ? numbers : spread(numbers, rows);
      pages.keep(8 * count);
    } else this.#entries = entriesOf(rows);
    this.at = 0;
    this.length = count;
    this.#rowsLeft -= count;
  }

  #make(values: Values, kept: boolean): Made {
    const asNumber = this.mode === "number";
    return {
      values,
      numbers: asNumber ? numbersOf(values, this.#leaf) : this.numbers,
      texts: asNumber ? undefined : new Texts(values, this.#leaf, kept),
    };
  }

  /** All of the row group's: a list may go on in the next page. @param left elements, and lists that have none */
  #readLists(pages: Pages, left: number, { room }: Source): void {
    const lists: (Element[] | null)[] = [];
    const rows = this.#rowsLeft;
    for (let elements = 0; elements < left;) {
      const page = pages.next(left - elements);
      elements += page.count;
      if (elements * ELEMENT_BYTES > room.left)
        throw damaged(`the lists of ${this.#where} need more memory than data.limits.memory allows`);
      this.#addLists(lists, page);
    }
    if (lists.length !== rows) throw damaged(`${this.#where} has ${lists.length} rows, but its row group ${rows}`);
    this.#lists = lists;
    [this.at, this.length] = [0, rows];
  }

  #addLists(lists: (Element[] | null)[], { levels, values, indexes, count }: Page): void {
    const { value: max, element } = this.#of.levels;
    const texts = new Texts(values, this.#leaf, indexes !== undefined);
    let next = 0;
    for (let i = 0; i < count; i++) {
      const level = levels.values?.[i] ?? max;
      if (levels.repetitions?.[i] === 0) lists.push(level >= element - 1 ? [] : null);
      else if (lists.length === 0) throw new Error("a list without its beginning");
      if (level < element) continue;
      const list = lists.at(-1);
      if (list === undefined || list === null) throw new Error("an element of no list");
      if (level < max) list.push(null);
      else {
        list.push(this.#elementOf(texts, values, indexes?.[next] ?? next));
        next++;
      }
    }
  }

  /** A number that a float can't hold comes as its text. */
  #elementOf(texts: Texts, values: Values, i: number): Element {
    if (this.#leaf.kind === "text") return texts.text(i);
    const number = Number(wholeOf(values, this.#leaf, i));
    return Number.isSafeInteger(number) ? number : texts.text(i);
  }
}

/** Which values the rows of a page have. */
interface Rows {
  /** undefined: one after the other */
  readonly indexes: Int32Array | undefined;
  /** a row has a value where it is `max`; undefined: all have */
  readonly levels: Uint8Array | undefined;
  readonly max: number;
  readonly count: number;
}

/** Values to their rows, NaN to those that have none. */
function spread(from: Float64Array, { indexes, levels, max, count }: Rows): Float64Array {
  const to = new Float64Array(count);
  let next = 0;
  if (indexes === undefined) for (let row = 0; row < count; row++) to[row] = levels![row] === max ? from[next++]! : NaN;
  else if (levels === undefined) for (let row = 0; row < count; row++) to[row] = from[indexes[row]!]!;
  else for (let row = 0; row < count; row++) to[row] = levels[row] === max ? from[indexes[next++]!]! : NaN;
  return to;
}

/** Of each row, which value is its; NONE: none. */
function entriesOf({ indexes, levels, max, count }: Rows): Int32Array {
  if (levels === undefined && indexes !== undefined) return indexes;
  const to = new Int32Array(count);
  let next = 0;
  for (let row = 0; row < count; row++) {
    const isThere = levels === undefined || levels[row] === max;
    to[row] = isThere ? (indexes?.[next] ?? next) : NONE;
    if (isThere) next++;
  }
  return to;
}

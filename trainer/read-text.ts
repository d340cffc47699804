/** Text: a record a line, as JSONL with a text column, or as lines of a label, a tab and the text. */
import type { DataConfig } from "../protocol/data-config.ts";
import type { ByteSource } from "./byte-source.ts";
import { BadItem, shown, type LabelKind, type RecordsOfItem } from "./item-records.ts";
import { openJsonl } from "./jsonl-scan.ts";
import { LineBuffer, readLines } from "./line-buffer.ts";
import { numberOf } from "./schema.ts";
import { labelSink, markSink, weightSink, type ColumnSink } from "./record-columns.ts";
import { AS_NUMBER, AS_STRING, AS_TEXT, Cells, NONE, type TableScan } from "./table-scan.ts";
import { countTokens, idsByToken, writeIds } from "./text-tokens.ts";

const [LF, CR, TAB] = [0x0a, 0x0d, 0x09];

export async function openText(source: ByteSource, data: DataConfig): Promise<TableScan> {
  return data.text === null ? new LineScan(source, data.label) : openJsonl(source);
}

/** @throws {BadItem} with the line */
export async function readText(
  scan: TableScan,
  options: { readonly data: DataConfig; readonly kind: LabelKind; readonly vocabulary: readonly string[] },
): Promise<RecordsOfItem> {
  const { data, kind, vocabulary } = options;
  const [text, label] = [textColumn(scan, data), columnOf(scan, data.label, "data.label")];
  const sinks: ColumnSink[] = [labelSink(scan, label, kind, data)];
  if (data.weight !== null) sinks.push(weightSink(scan, columnOf(scan, data.weight, "data.weight")));
  if (typeof data.holdout !== "number" && "column" in data.holdout)
    sinks.push(markSink(scan, columnOf(scan, data.holdout.column, "data.holdout"), data.holdout.by));
  const cells = new Cells(scan.names.length, [{ column: text, as: AS_STRING }, ...sinks.map(({ wanted }) => wanted)]);
  const known = idsByToken(vocabulary);
  const width = data.tokens;
  let features = new Int32Array(width * 256);
  let count = 0;
  await scan.read(cells, () => {
    if ((count + 1) * width > features.length) {
      const larger = new Int32Array(2 * features.length);
      larger.set(features);
      features = larger;
    }
    writeIds(textOf(scan, cells, text), known, features.subarray(count * width, (count + 1) * width));
    for (const sink of sinks) sink.add(cells, count);
    count++;
    return true;
  });
  if (count === 0) throw new BadItem("it has no records");
  const done: Partial<RecordsOfItem> = Object.assign({}, ...sinks.map((sink) => sink.done(count)));
  const none = { labels: new Int32Array(0), names: [] };
  return { ...none, ...done, count, shape: [width], features: features.subarray(0, count * width) };
}

/** Adds how often each token is in the file. @throws {BadItem} */
export async function countFile(scan: TableScan, data: DataConfig, counts: Map<string, number>): Promise<void> {
  const text = textColumn(scan, data);
  const cells = new Cells(scan.names.length, [{ column: text, as: AS_STRING }]);
  await scan.read(cells, () => {
    countTokens(textOf(scan, cells, text), counts);
    return true;
  });
}

const textColumn = (scan: TableScan, { text }: DataConfig): number =>
  text === null ? 1 : columnOf(scan, text, "data.text");

function textOf(scan: TableScan, { strings }: Cells, column: number): string {
  const text = strings[column]!;
  if (text !== null) return text;
  throw new BadItem(`${scan.place()}, column ${shown(scan.names[column])}: the text is empty`);
}

function columnOf(scan: TableScan, name: string, what: string): number {
  const column = scan.names.indexOf(name);
  if (column !== -1) return column;
  const names = scan.names.slice(0, 10).map(shown).join(", ");
  throw new BadItem(`there is no column ${shown(name)}, which ${what} names; its columns are ${names}`);
}

/** A label up to the first tab, and all behind it. */
class LineScan implements TableScan {
  readonly names: readonly string[];
  readonly typed = false;
  readonly #source: ByteSource;
  #buffer: LineBuffer;
  #line = 1;
  #stop = 0;

  constructor(source: ByteSource, label: string) {
    this.#source = source;
    this.#buffer = new LineBuffer(source);
    this.names = [label, "text"];
  }

  async read(cells: Cells, each: () => boolean): Promise<void> {
    const buffer = new LineBuffer(this.#source);
    this.#buffer = buffer;
    this.#line = 1;
    await readLines(
      buffer,
      () => this.#line,
      () => this.#take(buffer, cells, each),
    );
  }

  cell(column: number): string | null {
    const { bytes, at } = this.#buffer;
    const tab = bytes.indexOf(TAB, at);
    return (column === 0 ? bytes.toString("utf8", at, tab) : bytes.toString("utf8", tab + 1, this.#stop)) || null;
  }

  place(): string {
    return `line ${this.#line}`;
  }

  expected(): number {
    return 0;
  }

  #take(buffer: LineBuffer, cells: Cells, each: () => boolean): boolean {
    while (buffer.at < buffer.end) {
      if (buffer.bytes[buffer.at] === LF) {
        buffer.at++;
        this.#line++;
        continue;
      }
      const { bytes, end, at } = buffer;
      let next = bytes.indexOf(LF, at);
      if ((next === -1 || next >= end) && !buffer.ended) return true;
      if (next === -1 || next > end) next = end;
      this.#stop = next > at && bytes[next - 1] === CR ? next - 1 : next;
      if (this.#stop > at) {
        this.#store(cells);
        if (!each()) return false;
      }
      this.#line++;
      buffer.at = Math.min(next + 1, end);
    }
    return true;
  }

  #store({ as, numbers, indexes, texts, strings }: Cells): void {
    const { bytes, at } = this.#buffer;
    const tab = bytes.indexOf(TAB, at);
    if (tab === -1 || tab >= this.#stop)
      throw new BadItem(`line ${this.#line}: there is no tab: expected a label, a tab and a text`);
    const how = as[0]!;
    if ((how & AS_TEXT) !== 0) indexes[0] = tab === at ? NONE : texts[0]!.ofBytes(bytes, at, tab);
    if ((how & AS_NUMBER) !== 0) {
      const value = numberOf(bytes.toString("utf8", at, tab));
      numbers[0] = value === undefined ? NaN : Number.isNaN(value) ? Infinity : value;
    }
    if ((how & AS_STRING) !== 0) strings[0] = tab === at ? null : bytes.toString("utf8", at, tab);
    if ((as[1]! & AS_STRING) !== 0) strings[1] = bytes.toString("utf8", tab + 1, this.#stop);
  }
}

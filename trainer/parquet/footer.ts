/** A Parquet file's footer: its columns with their types, and where the values of each are, row group by row group. */
import { BadItem } from "../item-records.ts";
import { damaged } from "./damaged.ts";
import {
  countOf,
  optionalCount,
  optionalStruct,
  readStruct,
  structOf,
  structsOf,
  textOf,
  type Struct,
} from "./thrift.ts";
import { leafOf, typeText, type Leaf } from "./types.ts";

export interface SchemaNode {
  readonly name: string;
  readonly repetition: "required" | "optional" | "repeated";
  /** by their numbers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift */
  readonly converted: number | undefined;
  readonly logical: Struct | undefined;
  readonly children: readonly SchemaNode[];
  /** undefined: it has children */
  readonly leaf: Leaf | undefined;
}

export interface ParquetColumn {
  readonly name: string;
  /** as SQL would have it: "INTEGER", "VARCHAR[]" */
  readonly type: string;
  /** of its first one, among those of all columns */
  readonly leafIndex: number;
  /** that its values are of, where they are all of one */
  readonly leaf: Leaf | undefined;
  /** of a value that is there, and of an element of a list, even of one that is null: 0 where it is no list */
  readonly levels: { readonly value: number; readonly element: number };
}

export interface ColumnChunk {
  readonly codec: number;
  /** of its first page */
  readonly start: number;
  /** with those that are null */
  readonly values: number;
}

export interface RowGroup {
  readonly rows: number;
  /** by leaf @throws {BadItem} where it is not in this file, or can't be read */
  chunk(leafIndex: number, where: string): ColumnChunk;
}

export interface Footer {
  readonly columns: readonly ParquetColumn[];
  readonly rows: number;
  /** of all columns, as the file says */
  readonly bytes: number;
  readonly groups: readonly RowGroup[];
}

/** What Parquet is nested at most: a table needs two. */
const DEPTH_MAX = 64;
/** Of the metadata a value takes so much memory, with what is made of it. */
const VALUE_BYTES = 400;

/** @param memory bytes that it may take @throws {BadItem} */
export function readFooter(bytes: Uint8Array, memory: number): Footer {
  const read = readStruct(bytes, Math.floor(memory / VALUE_BYTES));
  if (read === undefined) throw damaged("its footer is cut short");
  const { field_2: schema, field_3: rows, field_4: groups, field_8: encryption } = read.struct;
  if (encryption !== undefined) throw encrypted();
  const { columns, leaves } = columnsOf(structsOf(schema));
  const all = structsOf(groups);
  let uncompressed = 0;
  const rowGroups = all.map((group): RowGroup => {
    const chunks = structsOf(group.field_1);
    if (chunks.length !== leaves) throw damaged(`a row group has ${chunks.length} columns instead of ${leaves}`);
    for (const chunk of chunks) uncompressed += optionalCount(optionalStruct(chunk.field_3)?.field_6) ?? 0;
    return { rows: countOf(group.field_3), chunk: (leafIndex, where) => chunkOf(chunks[leafIndex]!, where) };
  });
  return { columns, rows: countOf(rows), bytes: uncompressed, groups: rowGroups };
}

export const encrypted = (): BadItem => new BadItem("it is encrypted: expected Parquet that is not");

function chunkOf(chunk: Struct, where: string): ColumnChunk {
  if (chunk.field_8 !== undefined || chunk.field_9 !== undefined) throw encrypted();
  if (chunk.field_1 !== undefined) throw damaged(`${where} is in another file`);
  const { field_4: codec, field_5: values, field_9: data, field_11: dictionary } = structOf(chunk.field_3);
  const start = countOf(data);
  const first = optionalCount(dictionary) ?? 0;
  return { codec: countOf(codec), start: first > 0 && first < start ? first : start, values: countOf(values) };
}

function columnsOf(elements: readonly Struct[]): { columns: ParquetColumn[]; leaves: number } {
  let next = 0;
  let leaves = 0;
  const nodeOf = (depth: number): SchemaNode => {
    const element = elements[next++];
    if (element === undefined || depth > DEPTH_MAX) throw damaged("its schema is damaged, or nested too deep");
    const children = optionalCount(element.field_5) ?? 0;
    if (children > elements.length - next) throw damaged("its schema is cut short");
    const own = {
      name: textOf(element.field_4),
      repetition: (["required", "optional", "repeated"] as const)[optionalCount(element.field_3) ?? 0] ?? "required",
      converted: optionalCount(element.field_6),
      logical: optionalStruct(element.field_10),
    };
    if (children === 0 && depth > 0) leaves++;
    const leaf = children === 0 && depth > 0 ? leafOf(element, own) : undefined;
    return { ...own, leaf, children: Array.from({ length: children }, () => nodeOf(depth + 1)) };
  };
  const columns: ParquetColumn[] = [];
  const root = elements[0];
  if (root === undefined) throw damaged("its schema is empty");
  const count = optionalCount(root.field_5) ?? 0;
  if (count > elements.length - 1) throw damaged("its schema is cut short");
  next = 1;
  for (let i = 0; i < count; i++) {
    const leafIndex = leaves;
    columns.push(columnOf(nodeOf(1), leafIndex));
  }
  if (next !== elements.length) throw damaged("its schema has more columns than it says");
  return { columns, leaves };
}

function columnOf(node: SchemaNode, leafIndex: number): ParquetColumn {
  let [value, element, repeated] = [0, 0, 0];
  let at: SchemaNode | undefined = node;
  let leaf: Leaf | undefined;
  while (at !== undefined) {
    if (at.repetition !== "required") value++;
    if (at.repetition === "repeated") {
      repeated++;
      element = value;
    }
    leaf = at.leaf;
    at = at.children.length === 1 ? at.children[0] : undefined;
  }
  return {
    name: node.name,
    type: typeText(node),
    leafIndex,
    leaf: repeated > 1 ? undefined : leaf,
    levels: { value, element },
  };
}

/** Parquet's types: what they are called in messages, as in SQL, and how a value of theirs becomes a number. */
import type { SchemaNode } from "./footer.ts";
import { damaged } from "./damaged.ts";
import { optionalCount, optionalStruct, type Struct } from "./thrift.ts";

/** How values are stored: bytes of a width of their own, or as many as each has. */
export type Physical = "boolean" | "int32" | "int64" | "int96" | "float" | "double" | "bytes" | "fixed";

/** What they mean. */
export type Kind =
  | "boolean"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "half"
  | "float"
  | "double"
  | "decimal"
  | "text"
  | "uuid"
  | "date"
  | "timestamp"
  | "other";

export interface Leaf {
  readonly physical: Physical;
  /** bytes of a value as it is held here; 0: each has its own */
  readonly width: number;
  readonly kind: Kind;
  /** "DECIMAL(5,2)" */
  readonly type: string;
  /** decimal: digits behind the point, and in all */
  readonly scale: number;
  readonly precision: number;
  /** timestamp: a second has so many; 0: INT96, which has days of its own */
  readonly perSecond: number;
  /** timestamp: with a time zone */
  readonly zoned: boolean;
}

const PHYSICAL: readonly Physical[] = ["boolean", "int32", "int64", "int96", "float", "double", "bytes", "fixed"];
const WIDTHS: Readonly<Record<Physical, number>> = {
  boolean: 1,
  int32: 4,
  int64: 8,
  int96: 12,
  float: 4,
  double: 8,
  bytes: 0,
  fixed: 0,
};
const DECIMAL_DIGITS_MAX = 76;

type Annotation = Pick<SchemaNode, "converted" | "logical">;
type Meaning = Pick<Leaf, "kind" | "type"> & Partial<Leaf>;

/** @throws {BadItem} */
export function leafOf(element: Struct, annotation: Annotation): Leaf {
  const physical = PHYSICAL[optionalCount(element.field_1) ?? -1];
  if (physical === undefined) throw damaged("a column has a type that there is not");
  const length = optionalCount(element.field_2) ?? 0;
  if (physical === "fixed" && length === 0) throw damaged("a column of bytes of one length does not say which");
  const width = physical === "fixed" ? length : WIDTHS[physical];
  const plain = { physical, width, scale: 0, precision: 0, perSecond: 0, zoned: false };
  return { ...plain, ...meaningOf(physical, width, element, annotation) };
}

function meaningOf(physical: Physical, width: number, element: Struct, { converted, logical }: Annotation): Meaning {
  const integer = integerOf(physical, converted, optionalStruct(logical?.field_10));
  if (integer !== undefined) return integer;
  const decimal = optionalStruct(logical?.field_5);
  if (converted === 5 || decimal !== undefined)
    return decimalOf(
      physical,
      optionalCount(decimal?.field_1 ?? element.field_7) ?? 0,
      optionalCount(decimal?.field_2 ?? element.field_8) ?? 0,
    );
  if (physical === "fixed" && width === 16 && logical?.field_14 !== undefined) return { kind: "uuid", type: "UUID" };
  if (physical === "fixed" && width === 2 && logical?.field_15 !== undefined) return { kind: "half", type: "FLOAT" };
  if (physical === "int32" && (converted === 6 || logical?.field_6 !== undefined))
    return { kind: "date", type: "DATE" };
  const time = timeOf(physical, converted, logical);
  if (time !== undefined) return time;
  if (converted === 21) return { kind: "other", type: "INTERVAL" };
  if (converted === 19 || logical?.field_12 !== undefined) return { kind: "other", type: "JSON" };
  const isText = converted === 0 || converted === 4 || logical?.field_1 !== undefined || logical?.field_4 !== undefined;
  if ((physical === "bytes" || physical === "fixed") && isText) return { kind: "text", type: "VARCHAR" };
  return PLAIN[physical];
}

const PLAIN: Readonly<Record<Physical, Meaning>> = {
  boolean: { kind: "boolean", type: "BOOLEAN" },
  int32: { kind: "int32", type: "INTEGER" },
  int64: { kind: "int64", type: "BIGINT" },
  int96: { kind: "timestamp", type: "TIMESTAMP" },
  float: { kind: "float", type: "FLOAT" },
  double: { kind: "double", type: "DOUBLE" },
  bytes: { kind: "other", type: "BLOB" },
  fixed: { kind: "other", type: "BLOB" },
};

const INTEGERS = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT"];

function integerOf(
  physical: Physical,
  converted: number | undefined,
  logical: Struct | undefined,
): Meaning | undefined {
  if (physical !== "int32" && physical !== "int64") return undefined;
  const bits = optionalCount(logical?.field_1);
  // UINT_8 to UINT_64 are 11 to 14, INT_8 to INT_64 15 to 18
  const size = bits === undefined ? ((converted ?? 0) - 11) % 4 : Math.log2(bits) - 3;
  const isInteger = bits !== undefined || (converted !== undefined && converted >= 11 && converted <= 18);
  const name = INTEGERS[size];
  if (!isInteger || name === undefined || (physical === "int64") !== (size === 3)) return undefined;
  const unsigned = bits === undefined ? (converted ?? 0) < 15 : logical?.field_2 !== true;
  return { kind: `${unsigned ? "u" : ""}${physical}`, type: `${unsigned ? "U" : ""}${name}` };
}

function decimalOf(physical: Physical, scale: number, precision: number): Meaning {
  const type = `DECIMAL(${precision},${scale})`;
  const isSound = precision >= 1 && precision <= DECIMAL_DIGITS_MAX && scale <= precision;
  if (!isSound || !["int32", "int64", "bytes", "fixed"].includes(physical)) return { kind: "other", type };
  return { kind: "decimal", type, scale, precision };
}

function timeOf(physical: Physical, converted: number | undefined, logical: Struct | undefined): Meaning | undefined {
  const [timestamp, time] = [optionalStruct(logical?.field_8), optionalStruct(logical?.field_7)];
  if (time !== undefined || converted === 7 || converted === 8) return { kind: "other", type: "TIME" };
  if (physical !== "int64") return undefined;
  const unit = optionalStruct(timestamp?.field_2);
  const perSecond =
    timestamp === undefined
      ? converted === 9
        ? 1e3
        : converted === 10
          ? 1e6
          : 0
      : unit?.field_1 !== undefined
        ? 1e3
        : unit?.field_2 !== undefined
          ? 1e6
          : 1e9;
  if (perSecond === 0) return undefined;
  const zoned = timestamp?.field_1 === true;
  const type = zoned ? "TIMESTAMP WITH TIME ZONE" : perSecond === 1e9 ? "TIMESTAMP_NS" : "TIMESTAMP";
  return { kind: "timestamp", type, perSecond, zoned };
}

/** Longer ones are cut in messages anyway. */
const TEXT_MAX = 200;

/** A column's type, as SQL would have it. */
export function typeText(node: SchemaNode): string {
  return (node.leaf?.type ?? groupText(node)) + (node.repetition === "repeated" ? "[]" : "");
}

function groupText({ children, converted, logical }: SchemaNode): string {
  const [child] = children;
  if (child?.repetition === "repeated" && children.length === 1) {
    const isMap = converted === 1 || converted === 2 || logical?.field_2 !== undefined;
    if (isMap && child.children.length === 2) return `MAP(${child.children.map(typeText).join(", ")})`;
    const isList = converted === 3 || logical?.field_3 !== undefined;
    if (isList) return child.children.length === 1 ? `${typeText(child.children[0]!)}[]` : typeText(child);
  }
  let text = "";
  for (const { name, ...rest } of children) {
    text += `${text === "" ? "" : ", "}${name} ${typeText({ name, ...rest })}`;
    if (text.length > TEXT_MAX) break;
  }
  return `STRUCT(${text})`;
}

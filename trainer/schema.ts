/** What a record looks like: found out in round 1, stored as schema.json in each checkpoint, enforced in later rounds. */
import * as z from "zod/mini";
import type { DataConfig, Task } from "../protocol/data-config.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";

/** As for data.labels: more are hardly classes. */
export const CLASSES_MAX = 10_000;
/** Of one text column: each is an input of the model, so an id or a free text does not belong there. */
export const CATEGORIES_MAX = 1_000;

const Name = z.string();
export const ColumnDocument = z.strictObject({
  name: Name,
  kind: z.enum(["number", "category"]),
  categories: z.array(Name).check(z.maxLength(CATEGORIES_MAX)),
});
const SchemaDocument = z.strictObject({
  format: z.literal(1),
  task: z.enum(["classification", "multi-label", "regression"]),
  /** of one record, without the batch: [height, width, channels], or [width] for tables */
  inputShape: z.array(z.int().check(z.gte(1))).check(z.minLength(1), z.maxLength(3)),
  /** names in order: the label's index is the class; none for regression */
  classes: z.array(Name).check(z.maxLength(CLASSES_MAX)),
  /** tables only: the columns to learn from, in order; a category is as many inputs as it has categories */
  columns: z.nullable(z.array(ColumnDocument).check(z.minLength(1), z.maxLength(10_000))),
  /** tables only: the column with the label */
  label: z.nullable(Name),
  /** text only: its tokens, in the order of their ids, which begin at 2 */
  vocabulary: z.optional(z.array(Name).check(z.maxLength(100_000))),
});

export interface Column {
  readonly name: string;
  readonly kind: "number" | "category";
  readonly categories: readonly string[];
}

export interface Schema {
  readonly format: 1;
  readonly task: Task;
  readonly inputShape: readonly number[];
  readonly classes: readonly string[];
  readonly columns: readonly Column[] | null;
  readonly label: string | null;
  readonly vocabulary?: readonly string[] | undefined;
}

/** @throws {AccreteError} CHECKPOINT_NOT_WHOLE if the text is no schema */
export function parseSchema(text: string): Schema {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AccreteError("CHECKPOINT_NOT_WHOLE", `schema.json: ${messageOf(error)}`, { cause: error });
  }
  const parsed = z.safeParse(SchemaDocument, value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AccreteError(
      "CHECKPOINT_NOT_WHOLE",
      `schema.json: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
    );
  }
  return parsed.data;
}

/** Inputs of one record. */
export function widthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Units of the model's last layer. */
export function outputsOf({ task, classes }: Pick<Schema, "task" | "classes">): number {
  return task === "regression" ? 1 : classes.length;
}

export function inputsOf(column: Column): number {
  return column.kind === "number" ? 1 : column.categories.length;
}

/** For each input of a table's record: 1 for a number, 0 for a part of a category. All 0 where there are no columns. */
export function numericMask(schema: Schema): Uint8Array {
  const numeric = new Uint8Array(widthOf(schema.inputShape));
  let at = 0;
  for (const column of schema.columns ?? []) {
    if (column.kind === "number") numeric[at] = 1;
    at += inputsOf(column);
  }
  return numeric;
}

/** Numbers as numbers and before text, text by its code units: the same on every machine, whatever its language. */
export function compareNames(a: string, b: string): number {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined && x !== y) return x - y;
  if ((x === undefined) !== (y === undefined)) return x === undefined ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;
const NOT_FINITE = /^\s*[+-]?(nan|inf|infinity)\s*$/i;

/** The number that a text is: decimal, with a point; NaN for one that is written as not finite; undefined: none. */
export function numberOf(text: string): number | undefined {
  if (NUMBER.test(text)) return Number(text);
  return NOT_FINITE.test(text) ? NaN : undefined;
}

function kindOf(format: DataConfig["format"]): "tables" | "text" | "arrays or images" {
  if (format === "text") return "text";
  return format === "idx" || format === "images" ? "arrays or images" : "tables";
}

/**
 * A model can't change what it reads between two rounds.
 * @throws {AccreteError} CONFIG_INVALID if the config asks for something else than round 1 had
 */
export function checkConfigFits(data: DataConfig, schema: Schema): void {
  const differs = (what: string, asked: unknown, had: unknown): void => {
    if (JSON.stringify(asked) === JSON.stringify(had)) return;
    throw new AccreteError(
      "CONFIG_INVALID",
      `data.${what} is ${JSON.stringify(asked)}, but the model was trained with ${JSON.stringify(had)}: change it back, or start a new pipeline`,
    );
  };
  const kind = kindOf(data.format);
  const had = schema.columns !== null ? "tables" : schema.vocabulary !== undefined ? "text" : "arrays or images";
  const table = kind === "tables";
  differs("task", data.task, schema.task);
  if (kind !== had) {
    throw new AccreteError(
      "CONFIG_INVALID",
      `data.format is ${data.format}, but the model was trained with ${had}: change it back, or start a new pipeline`,
    );
  }
  if (kind === "text") differs("tokens", data.tokens, schema.inputShape[0]);
  if (table) differs("label", data.label, schema.label);
  if (table && data.features !== null)
    differs(
      "features",
      data.features,
      schema.columns?.map(({ name }) => name),
    );
  if (data.labels !== null && data.task !== "regression") differs("labels", data.labels, schema.classes);
  if (data.format === "images" && data.imageShape !== null) differs("imageShape", data.imageShape, schema.inputShape);
}

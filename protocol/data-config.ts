/** `data` of a pipeline: what is learned. A plan carries it, so it is a stored format: what is added has a default that means what was before. */
import * as z from "zod/mini";
import { AtLeast1, Fraction, Name } from "./config-values.ts";
import { Duration, Moment, Size } from "./units.ts";

/** A part of the records that is some of them, and not all. */
const Part = z.number().check(z.gt(0), z.lt(1));

/** Which records are never trained on. A number is short for that part by content. */
export const HoldoutConfig = z.union([
  Fraction.check(z.lt(1)),
  z.discriminatedUnion("by", [
    /** by a hash of the record's content */
    z.strictObject({ by: z.literal("content"), part: Part }),
    /** by a hash of this column: all records of a group are on one side */
    z.strictObject({ by: z.literal("group"), column: Name, part: Part }),
    /** the newest of each round, by this column */
    z.strictObject({ by: z.literal("time"), column: Name, part: Part }),
    /** all records of the objects whose key starts so */
    z.strictObject({ by: z.literal("prefix"), prefix: Name }),
  ]),
]);
export type HoldoutConfig = z.infer<typeof HoldoutConfig>;

/** How images are changed each time they are trained on, each part by chance of its own; 0 and "none": not. */
const AugmentConfig = z.strictObject({
  /** half of them mirrored, left to right */
  flip: z._default(z.enum(["none", "horizontal"]), "none"),
  /** moved by up to so many pixels, each way; what comes in from outside is 0 */
  shift: z._default(z.int().check(z.gte(0), z.lte(10_000)), 0),
  /** a part of it cut out, at any place, and scaled up to the whole: each side is shortened by up to this part */
  crop: z._default(Fraction.check(z.lt(1)), 0),
});
export type AugmentConfig = z.infer<typeof AugmentConfig>;

export const DataConfig = z.strictObject({
  /** only objects whose key starts so */
  prefix: z._default(z.string().check(z.maxLength(512)), ""),
  /** only objects whose key ends with one of these; none: all of the prefix */
  suffixes: z._default(z.array(Name).check(z.maxLength(100)), []),
  /**
   * csv, tsv, jsonl: a record a line. parquet: a record a row. idx: one file with an array of records and then an array of labels,
   * one after the other. images: a picture a file, the label is its folder's name. text: a record a line, learned as token ids. All but
   * images may be packed by gzip or zstd, whatever their names are.
   */
  format: z.enum(["csv", "tsv", "jsonl", "parquet", "idx", "images", "text"]),
  /** multi-label: any number of classes is right for a record */
  task: z._default(z.enum(["classification", "multi-label", "regression"]), "classification"),
  /** csv: what is between two columns */
  delimiter: z._default(z.string().check(z.regex(/^[\t !#-~]$/, "a delimiter is one character, and not a quote")), ","),
  /** tables: the column with the label */
  label: z._default(Name, "label"),
  /** multi-label: what is between two names in the label's column; in jsonl it may be a list as well */
  labelSeparator: z._default(z.string().check(z.minLength(1), z.maxLength(16)), "|"),
  /** tables: the column with what each record counts for in the loss; null: all count 1 */
  weight: z._default(z.nullable(Name), null),
  /** text: jsonl with the text in this column; null: lines of a label, a tab and the text */
  text: z._default(z.nullable(Name), null),
  /** text: ids of each record; what is longer is cut, what is shorter filled up with 0 */
  tokens: z._default(AtLeast1.check(z.lte(100_000)), 64),
  /** text: ids are below it: 0 fills up, 1 is any token that is not among the most frequent of round 1 */
  vocabulary: z._default(z.int().check(z.gte(3), z.lte(100_000)), 10_000),
  /** tables: the columns to learn from, in this order; null: all that are there for nothing else, as in round 1 */
  features: z._default(z.nullable(z.array(Name).check(z.minLength(1), z.maxLength(10_000))), null),
  /** names of the classes, in order; null: those of round 1, sorted */
  labels: z._default(z.nullable(z.array(Name).check(z.minLength(2), z.maxLength(10_000))), null),
  /** images: what each is scaled to: height, width, channels (1 or 3); null: as the first of round 1 */
  imageShape: z._default(z.nullable(z.tuple([AtLeast1, AtLeast1, z.union([z.literal(1), z.literal(3)])])), null),
  /** the records that are never trained on; a number: that part of them, chosen by a hash of their content */
  holdout: z._default(HoldoutConfig, 0.1),
  /**
   * table columns become (x - mean) / standard deviation. A number: of the first so many records that are trained on, and then for
   * good; always: of all so far, so that they change in each round; none: columns stay as they are
   */
  normalise: z._default(z.union([AtLeast1, z.enum(["always", "none"])]), 1_000),
  /** images, also as IDX arrays: changed by chance each time they are trained on; null: as they are */
  augment: z._default(z.nullable(AugmentConfig), null),
  /** of a round's records, packed, so much is held in memory, what is read ahead included; what is more is read from the disk */
  memory: z._default(Size.check(z.gte(1_048_576)), 1_073_741_824),
  /** objects that were last written before it do not count (a file's modification time); null: all that are there */
  since: z._default(z.nullable(Moment), null),
  /** what reading one item may take; an item that takes more is rejected, and the others are read */
  limits: z.prefault(
    z.strictObject({
      memory: z._default(Size.check(z.gte(268_435_456)), 4 * 1_073_741_824),
      time: z._default(Duration.check(z.gte(1_000)), 600_000),
      /** after it was decompressed */
      bytes: z._default(Size.check(z.gte(1)), 4 * 1_073_741_824),
    }),
    {},
  ),
});
export type DataConfig = z.infer<typeof DataConfig>;
export type Task = DataConfig["task"];

/** What of it does not go together, in words; undefined: all does. */
export function dataFault({
  format,
  delimiter,
  text,
  weight,
  holdout,
  task,
  labelSeparator,
  augment,
}: DataConfig): string | undefined {
  const lines = format === "text" && text === null;
  const columns = format !== "idx" && format !== "images" && !lines;
  const named = typeof holdout !== "number" && "column" in holdout;
  const where = lines ? "lines of text have none: name data.text, and write JSONL" : `${format} has none`;
  if (weight !== null && !columns) return `data.weight: it names a column, but ${where}`;
  if (named && !columns) return `data.holdout: it names a column, but ${where}`;
  if (text !== null && format !== "text") return `data.text: it is for data.format: "text", not "${format}"`;
  if (delimiter !== "," && format !== "csv") return `data.delimiter: it is for data.format: "csv", not "${format}"`;
  if (labelSeparator !== "|" && task !== "multi-label")
    return `data.labelSeparator: it is for data.task: "multi-label", not "${task}"`;
  if (augment !== null && format !== "images" && format !== "idx")
    return `data.augment: it changes images, and data.format is "${format}": leave it out`;
  return undefined;
}

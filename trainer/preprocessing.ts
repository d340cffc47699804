/** What a model's inputs and outputs mean, for whoever uses it outside of accrete: preprocessing.json and README.md of a pulled model. */
import { numericMask, inputsOf, type Schema } from "./schema.ts";
import type { Normalisation } from "./scale.ts";
import { FIRST, PADDING, UNKNOWN } from "./text-tokens.ts";

export interface Preprocessing {
  readonly format: 1;
  readonly task: Schema["task"];
  /** of one record, without the batch */
  readonly inputShape: readonly number[];
  /** names of the scores, in their order; none for regression */
  readonly classes: readonly string[];
  /** of a table, in the order of the inputs; null: text; or images or arrays, bytes as parts of 255 */
  readonly columns: readonly PreparedColumn[] | null;
  /** of text: what its tokens' ids are; the rule that makes tokens is in trainer/text-tokens.ts */
  readonly text: PreparedText | null;
}

interface PreparedText {
  /** the id that fills up what is too short */
  readonly padding: number;
  /** the id of each token that is not in the vocabulary */
  readonly unknown: number;
  /** the id of the vocabulary's first token; the next has the next id */
  readonly first: number;
  readonly vocabulary: readonly string[];
}

type PreparedColumn =
  /** one input: (value - mean) / std */
  | {
      readonly name: string;
      readonly kind: "number";
      readonly input: number;
      readonly mean: number;
      readonly std: number;
    }
  /** an input for each category: 1 for the record's, 0 for the others */
  | {
      readonly name: string;
      readonly kind: "category";
      readonly input: number;
      readonly categories: readonly string[];
    };

export function preprocessingOf(schema: Schema, normalisation: Normalisation | null): Preprocessing {
  const numeric = numericMask(schema);
  let input = 0;
  const columns = schema.columns?.map((column): PreparedColumn => {
    const at = input;
    input += inputsOf(column);
    const { name, kind, categories } = column;
    if (kind === "category") return { name, kind, input: at, categories };
    const m2 = normalisation?.m2[at] ?? 0;
    const std = numeric[at] === 1 && m2 > 0 ? Math.sqrt(m2 / normalisation!.count) : 1;
    return { name, kind, input: at, mean: normalisation?.mean[at] ?? 0, std };
  });
  const { task, inputShape, classes, vocabulary } = schema;
  const text = vocabulary === undefined ? null : { padding: PADDING, unknown: UNKNOWN, first: FIRST, vocabulary };
  return { format: 1, task, inputShape, classes, columns: columns ?? null, text };
}

/** @param files what the folder has */
export function readmeOf(about: Preprocessing, files: readonly string[]): string {
  const what: Record<string, string> = {
    "weights.safetensors": "the weights by the names of their layers, as Keras has them: `layer/kernel`",
    "model.json": "a TensorFlow.js layers model, its weights in the .bin files: `tf.loadLayersModel`",
    saved_model: "a TensorFlow SavedModel with the signature `serving_default`: `tf.saved_model.load`",
    "preprocessing.json": "what the inputs and outputs mean, in their order",
    "MANIFEST.json": "the checkpoint that all of this is of",
  };
  return [
    "# A model, pulled by accrete",
    "",
    ...files.filter((file) => file in what).map((file) => `- \`${file}\`: ${what[file]}`),
    "",
    `The input is [batch, ${about.inputShape.join(", ")}], 32-bit floats. ${inputsText(about)}`,
    outputsText(about),
    "",
  ].join("\n");
}

function inputsText({ columns, text }: Preprocessing): string {
  if (text !== null)
    return `They are the ids of a text's tokens, in their order. Tokens are its runs of letters, marks and digits, in Unicode's form NFC and lower case, of at most 64 characters: /[\\p{L}\\p{M}\\p{N}]+/gu. The vocabulary of preprocessing.json has them from the id ${text.first} on; any other token is ${text.unknown}. What is too long is cut, what is too short is filled up with ${text.padding} at its end.`;
  if (columns === null) return "Bytes (pixels) are divided by 255.";
  return "They are the columns of preprocessing.json in their order: a number as (value - mean) / std, a category as one input for each of its categories, 1 for the record's and 0 for the others.";
}

function outputsText({ task, classes }: Preprocessing): string {
  if (task === "regression") return "The output is the value.";
  const scores = `The output is a score for each of the ${classes.length} classes, in the order of preprocessing.json`;
  return task === "multi-label"
    ? `${scores}; sigmoid makes a probability of each.`
    : `${scores}; softmax makes probabilities of them (the SavedModel gives both: \`scores\`, \`probabilities\`).`;
}

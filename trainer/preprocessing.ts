/** What a model's inputs and outputs mean, for whoever uses it outside of accrete: preprocessing.json and README.md of a pulled model. */
import { numericMask, inputsOf, type Schema } from "./schema.ts";
import type { Normalisation } from "./scale.ts";

export interface Preprocessing {
  readonly format: 1;
  readonly task: Schema["task"];
  /** of one record, without the batch */
  readonly inputShape: readonly number[];
  /** names of the scores, in their order; none for regression */
  readonly classes: readonly string[];
  /** of a table, in the order of the inputs; null: images or arrays, bytes as parts of 255 */
  readonly columns: readonly PreparedColumn[] | null;
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
  const { task, inputShape, classes } = schema;
  return { format: 1, task, inputShape, classes, columns: columns ?? null };
}

/** @param files what the folder has */
export function readmeOf({ task, inputShape, classes, columns }: Preprocessing, files: readonly string[]): string {
  const what: Record<string, string> = {
    "weights.safetensors": "the weights by the names of their layers, as Keras has them: `layer/kernel`",
    "model.json": "a TensorFlow.js layers model, its weights in the .bin files: `tf.loadLayersModel`",
    saved_model: "a TensorFlow SavedModel with the signature `serving_default`: `tf.saved_model.load`",
    "preprocessing.json": "what the inputs and outputs mean, in their order",
    "MANIFEST.json": "the checkpoint that all of this is of",
  };
  const inputs =
    columns === null
      ? "Bytes (pixels) are divided by 255."
      : "They are the columns of preprocessing.json in their order: a number as (value - mean) / std, a category as one input for each of its categories, 1 for the record's and 0 for the others.";
  const outputs =
    task === "regression"
      ? "The output is the value."
      : `The output is a score for each of the ${classes.length} classes, in the order of preprocessing.json; softmax makes probabilities of them (the SavedModel gives both: \`scores\`, \`probabilities\`).`;
  return [
    "# A model, pulled by accrete",
    "",
    ...files.filter((file) => file in what).map((file) => `- \`${file}\`: ${what[file]}`),
    "",
    `The input is [batch, ${inputShape.join(", ")}], 32-bit floats. ${inputs}`,
    outputs,
    "",
  ].join("\n");
}

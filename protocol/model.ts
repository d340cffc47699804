/** What a user's model module gives. Types and the identity only: TensorFlow.js itself is handed to `build`. */
import type { LayersModel } from "@tensorflow/tfjs-layers";
import type { Task } from "./data-config.ts";

/** tf.tensor..., tf.layers..., tf.sequential: both packages' names in one object, as in `@tensorflow/tfjs`. */
export type TensorFlow = typeof import("@tensorflow/tfjs-core") & typeof import("@tensorflow/tfjs-layers");

export interface ModelContext {
  /** the trainer's own TensorFlow.js; a module that imports another copy cannot be bundled */
  readonly tf: TensorFlow;
  /** of one record, without the batch: `[28, 28, 1]` (height, width, channels), `[4]` (features) */
  readonly inputShape: readonly number[];
  /** units of the last layer: how many classes there are, 1 for regression */
  readonly classes: number;
  readonly task: Task;
  /** text: ids are below it, the input is int32; else undefined */
  readonly vocabulary?: number | undefined;
  /** 1..2^32-1, for initializers and dropout: the same seed gives the same initial weights */
  readonly seed: number;
}

export interface ModelDefinition {
  /**
   * Builds the model, not compiled: loss, optimizer and schedule are the trainer's.
   * Input `[batch, ...inputShape]`, output `[batch, classes]`. It ends in raw scores: for classification and
   * multi-label the logits, with no softmax or sigmoid, since the trainer's losses apply them; for regression the value, with no activation.
   * Called at each start of the trainer, so it must give the same layers and initial weights each time.
   */
  build(context: ModelContext): LayersModel;
}

/**
 * A model module's export, as `default` or as `model`.
 * @example
 * export default defineModel({
 *   build: ({ tf, inputShape, classes, seed }) =>
 *     tf.sequential({
 *       layers: [
 *         tf.layers.flatten({ inputShape: [...inputShape] }),
 *         tf.layers.dense({ units: classes, kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
 *       ],
 *     }),
 * });
 */
export function defineModel(definition: ModelDefinition): ModelDefinition {
  return definition;
}

/** The models that are measured, and batches for them. The peers' are the same, in bench/peers. */
import type { Schema } from "../../trainer/schema.ts";
import type { Batch } from "../../trainer/step.ts";
import type { LayersModel, Tf } from "../../trainer/tf.ts";

export type ModelName = "mlp" | "cnn" | "cnn-bn";

export const modelNameOf = (text: string | undefined): ModelName => {
  if (text === "mlp" || text === "cnn" || text === "cnn-bn") return text;
  throw new Error(`no model ${text}`);
};

export const inputShapeOf = (name: ModelName): number[] => (name === "mlp" ? [784] : [28, 28, 1]);

export const schemaOf = (name: ModelName): Schema => ({
  format: 1,
  task: "classification",
  inputShape: inputShapeOf(name),
  classes: Array.from({ length: 10 }, (_, i) => String(i)),
  columns: null,
  label: null,
});

export function network(tf: Tf, name: ModelName): LayersModel {
  const inputShape = inputShapeOf(name);
  const model = tf.sequential();
  if (name === "mlp") {
    for (const [i, units] of [512, 512].entries())
      model.add(tf.layers.dense({ name: `dense${i}`, units, activation: "relu", ...(i === 0 ? { inputShape } : {}) }));
  } else {
    for (const [i, filters] of [32, 64].entries()) {
      model.add(
        tf.layers.conv2d({
          name: `conv${i}`,
          filters,
          kernelSize: 3,
          padding: "same",
          activation: "relu",
          ...(i === 0 ? { inputShape } : {}),
        }),
      );
      if (name === "cnn-bn") model.add(tf.layers.batchNormalization({ name: `norm${i}` }));
      model.add(tf.layers.maxPooling2d({ name: `pool${i}`, poolSize: 2 }));
    }
    model.add(tf.layers.flatten({ name: "flat" }));
  }
  model.add(tf.layers.dense({ name: "out", units: 10 }));
  return model;
}

/** Eight batches of random numbers: their values don't change how long a step takes. */
export function randomBatches(name: ModelName, size: number): Batch[] {
  const width = inputShapeOf(name).reduce((product, side) => product * side, 1);
  return Array.from({ length: 8 }, () => ({
    size,
    x: Float32Array.from({ length: size * width }, () => Math.random()),
    y: Int32Array.from({ length: size }, () => Math.floor(Math.random() * 10)),
  }));
}

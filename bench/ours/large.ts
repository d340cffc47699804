/** A network whose weights and Adam's slots are as large as is asked for. */
import type { Schema } from "../../trainer/schema.ts";
import type { Batch } from "../../trainer/step.ts";
import type { LayersModel, Tf } from "../../trainer/tf.ts";

export interface Large {
  readonly schema: Schema;
  readonly network: (tf: Tf) => LayersModel;
  readonly batch: Batch;
}

/** @param parameters about: four square layers share them */
export function largeNetwork(parameters: number): Large {
  const side = Math.round(Math.sqrt(parameters / 4));
  const schema: Schema = {
    format: 1,
    task: "classification",
    inputShape: [side],
    classes: ["a", "b"],
    columns: null,
    label: null,
  };
  return {
    schema,
    network: (tf) =>
      tf.sequential({
        layers: [
          ...[0, 1, 2, 3].map((i) =>
            tf.layers.dense({
              name: `square${i}`,
              units: side,
              activation: "relu",
              ...(i === 0 ? { inputShape: [side] } : {}),
            }),
          ),
          tf.layers.dense({ name: "out", units: 2 }),
        ],
      }),
    batch: { size: 4, x: new Float32Array(4 * side).fill(0.5), y: Int32Array.of(0, 1, 0, 1) },
  };
}

/** What `accrete init` writes: a workspace that works as it is. */

/** A small generator with a seed (mulberry32): the same sample everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Three kinds of flowers by the length and the width of their petals, in cm, made up: a network of a few units tells them apart. */
export function sampleCsv(rows: number, seed: number): string {
  const random = randomFrom(seed);
  // sum of uniforms: near enough to a bell curve, without the tails
  const around = (mean: number, spread: number): string =>
    (mean + spread * (random() + random() + random() + random() - 2)).toFixed(2);
  const kinds = [
    { label: "crocus", length: 1.5, width: 0.3 },
    { label: "iris", length: 4.3, width: 1.3 },
    { label: "lily", length: 5.6, width: 2.1 },
  ] as const;
  const lines = Array.from({ length: rows }, () => {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? kinds[0];
    return `${around(kind.length, 0.6)},${around(kind.width, 0.25)},${kind.label}`;
  });
  return `${["length,width,label", ...lines].join("\n")}\n`;
}

export const CONFIG_TEXT = `import { defineConfig, definePipeline } from "@accrete/pipeline";

export default defineConfig({
  pipelines: [
    definePipeline({
      name: "flowers",

      // Which files are learned. They are put into .accrete/data/, by \`accrete add\` or by any other program.
      data: {
        prefix: "flowers/", // only what lies under .accrete/data/flowers/
        suffixes: [".csv"],
        format: "csv", // or "tsv", "jsonl", "parquet", "idx", "images", "text"
        label: "label", // this column is to be told from the others
        holdout: 0.1, // this part is never trained on: the metrics are measured on it
        // since: "2026-01-31", // files that were last written before do not count
      },

      // How each round trains. A round goes on from the checkpoint of the one before.
      trainer: {
        model: "./model.ts",
        epochs: 20, // passes over the new data that each round adds
        batchSize: 16,
        optimizer: { name: "adam", learningRate: 0.01 },
        seed: 1,
      },

      // When a round starts: no file has come for the quiet period, or the oldest has waited for longestWait.
      trigger: { quietPeriod: "3 s", longestWait: "1 hour", minItems: 1 },

      // What is worse than the live checkpoint by more than this does not go live. onFail: or "pause", "rollback".
      gate: { metric: "accuracy", maxDrop: 0.05, onFail: "hold" },

      // Checkpoints that can be gone back to.
      keep: { rounds: 10 },

      // Who hears of commits, of rounds that are held back or blocked. \`accrete doctor --notify\` tries it.
      // notify: { webhook: { url: "https://..." }, command: ["./tell.sh"] },
    }),
  ],
});
`;

export const MODEL_TEXT = `import { defineModel } from "@accrete/pipeline";

// Any TensorFlow.js layers. The last one gives a score for each class, without softmax: the trainer applies it in its loss.
export default defineModel({
  build: ({ tf, inputShape, classes, seed }) =>
    tf.sequential({
      layers: [
        tf.layers.dense({ inputShape: [...inputShape], units: 16, activation: "relu", kernelInitializer: tf.initializers.heNormal({ seed }) }),
        tf.layers.dense({ units: classes, kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }) }),
      ],
    }),
});
`;

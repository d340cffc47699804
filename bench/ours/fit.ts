/** TensorFlow.js' own fit on native TensorFlow: model, batch size, steps. */
import { printFigure } from "./figure.ts";
import { inputShapeOf, modelNameOf, network, randomBatches } from "./models.ts";
import { loadNative } from "./native.ts";

const name = modelNameOf(process.argv[2]);
const [size, steps] = [Number(process.argv[3]), Number(process.argv[4])];
const WARMUP = 20;
const { tf } = await loadNative(1);
const { train } = await import("@tensorflow/tfjs-core");
const model = network(tf, name);
model.compile({
  optimizer: train.adam(0.001),
  loss: (labels, scores) => tf.losses.softmaxCrossEntropy(labels, scores),
});
const ready = randomBatches(name, size);

async function fit(count: number): Promise<number> {
  const x = tf.concat(
    Array.from({ length: count }, (_, i) =>
      tf.tensor(ready[i % ready.length]!.x, [size, ...inputShapeOf(name)], "float32"),
    ),
  );
  const y = tf.concat(
    Array.from({ length: count }, (_, i) =>
      tf.oneHot(tf.tensor1d(ready[i % ready.length]!.y as Int32Array, "int32"), 10),
    ),
  );
  let began = process.cpuUsage();
  let took = 0;
  await model.fit(x, tf.cast(y, "float32"), {
    batchSize: size,
    epochs: 1,
    shuffle: false,
    verbose: 0,
    callbacks: {
      onEpochBegin: () => void (began = process.cpuUsage()),
      onEpochEnd: () => {
        const { user, system } = process.cpuUsage(began);
        took = (user + system) / 1_000;
      },
    },
  });
  return took;
}

await fit(WARMUP);
printFigure((await fit(steps)) / steps);

/**
 * How stock layers are trained on the native backend, op by op and as a graph alike: noise and dropout draw from the step's seed, batch
 * normalization is TensorFlow's own kernel. On other backends, and when they predict, they are as TensorFlow.js has them.
 */
import { nativeBackendOf } from "./native-backend.ts";
import { drawInStep } from "./step-draws.ts";
import type { LayersModel, Tensor, Tf } from "./tf.ts";
import { innerLayers } from "./trainable.ts";

type Layer = LayersModel["layers"][number];
/** @returns undefined: as TensorFlow.js has it */
type Training = (x: Tensor) => Tensor | undefined;

/** Comes before anything else that wraps a layer's call, such as freezeAverages. */
export function useNativeLayers(tf: Tf, network: LayersModel): void {
  const seen = new Set<Layer>();
  const visit = (layer: Layer): void => {
    if (seen.has(layer)) return;
    seen.add(layer);
    const training = trainingOf(tf, layer);
    if (training !== undefined) wrapCall(tf, layer, training);
    innerLayers(layer).forEach(visit);
  };
  network.layers.forEach(visit);
}

function wrapCall(tf: Tf, layer: Layer, training: Training): void {
  const call = layer.call.bind(layer);
  layer.call = (inputs, kwargs) => {
    const [x] = [inputs].flat();
    if (kwargs?.["training"] !== true || x === undefined || tf.getBackend() !== "tensorflow")
      return call(inputs, kwargs);
    return tf.tidy<Tensor | void>(() => training(x)) ?? call(inputs, kwargs);
  };
}

function trainingOf(tf: Tf, layer: Layer): Training | undefined {
  if (!isStock(tf, layer)) return undefined;
  switch (layer.getClassName()) {
    case "Dropout":
    case "SpatialDropout1D":
      return dropout(tf, layer as Layer & DropoutFields);
    case "AlphaDropout":
      return alphaDropout(tf, layer as Layer & AlphaFields);
    case "GaussianDropout":
      return gaussianDropout(tf, layer as Layer & { readonly rate: number });
    case "GaussianNoise":
      return gaussianNoise(tf, layer as Layer & { readonly stddev: number });
    case "BatchNormalization":
      return batchNormalization(tf, layer as Layer & BatchNormFields);
    default:
      return undefined;
  }
}

/** A user's class that extends one of these has its name as well. */
function isStock(tf: Tf, layer: Layer): boolean {
  const [stock] = tf.serialization.SerializationMap.getMap().classNameMap[layer.getClassName()] ?? [];
  return stock !== undefined && Object.getPrototypeOf(layer) === stock.prototype;
}

interface DropoutFields {
  readonly rate: number;
  getNoiseShape(x: Tensor): number[] | null | undefined;
}

const isRate = (rate: number): boolean => rate > 0 && rate < 1;

function dropout(tf: Tf, layer: DropoutFields): Training {
  const { rate } = layer;
  return (x) => {
    const drawn = isRate(rate) ? drawInStep(tf, "uniform", layer.getNoiseShape(x) ?? x.shape) : undefined;
    if (drawn === undefined) return undefined;
    const kept = tf.cast(tf.greaterEqual(drawn, rate), "float32");
    return tf.mul(x, tf.mul(kept, 1 / (1 - rate)));
  };
}

interface AlphaFields {
  readonly rate: number;
  readonly noiseShape: number[] | undefined;
}

/** @see Klambauer et al. 2017, Self-Normalizing Neural Networks, section 2, and TensorFlow.js' AlphaDropout */
function alphaDropout(tf: Tf, { rate, noiseShape }: AlphaFields): Training {
  const lowest = -1.6732632423543772 * 1.0507009873554805;
  const a = ((1 - rate) * (1 + rate * lowest ** 2)) ** -0.5;
  const b = -a * lowest * rate;
  return (x) => {
    const drawn = isRate(rate) ? drawInStep(tf, "uniform", noiseShape ?? x.shape) : undefined;
    if (drawn === undefined) return undefined;
    const kept = tf.cast(tf.greaterEqual(drawn, rate), "float32");
    const mixed = tf.add(tf.mul(x, kept), tf.mul(tf.sub(kept, 1), lowest));
    return tf.add(tf.mul(mixed, a), b);
  };
}

function gaussianDropout(tf: Tf, { rate }: { readonly rate: number }): Training {
  const deviation = Math.sqrt(rate / (1 - rate));
  return (x) => {
    const drawn = isRate(rate) ? drawInStep(tf, "normal", x.shape) : undefined;
    return drawn && tf.mul(x, tf.add(tf.mul(drawn, deviation), 1));
  };
}

function gaussianNoise(tf: Tf, { stddev }: { readonly stddev: number }): Training {
  return (x) => {
    const drawn = drawInStep(tf, "normal", x.shape);
    return drawn && tf.add(x, tf.mul(drawn, stddev));
  };
}

interface LayerVariable {
  read(): Tensor;
  write(values: Tensor): unknown;
}

interface BatchNormFields {
  readonly axis: number;
  readonly epsilon: number;
  readonly momentum: number;
  readonly gamma: LayerVariable | undefined;
  readonly beta: LayerVariable | undefined;
  readonly movingMean: LayerVariable;
  readonly movingVariance: LayerVariable;
}

/** cuDNN's kernel takes none below. */
const EPSILON_MIN = 1.001e-5;

/**
 * TensorFlow.js spells it out in some thirty operations and leaves the gradient to them: slower, and TensorFlow's graph rewriter changes
 * their order, so that graph and op by op would differ in the last bits.
 * @see Ioffe and Szegedy 2015, Batch Normalization, algorithm 1
 */
function batchNormalization(tf: Tf, layer: BatchNormFields): Training {
  return (x) => {
    const { axis, epsilon, momentum, gamma, beta, movingMean, movingVariance } = layer;
    const isLast = axis === -1 || axis === x.rank - 1;
    if (!isLast || gamma === undefined || beta === undefined || epsilon < EPSILON_MIN || x.dtype !== "float32")
      return undefined;
    const channels = x.shape.at(-1)!;
    const rows = x.size / channels;
    const seen: { mean: Tensor; variance: Tensor }[] = [];
    const normalise = normaliseOp(tf, epsilon, (mean, variance) => seen.push({ mean, variance }));
    const y = normalise(tf.reshape(x, [1, 1, rows, channels]), gamma.read(), beta.read());
    const { mean, variance } = seen[0]!;
    for (const [average, now] of [
      [movingMean, mean],
      // the kernel gives the unbiased one, TensorFlow.js keeps the other
      [movingVariance, tf.mul(variance, (rows - 1) / rows)],
    ] as const) {
      const before = average.read();
      average.write(tf.sub(before, tf.mul(tf.sub(before, now), 1 - momentum)));
    }
    mean.dispose();
    variance.dispose();
    return tf.reshape(y, x.shape);
  };
}

/** x [1, 1, rows, channels] -> the same normalised by its own mean and variance, which are handed out and kept. */
function normaliseOp(
  tf: Tf,
  epsilon: number,
  tell: (mean: Tensor, variance: Tensor) => void,
): (x: Tensor, gamma: Tensor, beta: Tensor) => Tensor {
  const native = nativeBackendOf(tf);
  const { TF_ATTR_TYPE, TF_ATTR_FLOAT, TF_ATTR_STRING, TF_ATTR_BOOL, TF_FLOAT } = native.binding;
  const attributes = [
    { name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: "U", type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: "epsilon", type: TF_ATTR_FLOAT, value: epsilon },
    { name: "data_format", type: TF_ATTR_STRING, value: "NHWC" },
    { name: "is_training", type: TF_ATTR_BOOL, value: true },
  ];
  return tf.customGrad((...given) => {
    const [x, gamma, beta, save] = given as unknown as [Tensor, Tensor, Tensor, (tensors: Tensor[]) => void];
    const none = tf.tensor1d([], "float32");
    const [value, mean, variance, ...reserved] = native.executeMultipleOutputs(
      "FusedBatchNormV3",
      [...attributes, { name: "exponential_avg_factor", type: TF_ATTR_FLOAT, value: 1 }],
      [x, gamma, beta, none, none],
      6,
    ) as Tensor[];
    tell(tf.keep(mean!), tf.keep(variance!));
    save([x, gamma, ...reserved]);
    const gradFunc = (dy: Tensor | Tensor[], saved: Tensor[]): Tensor[] =>
      native
        .executeMultipleOutputs("FusedBatchNormGradV3", attributes, [dy as Tensor, ...saved], 5)
        .slice(0, 3) as Tensor[];
    return { value: value!, gradFunc };
  }) as (x: Tensor, gamma: Tensor, beta: Tensor) => Tensor;
}

/** What a round makes smaller. Plain TensorFlow.js operations on tensors alone, so that it can be recorded as a graph as well. */
import type { Model } from "./model.ts";
import type { Shape } from "./step.ts";
import type { Scalar, Tensor, Tf } from "./tf.ts";

/** Below any sum of weights that can be meant: a batch whose records all count nothing has a loss of 0, not 0 / 0. */
const LEAST_WEIGHT = 1e-30;

/**
 * The batch's mean loss in a forward pass of training, with what the layers' regularizers add.
 * @param x [batch, ...inputShape]
 * @param y as in Batch: [batch] class indexes (int32), [batch, classes] of 0 and 1, or [batch] values (float32)
 * @param weights of y's shape; null: all 1
 */
export function trainingLoss(
  tf: Tf,
  model: Model,
  shape: Shape,
  x: Tensor,
  y: Tensor,
  weights: Tensor | null = null,
): Scalar {
  const loss = meanLoss(tf, shape, y, model.apply(x, { training: true }), weights);
  return model.network.calculateLosses().reduce<Scalar>((sum, penalty) => tf.add(sum, penalty), loss);
}

/**
 * sum(w l) / sum(w) over all of y.
 * With label smoothing s: of K classes each has a target of s / K, the right one 1 - s more; multi-label: y (1 - s) + s / 2.
 * @param scores [batch, classes], or [batch, 1]
 * @see Szegedy et al. 2016, Rethinking the Inception Architecture, section 7 (smoothing). As PyTorch's CrossEntropyLoss and Keras'
 *   CategoricalCrossentropy with reduction "mean_with_sample_weight"; where classes have weights and labels are smoothed, PyTorch
 *   weights each class's part of the target by that class's own weight instead, and divides by the right classes' weights.
 */
export function meanLoss(tf: Tf, shape: Shape, y: Tensor, scores: Tensor, weights: Tensor | null): Scalar {
  if (weights === null) return losses(tf, shape, y, scores, tf.Reduction.SUM_BY_NONZERO_WEIGHTS);
  const each = losses(tf, shape, y, scores, tf.Reduction.NONE);
  const weighted = tf.sum(tf.mul(each, tf.reshape(weights, each.shape)));
  return tf.div(weighted, tf.maximum(tf.sum(weights), LEAST_WEIGHT));
}

type Reduction = Tf["Reduction"][keyof Tf["Reduction"]];

/**
 * cross-entropy: -sum(target log softmax(scores)). binary-cross-entropy, of each class: -(t log p + (1 - t) log(1 - p)), p = sigmoid(score).
 * mse: e^2; mae: |e|; huber: e^2 / 2 up to |e| = 1, then |e| - 1/2.
 */
function losses<T extends Tensor>(
  tf: Tf,
  { loss, classes, labelSmoothing }: Shape,
  y: Tensor,
  scores: Tensor,
  reduction: Reduction,
): T {
  switch (loss) {
    case "cross-entropy": {
      const target = tf.oneHot(tf.reshape(y, [-1]) as ReturnType<Tf["tensor1d"]>, classes);
      return tf.losses.softmaxCrossEntropy(target, scores, undefined, labelSmoothing, reduction);
    }
    case "binary-cross-entropy":
      return tf.losses.sigmoidCrossEntropy(y, scores, undefined, labelSmoothing, reduction);
    case "mse":
      return tf.losses.meanSquaredError(tf.reshape(y, [-1, 1]), scores, undefined, reduction);
    case "mae":
      return tf.losses.absoluteDifference(tf.reshape(y, [-1, 1]), scores, undefined, reduction);
    case "huber":
      return tf.losses.huberLoss(tf.reshape(y, [-1, 1]), scores, undefined, 1, reduction);
  }
}

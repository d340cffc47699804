/** What a round makes smaller. Plain TensorFlow.js operations on tensors alone, so that it can be recorded as a graph as well. */
import type { Model } from "./model.ts";
import type { Shape } from "./step.ts";
import type { Scalar, Tensor, Tf } from "./tf.ts";

/**
 * The batch's mean loss in a forward pass of training: softmax cross-entropy, or the mean squared error; with what the layers'
 * regularizers add.
 * @param x [batch, ...inputShape]
 * @param y [batch]: class indexes (int32), or values (float32)
 */
export function trainingLoss(tf: Tf, model: Model, { task, classes }: Shape, x: Tensor, y: Tensor): Scalar {
  const scores = model.apply(x, { training: true });
  const loss: Scalar =
    task === "regression"
      ? tf.losses.meanSquaredError(tf.reshape(y, [-1, 1]), scores)
      : tf.losses.softmaxCrossEntropy(tf.oneHot(tf.reshape(y, [-1]) as ReturnType<Tf["tensor1d"]>, classes), scores);
  return model.network.calculateLosses().reduce<Scalar>((sum, penalty) => tf.add(sum, penalty), loss);
}

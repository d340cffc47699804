/**
 * What becomes of the gradients before the optimizer sees them. Pure and of plain operations, so that it can be recorded as a graph: a
 * stepper calls it once for an update, with the gradients of the whole batch (of all its micro-batches, added up) and the variables as
 * they are before the update, all in the same order; after it come `Optimizer.decay` and then the update of each variable.
 */
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Tensor, Tf } from "./tf.ts";

/**
 * Weights that weight decay is for: matrices, convolutions, embeddings. Biases and the scales of normalisations have one dimension, and
 * gain nothing by being small.
 * @see He et al. 2019, Bag of Tricks for Image Classification with Convolutional Neural Networks, section 3.1 ("no bias decay").
 *   PyTorch's and Keras' optimizers decay all that they are given.
 */
export function decays({ shape }: { readonly shape: readonly number[] }): boolean {
  return shape.length >= 2;
}

/**
 * In this order:
 * - clip.value: each number to -value..value
 * - clip.norm: g <- g norm / max(norm, n) with n the length of all gradients as one vector
 *   (Pascanu et al. 2013; tf.clip_by_global_norm. PyTorch's clip_grad_norm_ divides by n + 1e-6)
 * - weightDecay: g <- g + weightDecay w (L2, coupled: the optimizer scales it as it does the gradient; torch.optim's weight_decay)
 * @param variables of the gradients, in their order
 * @returns in the same order; what nothing has to be done to is given back as it came
 */
export function transformGradients(
  tf: Tf,
  { clip, weightDecay }: Pick<TrainerConfig, "clip" | "weightDecay">,
  gradients: readonly Tensor[],
  variables: readonly Tensor[],
): readonly Tensor[] {
  let changed = gradients;
  const { value = null, norm = null } = clip ?? {};
  if (value !== null) changed = changed.map((gradient) => tf.clipByValue(gradient, -value, value));
  if (norm !== null) changed = clipNorm(tf, changed, norm);
  if (weightDecay === 0) return changed;
  return changed.map((gradient, i) =>
    decays(variables[i]!) ? tf.add(gradient, tf.mul(variables[i]!, weightDecay)) : gradient,
  );
}

function clipNorm(tf: Tf, gradients: readonly Tensor[], norm: number): readonly Tensor[] {
  if (gradients.length === 0) return gradients;
  const squares = gradients.map((gradient) => tf.sum(tf.square(gradient)));
  const length = tf.sqrt(tf.addN(squares));
  const factor = tf.div(norm, tf.maximum(length, norm));
  return gradients.map((gradient) => tf.mul(gradient, factor));
}

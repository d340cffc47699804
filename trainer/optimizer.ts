/**
 * Optimizers whose whole state is (slots by name, number of updates). Not tf.train.*: those keep slots by position, leave
 * out Adam's beta powers when saved, and so cannot be resumed bit for bit.
 */
import type { OptimizerConfig } from "../protocol/trainer-config.ts";
import type { Tensor, Tf, Variable } from "./tf.ts";

export interface Update {
  readonly variable: Variable;
  readonly gradient: Tensor;
  /** by kind, as in `slotKinds` */
  readonly slots: ReadonlyMap<string, Variable>;
}

export interface Optimizer {
  /** a slot of each kind, of the variable's shape and starting at 0, belongs to each trainable variable */
  readonly slotKinds: readonly string[];
  /**
   * Changes the variable and its slots. Leaves no tensor behind inside a tidy.
   * @param at.update how many updates there will have been with this one, from 1
   */
  apply(tf: Tf, update: Update, at: { learningRate: number; update: number }): void;
}

/** The name of a slot in optimizer.safetensors. */
export const slotName = (optimizer: string, kind: string, variable: string): string =>
  `${optimizer}/${kind}/${variable}`;

export function createOptimizer(config: OptimizerConfig): Optimizer {
  if (config.name === "adam") return adam(config);
  return config.momentum === 0 ? plainSgd() : momentumSgd(config.momentum);
}

/** w <- w - rate g */
function plainSgd(): Optimizer {
  return {
    slotKinds: [],
    apply(tf, { variable, gradient }, { learningRate }) {
      variable.assign(tf.sub(variable, tf.mul(gradient, learningRate)));
    },
  };
}

/**
 * v <- momentum v + g; w <- w - rate v
 * @see PyTorch torch.optim.SGD (dampening 0), TensorFlow ResourceApplyMomentum; Keras puts the rate inside v instead
 */
function momentumSgd(momentum: number): Optimizer {
  return {
    slotKinds: ["momentum"],
    apply(tf, { variable, gradient, slots }, { learningRate }) {
      const velocity = tf.add(tf.mul(slots.get("momentum")!, momentum), gradient);
      variable.assign(tf.sub(variable, tf.mul(velocity, learningRate)));
      slots.get("momentum")!.assign(velocity);
    },
  };
}

/**
 * m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; w <- w - rate sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + epsilon)
 * The powers follow from the number of updates, so they are no state of their own.
 * @see Kingma and Ba 2015, Adam, the reordered form at the end of section 2; as Keras and TensorFlow ResourceApplyAdam
 *   (PyTorch adds epsilon to the corrected sqrt(v) instead)
 */
function adam({ beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number }): Optimizer {
  return {
    slotKinds: ["m", "v"],
    apply(tf, { variable, gradient, slots }, { learningRate, update }) {
      const rate = (learningRate * Math.sqrt(1 - beta2 ** update)) / (1 - beta1 ** update);
      const m = tf.add(tf.mul(slots.get("m")!, beta1), tf.mul(gradient, 1 - beta1));
      const v = tf.add(tf.mul(slots.get("v")!, beta2), tf.mul(tf.square(gradient), 1 - beta2));
      variable.assign(tf.sub(variable, tf.div(tf.mul(m, rate), tf.add(tf.sqrt(v), epsilon))));
      slots.get("m")!.assign(m);
      slots.get("v")!.assign(v);
    },
  };
}
